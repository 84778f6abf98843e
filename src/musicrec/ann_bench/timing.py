"""Clock a search method: one query at a time on one thread, then all at once on all cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from musicrec.ann_bench.methods import Method

WARM_UP = 10  # queries at most
COLD = 2  # of them at least, whatever they take
FEWEST = 10  # queries that are timed, however slow


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the numerical libraries to one thread; the kernels of `search_one` have one anyway."""
    with threadpool_limits(1):
        yield


def time_queries(
    method: Method, queries: np.ndarray, k: int, repeats: int, budget: float = np.inf
) -> np.ndarray:
    """Answer queries one at a time.

    Parameters
    ----------
    repeats : int
        Runs; the fastest counts.
    budget : float
        Seconds. What is slower than this answers fewer queries (never below FEWEST), once, after
        a warm-up of a quarter of it.

    Returns
    -------
    latencies : float64 array
        Seconds of each query that was asked, the first ones of `queries`, in the fastest of the
        runs, after a warm-up.
    """
    start, asked = time.perf_counter(), 0
    for query in queries[:WARM_UP]:
        method.query(query, k)
        asked += 1
        if asked >= COLD and time.perf_counter() - start > budget / 4:
            break
    expected = (time.perf_counter() - start) / asked
    affordable = max(FEWEST, int(min(budget / max(expected, 1e-9), len(queries))))
    queries = queries[:affordable]
    best = np.full(len(queries), np.inf)
    started = time.perf_counter()
    for run in range(repeats):
        if run and time.perf_counter() - started > budget / 2:
            break
        latencies = np.empty(len(queries))
        for i, query in enumerate(queries):
            start = time.perf_counter()
            method.query(query, k)
            latencies[i] = time.perf_counter() - start
        if latencies.sum() < best.sum():
            best = latencies
    return best


def time_batch(method: Method, queries: np.ndarray, k: int, repeats: int) -> float | None:
    """Seconds to answer all queries at once on all cores, the best of `repeats` after a warm-up.

    None where the method has no batch search.
    """
    if not method.query_batch(queries[:WARM_UP], k):
        return None
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        method.query_batch(queries, k)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
