"""Entry points: one clear sentence and an exit status instead of a stack trace.

Stages import this under `if __name__ == "__main__"` alone. It changes no output, so it is no
dependency of theirs in dvc.yaml: a new word in an error does not run Spark again.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from musicrec.errors import MusicRecError
from musicrec.params.all import load_params
from musicrec.signals import handled_by

P = ParamSpec("P")


def run_stage(main: Callable[[], None]) -> int:
    """Run a stage's `main` as a command, after a check of the whole parameter file.

    A misspelt name or a value out of range in any block stops the first stage, not the last one.
    """

    def check_and_run() -> None:
        words = sys.argv[1:]
        if "--params" in words[:-1]:
            load_params(Path(words[words.index("--params") + 1]))
        main()

    return command(check_and_run)()


def command(main: Callable[P, int | None]) -> Callable[P, int]:
    """Turn `main` into an entry point: one clear sentence and an exit status.

    Returns what `main` returns (None: 0), and 1 on an error a person can fix (`MusicRecError`, a
    full disk, a missing file). Ctrl-C, SIGTERM and a reader that stops reading (`| head`) unwind
    the stack, so that temporary files are removed, and return 130, 143 and 141. Anything else is
    a bug and keeps its stack trace. Characters that the terminal's encoding lacks are escaped.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        received: list[int] = []

        def stop(signum: int, frame: FrameType | None) -> NoReturn:
            received.append(signum)
            raise KeyboardInterrupt if signum == signal.SIGINT else _Terminated

        if isinstance(sys.stdout, io.TextIOWrapper):  # a test may have put something else there
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with handled_by(stop):
                status = main(*args, **kwargs)
                sys.stdout.flush()  # here, where a closed pipe can still be told
        except BaseException as error:
            # Compiled code that a signal arrives in may raise something else in its place.
            return _explain(error, received[0] if received else None)
        return status or 0

    return run


def _explain(error: BaseException, signum: int | None) -> int:
    """Print one sentence and return the exit status; a bug is raised again."""
    if signum == signal.SIGTERM:
        return _fail("terminated; no output was written", 128 + signum)
    if signum is not None or isinstance(error, KeyboardInterrupt):
        return _fail("interrupted; no output was written", 128 + signal.SIGINT)
    if isinstance(error, MusicRecError):
        return _fail(str(error))
    if isinstance(error, BrokenPipeError):
        # What is still buffered goes nowhere, or the interpreter's end would trip over it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if isinstance(error, FileNotFoundError):
        return _fail(f"{error.filename}: no such file or folder")
    no_room = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
    if isinstance(error, OSError) and error.errno in no_room:
        return _fail(f"cannot write {error.filename or 'output'}: {error.strerror}")
    raise error


class _Terminated(BaseException):
    """Raised in the main thread by SIGTERM."""


def _fail(sentence: str, status: int = 1) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
