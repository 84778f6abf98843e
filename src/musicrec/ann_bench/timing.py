"""Run one search arm in a process of its own: one thread, warmed up, the best of several runs."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from musicrec.ann_bench.methods import ARMS, Arm, Ids
from musicrec.interactions import Interactions
from musicrec.metrics.ranking import score_lists
from musicrec.parallel import thread_count
from musicrec.search.kernels import inner_products

WARM_UP = 10  # queries
TIE = 1e-5  # relative: scores that float32 arithmetic cannot tell apart count as ties
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
PEERS = ("numpy", "numba", "annoy", "faiss-cpu", "hnswlib")


@dataclass(frozen=True)
class HeldOut:
    """What the query users did: row i belongs to query i.

    Attributes
    ----------
    seen : Interactions (n_queries, n_items)
        Training plays, left out of recommendations.
    truth : Interactions (n_queries, n_all_items)
        Held-out plays.
    """

    seen: Interactions
    truth: Interactions


@dataclass(frozen=True)
class Job:
    """One arm to measure.

    Attributes
    ----------
    items : Path
        Item factors, `.npy`.
    queries : float32 array (n_queries, rank)
    plan : list of (build, query arguments)
    exact_scores : float32 array (n_queries, k)
        Of the exact kernel, padded with -inf.
    """

    arm: str
    items: Path
    queries: np.ndarray
    k: int
    plan: list[tuple[int, list[int]]]
    repeats: int
    seed: int
    exact_scores: np.ndarray
    held_out: HeldOut | None


@dataclass(frozen=True)
class Point:
    """One setting of one arm; times in seconds, memory in bytes.

    `peak_memory` is that of the whole process up to then: interpreter, factors and index.
    """

    arm: str
    build: int
    argument: int
    recall: float
    quality: dict[str, float]
    latencies: np.ndarray
    build_seconds: float
    index_bytes: int
    peak_memory: int
    batch_seconds: float | None


def measure(job: Job) -> list[Point]:
    """Measure an arm in a new process whose numerical libraries have one thread each.

    Raises
    ------
    MusicRecError
        The arm needs a package that is not installed.
    """
    with (
        _environment(ONE_THREAD),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(measure_here, job).result()


def measure_here(job: Job) -> list[Point]:
    """Measure an arm in this process."""
    items = np.load(job.items)
    k = min(job.k, len(items))
    points = []
    for build, arguments in job.plan:
        arm = ARMS[job.arm](build, job.seed)
        start = time.perf_counter()
        arm.fit(items)
        build_seconds = time.perf_counter() - start
        for argument in arguments:
            arm.set_query_argument(argument)
            answers, latencies = time_queries(arm, job.queries, k, job.repeats)
            points.append(
                Point(
                    arm=job.arm,
                    build=build,
                    argument=argument,
                    recall=recall(items, job.queries, answers, job.exact_scores),
                    quality=list_quality(arm, items, job),
                    latencies=latencies,
                    build_seconds=build_seconds,
                    index_bytes=arm.index_bytes,
                    peak_memory=_peak_memory(),
                    batch_seconds=time_batch(arm, job.queries, k, job.repeats),
                )
            )
    return points


def time_queries(
    arm: Arm, queries: np.ndarray, k: int, repeats: int
) -> tuple[list[Ids], np.ndarray]:
    """Answer queries one at a time.

    Returns
    -------
    answers : the ids of each query
    latencies : float64 array (n_queries)
        Seconds a query of the fastest of `repeats` runs, after a warm-up.
    """
    for query in queries[:WARM_UP]:
        arm.query(query, k)
    answers: list[Ids] = []
    best = np.full(len(queries), np.inf)
    for run in range(repeats):
        latencies = np.empty(len(queries))
        for i, query in enumerate(queries):
            start = time.perf_counter()
            answer = arm.query(query, k)
            latencies[i] = time.perf_counter() - start
            if run == 0:
                answers.append(answer)
        best = min(best, latencies, key=np.sum)
    return answers, best


def recall(
    items: np.ndarray, queries: np.ndarray, answers: Sequence[Ids], exact_scores: np.ndarray
) -> float:
    """Share of the exact lists' places that are filled with items as good.

    An item counts when its score, computed anew, reaches the last score of the exact list, so
    that ties count whichever of them is found; one given twice counts once; a short answer
    misses what it lacks. Recall by threshold as in ann-benchmarks.

    Parameters
    ----------
    answers : the ids of each query; negative ones are padding
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


def list_quality(arm: Arm, items: np.ndarray, job: Job) -> dict[str, float]:
    """Judge what the arm recommends to the query users: MAP@k and nDCG@k, their means."""
    if job.held_out is None:
        return {}
    lists = np.full((len(job.queries), job.k), -1, np.int32)
    for row, query in enumerate(job.queries):
        seen = job.held_out.seen.row(row)
        answer = np.asarray(arm.query(query, min(job.k + len(seen), len(items))), dtype=np.int64)
        fresh = answer[(answer >= 0) & ~np.isin(answer, seen)][: job.k]
        lists[row, : len(fresh)] = fresh
    return judge_lists(lists, job.held_out.truth, job.k)


def judge_lists(lists: np.ndarray, truth: Interactions, k: int) -> dict[str, float]:
    """MAP@k and nDCG@k of recommendation lists, by the names of the evaluate stage."""
    columns = score_lists(lists, truth.indptr, truth.indices, [k]).columns()
    names = (f"map_at_{k}", f"ndcg_at_{k}")
    return {name: float(columns[name].mean()) for name in names}


def describe_machine() -> dict[str, str | int]:
    """Name the processor, the cores allowed and the versions of what was measured."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": thread_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in PEERS:
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


def time_batch(arm: Arm, queries: np.ndarray, k: int, repeats: int) -> float | None:
    """Seconds to answer all queries at once on all cores, the best of `repeats` after a warm-up.

    None where the arm has no batch search.
    """
    if not arm.query_batch(queries, k):
        return None
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        arm.query_batch(queries, k)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
