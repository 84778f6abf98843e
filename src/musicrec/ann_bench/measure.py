"""Measure a search method: recall and loss in MAP and nDCG, seconds, and the machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from musicrec.ann_bench.methods import QUERY_BLOCK, Ids, Method
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import blocks, for_blocks, thread_count
from musicrec.metrics.ranking import score_lists
from musicrec.search.kernels import inner_products

TIE = 1e-5  # relative: scores that float32 arithmetic cannot tell apart count as ties
WARM_UP = 10  # queries
PACKAGES = ("numpy", "numba", "annoy", "faiss-cpu", "hnswlib")  # whose versions are named


@dataclass(frozen=True)
class QueryPlays:
    """What the query users played: row i belongs to query i.

    Attributes
    ----------
    seen : Interactions (n_queries, n_items)
        Training plays, left out of recommendations.
    truth : Interactions (n_queries, n_all_items)
        Held-out plays.
    """

    seen: Interactions
    truth: Interactions


def recall(
    items: np.ndarray, queries: np.ndarray, answers: Sequence[Ids], exact_scores: np.ndarray
) -> float:
    """Share of the wanted items that were found, by score threshold.

    An item counts as found when its own score reaches that of the last of the exact list, so that
    any of several tied items will do (as ann-benchmarks does by distance).

    Parameters
    ----------
    items, queries : float32 arrays (n_items, rank), (n_queries, rank)
    answers : ids of each query; negative ones are padding
    exact_scores : float32 array (n_queries, k), falling, padded with -inf
    """
    found = wanted = 0
    for query, answer, scores in zip(queries, answers, exact_scores, strict=True):
        length = int(np.isfinite(scores).sum())
        if length == 0:
            continue
        ids = np.unique(np.asarray(answer, dtype=np.int64))
        ids = ids[ids >= 0]
        own = np.empty(len(ids), np.float32)
        inner_products(items, ids, query, own)
        threshold = scores[length - 1] - TIE * abs(scores[length - 1])
        found += min(length, int((own >= threshold).sum()))
        wanted += length
    return found / wanted if wanted else 1.0


def ask_all(method: Method, queries: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Ask every query, side by side and by no clock, for as many items as `lengths` says.

    Parameters
    ----------
    queries : float32 array (n_queries, rank)
    lengths : int array (n_queries)

    Returns
    -------
    list of int64 arrays
        Item ids, the best first, without padding.
    """
    answers: list[np.ndarray] = [np.empty(0, np.int64)] * len(queries)

    def ask(start: int, stop: int) -> None:
        for row in range(start, stop):
            answer = np.asarray(method.query(queries[row], int(lengths[row])), dtype=np.int64)
            answers[row] = answer[answer >= 0]

    for_blocks(ask, blocks(len(queries), QUERY_BLOCK))
    return answers


def list_quality(answers: Sequence[np.ndarray], plays: QueryPlays, k: int) -> dict[str, np.ndarray]:
    """Judge what is left of the first queries' answers without the tracks seen."""
    lists = np.full((len(answers), k), -1, np.int32)
    for row, answer in enumerate(answers):
        fresh = answer[~np.isin(answer, plays.seen.row(row))][:k]
        lists[row, : len(fresh)] = fresh
    return judge_lists(lists, plays.truth, k)


def judge_lists(lists: np.ndarray, truth: Interactions, k: int) -> dict[str, np.ndarray]:
    """Average precision at k and nDCG@k of the first queries' lists: `map` and `ndcg`, each (n)."""
    indptr = truth.indptr[: len(lists) + 1]
    columns = score_lists(lists, indptr, truth.indices[: indptr[-1]], [k]).columns()
    return {name: columns[f"{name}@{k}"] for name in ("map", "ndcg")}


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the numerical libraries to one thread; the kernels of `search_one` have one anyway."""
    with threadpool_limits(1):
        yield


def time_queries(method: Method, queries: np.ndarray, k: int, repeats: int) -> np.ndarray:
    """Answer queries one at a time, `repeats` times after a warm-up.

    Returns
    -------
    latencies : float64 array (n_queries)
        Seconds of each query in the fastest of the runs.
    """
    for query in queries[:WARM_UP]:
        method.query(query, k)
    best = np.full(len(queries), np.inf)
    for _ in range(repeats):
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


def describe_machine() -> dict[str, str | int]:
    """Name the processor, the cores allowed and the versions of what was measured."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": thread_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
