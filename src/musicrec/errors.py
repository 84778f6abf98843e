"""The one error a user is meant to read, and the wrapper that prints it."""

from __future__ import annotations

import errno
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, ParamSpec


class MusicRecError(Exception):
    """A mistake or a missing thing a person can mend, in one sentence.

    The sentence says what is wrong, where (file, column, how many rows, the first bad
    value) and what to do. It reaches the terminal without a stack trace.
    """


P = ParamSpec("P")


def command(main: Callable[P, None]) -> Callable[P, int]:
    """Turn `main` into an entry point: one clear sentence and an exit status.

    Returns 0 on success and 1 on an error a person can mend (`MusicRecError`, a full disk,
    a missing file). Ctrl-C and SIGTERM unwind the stack, so that temporary files are removed,
    and return 130 and 143. Anything else is a bug and keeps its stack trace.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        received: list[int] = []

        def stop(signum: int, frame: FrameType | None) -> NoReturn:
            received.append(signum)
            raise KeyboardInterrupt if signum == signal.SIGINT else _Terminated

        try:
            with _handled_by(stop):
                main(*args, **kwargs)
        except BaseException as error:
            # Compiled code that a signal arrives in may raise something else in its place.
            return _explain(error, received[0] if received else None)
        return 0

    return run


def _explain(error: BaseException, signum: int | None) -> int:
    """Print one sentence and return the exit status; a bug is raised again."""
    if signum == signal.SIGTERM:
        return _fail("terminated; no output was written", 128 + signum)
    if signum is not None or isinstance(error, KeyboardInterrupt):
        return _fail("interrupted; no output was written", 128 + signal.SIGINT)
    if isinstance(error, MusicRecError):
        return _fail(str(error))
    if isinstance(error, FileNotFoundError):
        return _fail(f"{error.filename}: no such file or folder")
    no_room = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
    if isinstance(error, OSError) and error.errno in no_room:
        return _fail(f"cannot write {error.filename or 'output'}: {error.strerror}")
    raise error


@contextmanager
def signals_deferred() -> Iterator[list[int]]:
    """Let ctrl-C and SIGTERM wait until the block is done; yields those that wait.

    For a step that must not be left half done, such as starting a process before anything knows
    its number, or handing work to threads. Off the main thread, where no handler runs, nothing
    changes; a signal that is ignored or not Python's to handle stays so.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield waiting
        return
    try:
        with _handled_by(lambda number, _: waiting.append(number)):
            yield waiting
    finally:
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle ctrl-C and SIGTERM, unless they are ignored or not Python's to handle."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {n: old for n, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Terminated(BaseException):
    """Raised in the main thread by SIGTERM."""


def _fail(sentence: str, status: int = 1) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
