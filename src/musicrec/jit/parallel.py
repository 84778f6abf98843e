"""Run GIL-free kernels over blocks of rows on all cores."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from musicrec.errors import MusicRecError

T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int | None = None) -> int:
    """Resolve the number of threads: the argument, else MUSICREC_THREADS, else the cores allowed.

    Raises
    ------
    MusicRecError
        MUSICREC_THREADS is not a whole number of at least 1.
    """
    if threads is not None:
        return max(1, threads)
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


def for_blocks(
    work: Callable[[int, int], None], bounds: list[int], threads: int | None = None
) -> None:
    """Call `work(start, stop)` for each pair of neighbouring `bounds`, on several threads.

    The blocks are the caller's and must not depend on `threads`; each writes its own rows, so
    the result is the same for any number of threads. The first exception is raised again.
    """
    pairs = list(itertools.pairwise(bounds))
    count = min(thread_count(threads), len(pairs))
    if count <= 1:
        for start, stop in pairs:
            work(start, stop)
        return
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work, start, stop) for start, stop in pairs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def on_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `work` makes of each item, in their order, computed on several threads."""
    found: dict[int, R] = {}

    def block(start: int, stop: int) -> None:
        for place in range(start, stop):
            found[place] = work(items[place])

    for_blocks(block, list(range(len(items) + 1)))
    return [found[place] for place in range(len(items))]
