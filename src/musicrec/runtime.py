"""How a process ends: a sentence and an exit status, and nothing temporary left behind.

Every entry calls `run` first, ahead of its imports. Needs the standard library alone.
"""

from __future__ import annotations

import functools
import io
import os
import re
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from musicrec.errors import UsageError, sentence_of

P = ParamSpec("P")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "terminated"}
# Below it the C++ of Arrow and LLVM ends a process without a word, or spins (tried: 500 to 900 MB).
LEAST_ADDRESS_SPACE = 1 << 30  # bytes
OWNER = f"{os.getpid()}-{os.uname().nodename}"  # who a temporary file belongs to
REMOVING_SECONDS = 2.0  # while other threads may still write

_cleanups: list[Callable[[], None]] = []
_temporaries: set[Path] = set()
_held: list[int] | None = None


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` as this process's work, and leave with its status; see `command`."""
    _require_address_space()
    _handle_signals()
    status = command(main)()
    for number in SIGNALS:  # the work has ended
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def run_stage(path: str) -> NoReturn:
    """Run the `main` of a stage's script, whose imports are part of the work."""
    run(lambda: runpy.run_path(path, run_name="stage")["main"]())


def command(main: Callable[P, int | None]) -> Callable[P, int]:
    """Turn an error that is no bug into a sentence on standard error and an exit status.

    Returns what `main` returns (None: 0); 2 on a mistake in what was typed, 1 on another error that
    `musicrec.errors` has words for, 141 where the reader of the output has gone (`| head`).
    Anything else is a bug and keeps its stack trace.
    """

    @functools.wraps(main)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a test may have put something else there
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            status = main(*args, **kwargs)
            sys.stdout.flush()  # here, where a closed pipe can still be told
            return status or 0
        except BrokenPipeError:
            # What is still buffered goes nowhere, or Python's end would trip over it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except KeyboardInterrupt:  # of a library that handles ctrl-C itself
            return _fail(f"{WORDS[signal.SIGINT]}; no output is half written", 130)
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            return _fail(sentence, 2 if isinstance(error, UsageError) else 1)

    return guarded


def progress(text: str) -> None:
    """Print a line to standard error, unless nobody watches: in a log it would be noise."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def cleaned_up(cleanup: Callable[[], None]) -> Iterator[None]:
    """Call `cleanup` after the block, or when a signal ends the process in it.

    It may be called twice, when the signal comes amid the first call.
    """
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        cleanup()
        _cleanups.remove(cleanup)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let a signal wait for the end of the block, and handle signals as before then."""
    global _held
    _held = []
    try:
        yield
    finally:
        waiting, _held = _held, None
        if signal.getsignal(signal.SIGINT) is not _end and _end in map(signal.getsignal, SIGNALS):
            _handle_signals()  # the block has put its own handler there
        if waiting:
            _end(waiting[0], None)


@contextmanager
def scratch_directory(
    prefix: str, parent: Path | None = None, restore: Path | None = None
) -> Iterator[Path]:
    """Yield a temporary folder, in the system's or in `parent`, that is gone afterwards.

    What dead processes of this machine have left of the same prefix is removed first; where
    `restore` is missing, its last version is put back from there (`put_aside`).
    """
    parent = parent or Path(tempfile.gettempdir())
    _remove_abandoned(parent, prefix, restore)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{OWNER}.", dir=parent))
    _temporaries.add(folder)
    try:
        with cleaned_up(lambda: remove(folder)):
            yield folder
    finally:
        _temporaries.discard(folder)


def put_aside(path: Path, folder: Path) -> Path:
    """Where the last version of a path goes, in a scratch directory, until the new one is there."""
    return folder / f"{path.name}.old"


def _remove_abandoned(parent: Path, prefix: str, restore: Path | None) -> None:
    node = re.escape(os.uname().nodename)
    name = re.compile(rf"{re.escape(prefix)}(\d+)-{node}\.[a-z0-9_]{{8}}")
    with suppress(OSError):
        for path in sorted(parent.iterdir()):
            match = name.fullmatch(path.name)
            if match is None or path in _temporaries or _is_alive(int(match[1])):
                continue
            if restore is not None and not os.path.lexists(restore):
                with suppress(OSError):
                    put_aside(restore, path).rename(restore)
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder of ours, whatever another thread still writes there."""
    deadline = time.monotonic() + REMOVING_SECONDS
    while os.path.lexists(path) and time.monotonic() < deadline:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():  # a process before this one had its number
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _handle_signals() -> None:
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    """End the process from within the handler: no exception passes through compiled code."""
    if _held is not None:
        _held.append(signum)
        return
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for cleanup in reversed(_cleanups):
        with suppress(Exception):
            cleanup()
    word = WORDS[signal.Signals(signum)]
    with suppress(OSError):
        os.write(2, f"error: {word}; no output is half written\n".encode())
    os._exit(128 + signum)


def _require_address_space() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        sys.exit(
            _fail(
                f"not enough memory: the limit of address space (ulimit -v) is {limit >> 20} MB, "
                f"and musicrec needs {LEAST_ADDRESS_SPACE >> 20} MB; raise it"
            )
        )


def _fail(sentence: str, status: int = 1) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
