"""Ctrl-C and SIGTERM that wait for a step which must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


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
        with handled_by(lambda number, _: waiting.append(number)):
            yield waiting
    finally:
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def handled_by(
    handler: Callable[[int, FrameType | None], None],
    signals: Iterable[int] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[None]:
    """Handle ctrl-C and SIGTERM, unless they are ignored or not Python's to handle."""
    before = {number: signal.getsignal(number) for number in signals}
    before = {n: old for n, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
