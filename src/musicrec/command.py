"""Entry points: one clear sentence and an exit status instead of a stack trace.

Stages import this under `if __name__ == "__main__"` alone. It changes no output, so it is no
dependency of theirs in dvc.yaml: a new word in an error does not run Spark again.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from musicrec.jit.parallel import thread_count
from musicrec.params import load_params
from musicrec.process.ancestors import end_with_parent
from musicrec.process.leaving import work_done
from musicrec.process.outputs import require_writable
from musicrec.process.pandas_free import leave_pandas_out
from musicrec.process.sentences import sentence_of
from musicrec.process.signals import handled_by

P = ParamSpec("P")
OUTPUT_FLAGS = ("--output", "--metrics", "--plots", "--per-user")  # of the stages
IMPATIENT_SECONDS = 2.0  # after the first signal; a shell may send one twice at once
RETRY_SECONDS = 0.05  # until a signal is tried again that came amid compiled code
# Where an exception would be lost, or would crash compiled code that does not look for one.
_DEAF_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("numba", "llvmlite"))
_DEAF_FUNCTIONS = ("__del__", "_garbage_collect_object")


def run_stage(main: Callable[[], None]) -> int:
    """Run a stage's `main` as a command, after a look at what would stop it late.

    A misspelt name or a value out of range in any block of the parameters stops the first stage,
    not the last one, and so does an output that cannot be written. A stage that DVC started ends
    when DVC does.
    """

    def check_and_run() -> None:
        thread_count()
        words = sys.argv[1:]
        named = dict(itertools.pairwise(words))
        if "--params" in named:
            load_params(Path(named["--params"]))
        require_writable([Path(named[flag]) for flag in OUTPUT_FLAGS if flag in named])
        if "DVC_STAGE" in os.environ:
            end_with_parent()
        leave_pandas_out()
        main()

    try:
        status = command(check_and_run)()
    finally:
        all_done()
    if main.__module__ == "__main__":  # this process is the stage and nothing else
        work_done(status)
    return status


def all_done() -> None:
    """Ignore ctrl-C and SIGTERM from here on: the work has ended, and so has been told how."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def command(main: Callable[P, int | None]) -> Callable[P, int]:
    """Turn `main` into an entry point: one clear sentence and an exit status.

    Returns what `main` returns (None: 0), and 1 on an error that `process.sentences` has words for.
    Ctrl-C, SIGTERM and a reader that stops reading (`| head`) unwind the stack, so that
    temporary files are removed, and return 130, 143 and 141. Anything else is a bug and keeps its
    stack trace. Characters that the terminal's encoding lacks are escaped.

    A signal takes effect between two lines of Python, but never amid numba: compiled code that
    boxes its first result does not expect an exception and crashes. There it waits, and a second
    signal that comes later ends the process as it is. Otherwise a second signal changes nothing,
    so that the cleaning up is not disturbed.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        received: list[int] = []
        waiting: list[int] = []
        asked: list[float] = []  # when

        def stop(signum: int, frame: FrameType | None) -> None:
            if received:
                return
            if _is_deaf(frame):
                if waiting and time.monotonic() - asked[0] > IMPATIENT_SECONDS:
                    _end(signum)
                asked.append(time.monotonic())
                waiting.append(signum)
                signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
                return
            received.append(signum)
            raise _Stopped

        def try_again(signum: int, frame: FrameType | None) -> None:
            if waiting:
                signal.raise_signal(waiting.pop())  # to whoever handles it now

        if isinstance(sys.stdout, io.TextIOWrapper):  # a test may have put something else there
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with handled_by(stop), handled_by(try_again, [signal.SIGALRM]):
                status = main(*args, **kwargs)
                sys.stdout.flush()  # here, where a closed pipe can still be told
        except BaseException as error:
            # Compiled code that a signal arrives in may raise something else in its place.
            return _explain(error, received[0] if received else None)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return status or 0

    return run


def _end(signum: int) -> NoReturn:
    """End at once; what is left lying about the next run removes."""
    os.write(2, b"error: ended at the second signal; no output was written\n")
    os._exit(128 + signum)


def _is_deaf(frame: FrameType | None) -> bool:
    """Whether a frame, or one that called it, must not be interrupted by an exception."""
    while frame is not None:
        code = frame.f_code
        if code.co_name in _DEAF_FUNCTIONS:
            return True
        if any(package in code.co_filename for package in _DEAF_PACKAGES):
            return True
        frame = frame.f_back
    return False


def _explain(error: BaseException, signum: int | None) -> int:
    """Print one sentence and return the exit status; a bug is raised again."""
    if signum == signal.SIGTERM:
        return _fail("terminated; no output was written", 128 + signum)
    if signum is not None or isinstance(error, KeyboardInterrupt):
        return _fail("interrupted; no output was written", 128 + signal.SIGINT)
    if isinstance(error, BrokenPipeError):
        # What is still buffered goes nowhere, or the interpreter's end would trip over it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    sentence = sentence_of(error)
    if sentence is None:
        raise error
    return _fail(sentence)


class _Stopped(BaseException):
    """Raised in the main thread by a signal.

    By ctrl-C too: of a KeyboardInterrupt py4j would print the stack trace.
    """


def _fail(sentence: str, status: int = 1) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
