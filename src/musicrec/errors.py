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
        previous = signal.signal(signal.SIGTERM, _terminate)
        try:
            main(*args, **kwargs)
        except MusicRecError as error:
            return _fail(str(error))
        except FileNotFoundError as error:
            return _fail(f"{error.filename}: no such file or folder")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            return _fail(f"cannot write {error.filename or 'output'}: {error.strerror}")
        except KeyboardInterrupt:
            return _fail("interrupted; no output was written", 130)
        except _Terminated:
            return _fail("terminated; no output was written", 143)
        finally:
            signal.signal(signal.SIGTERM, previous)
        return 0

    return run


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let ctrl-C and SIGTERM wait until the block is done.

    For a step that must not be left half done, such as starting a process before anything knows
    its number. Off the main thread, where no handler runs, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    both = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: waiting.append(number)) for number in both]
    try:
        yield
    finally:
        for number, handler in zip(both, before, strict=True):
            signal.signal(number, handler)
    if waiting:
        signal.raise_signal(waiting[0])


class _Terminated(BaseException):
    """Raised in the main thread by SIGTERM."""


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _fail(sentence: str, status: int = 1) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
