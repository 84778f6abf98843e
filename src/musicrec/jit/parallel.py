"""Run GIL-free kernels over blocks of rows on all cores."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from musicrec.errors import MusicRecError

T = TypeVar("T")
R = TypeVar("R")
_chosen: ContextVar[int | None] = ContextVar("_chosen", default=None)


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Use so many threads in the block; None changes nothing. No result depends on their number."""
    token = _chosen.set(count or _chosen.get())
    try:
        yield
    finally:
        _chosen.reset(token)


def thread_count() -> int:
    """Number of threads: of `using_threads`, else MUSICREC_THREADS, else the cores allowed.

    Raises
    ------
    MusicRecError
        MUSICREC_THREADS is not a whole number of at least 1.
    """
    if chosen := _chosen.get():
        return chosen
    text = os.environ.get("MUSICREC_THREADS", "").strip()
    if not text:  # empty is unset
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    if not text.isdigit() or int(text) < 1:
        raise MusicRecError(f"MUSICREC_THREADS = {text!r} is not a whole number of at least 1")
    return int(text)


def blocks(n: int, step: int) -> list[int]:
    """Bounds of blocks of `step` of n rows, the last one shorter: 0, step, 2 step, ..., n."""
    return [*range(0, n, step), n]


def for_blocks(work: Callable[[int, int], None], bounds: list[int]) -> None:
    """Call `work(start, stop)` for each pair of neighbouring `bounds`, on several threads.

    The blocks are the caller's and must not depend on `thread_count`; each writes its own rows, so
    the result is the same for any number of threads. Exceptions are those of `on_threads`.
    """
    on_threads(lambda pair: work(*pair), list(itertools.pairwise(bounds)))


def on_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `work` makes of each item, in their order, computed on several threads.

    The first exception is raised again, and what has not begun by then never does.
    """
    if len(items) == 1 or (count := thread_count()) == 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(count)
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
