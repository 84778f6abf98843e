"""The benchmark of approximate against exact search: recall, loss in MAP, seconds."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from musicrec.als.fold_in import read_model
from musicrec.ann_bench.methods import METHODS, Ids, Index, build_annoy, grid
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import thread_count
from musicrec.metrics.ranking import score_lists
from musicrec.params import AnnBenchParams, ExportParams
from musicrec.search.exact import ExactIndex
from musicrec.search.kernels import inner_products
from musicrec.storage.parquet import SPLITS

TIE = 1e-5  # relative: scores that float32 arithmetic cannot tell apart count as ties
WARM_UP = 10  # queries
PACKAGES = ("numpy", "numba", "annoy", "faiss-cpu", "hnswlib")  # whose versions are named
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Dataset:
    """What is searched, and what exact search answers.

    Attributes
    ----------
    items : float32 array (n_items, rank)
    queries : float32 array (n_queries, rank)
    seen, truth : Interactions (n_queries, n_items), optional
        Training and held-out plays of the query users. With them, the loss in MAP of every setting
        is reported.
    """

    items: np.ndarray
    queries: np.ndarray
    seen: Interactions | None = None
    truth: Interactions | None = None

    @cached_property
    def exact(self) -> ExactIndex:
        """Exact search of the items, built once."""
        return ExactIndex(self.items)

    def recall(self, answers: Sequence[Ids], k: int) -> float:
        """Share of the k best items of each query that the answers hold; see `recall`."""
        return recall(self.items, self.queries, answers, self.exact.search(self.queries, k)[1])

    def mean_precision(self, answers: Sequence[np.ndarray] | np.ndarray, k: int) -> float:
        """MAP of the first k tracks of each answer that the query user has not played."""
        assert self.seen is not None and self.truth is not None
        lists = np.full((len(answers), k), -1, np.int32)
        for user, answer in enumerate(answers):
            unseen = answer[~np.isin(answer, self.seen.row(user))][:k]
            lists[user, : len(unseen)] = unseen
        return float(score_lists(lists, self.truth, [k])[f"map@{k}"].mean())


def read_dataset(factors: Path, indexed: Path, params: AnnBenchParams) -> Dataset:
    """Read a model's tracks, and held-out users to query for: the first by hash of (seed, id).

    Validation users where there are any; with `data.protocol: temporal` those of `evaluate.split`.

    Raises
    ------
    MusicRecError
        No held-out user has factors, or the factors do not fit the indexed plays.
    """
    split = next((one for one in SPLITS[1:] if (indexed / one).exists()), "validation")
    held_out = read_held_out(indexed, split)
    return dataset_of(held_out, *read_model(factors, held_out), params)


def dataset_of(
    held_out: HeldOut, of_users: np.ndarray, items: np.ndarray, params: AnnBenchParams
) -> Dataset:
    """Choose held-out users to query for, as `read_dataset` does, given all their factors.

    Parameters
    ----------
    of_users, items : float32 arrays (n_held_out, rank), (n_items, rank)
    """
    users = np.flatnonzero(of_users.any(axis=1))
    if not len(users):
        raise MusicRecError(
            f"no user of {held_out.split} has factors, so nobody can be queried for; train on more "
            "plays or hold fewer out"
        )

    def place(user: int) -> bytes:
        return hashlib.blake2b(f"{params.seed}:{held_out.user_ids[user]}".encode()).digest()

    chosen = np.array(sorted(users.tolist(), key=place)[: params.n_queries])
    plays = (held_out.history.rows(chosen), held_out.truth.rows(chosen))
    return Dataset(items, of_users[chosen], *plays)


def run_benchmark(
    dataset: Dataset, params: AnnBenchParams, on_step: Callable[[str], None] = lambda step: None
) -> Rows:
    """Measure every method of `params.methods`, in this process; `on_step` hears what comes next.

    Returns
    -------
    list of dict
        Rows of `plots/ann_bench/tradeoff.json`, one a setting: queries a second are of one query at
        a time on one thread; `map` is of the first k tracks that the user has not played.

    Raises
    ------
    MusicRecError
        A method needs a package that is not installed.
    """
    k, seen = min(params.k, len(dataset.items)), dataset.seen
    rows: Rows = []
    if seen is not None:
        best = dataset.exact.search(dataset.queries, k, (seen.indptr, seen.indices))[0]
        best_map = dataset.mean_precision(best, k)
    for name in params.methods:
        on_step(f"measuring {name}")
        method = METHODS[name]
        for build, arguments in grid(name, params, len(dataset.items), k):
            started = time.perf_counter()
            index = method.build(dataset.items, build, params.seed)
            seconds = time.perf_counter() - started
            label = f"{name}, {method.build_parameter} {build}" if method.build_parameter else name
            for argument in arguments:
                setting = f"{method.query_parameter} {argument}"
                speed, answers = _measured(index, argument, dataset, k, params.repeats)
                row: dict[str, Any] = {
                    "method": label,
                    "exact": method.exact,
                    "setting": setting if method.query_parameter else "exact",
                    **speed,
                    "build_seconds": seconds,
                    "index_megabytes": index.n_bytes / 1e6,
                    "recall": dataset.recall([answer[:k] for answer in answers], k),
                }
                if seen is not None:
                    row["map"] = dataset.mean_precision(answers, k)
                    row["map_lost"] = best_map - row["map"]
                rows.append(row)
    return rows


def _measured(
    index: Index, argument: int, dataset: Dataset, k: int, repeats: int
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Speed, of one query at a time on one thread and the best of some runs, and the answers.

    Every query is for as many items more than k as its user has played tracks, as a recommender
    asks.
    """
    queries = dataset.queries
    played = np.zeros(len(queries), np.int64) if dataset.seen is None else dataset.seen.lengths
    lengths = np.minimum(k + played, len(dataset.items)).tolist()

    def ask(n: int) -> tuple[np.ndarray, list[Ids]]:
        latencies, answers = np.empty(n), []
        for i, (query, length) in enumerate(zip(queries[:n], lengths[:n], strict=True)):
            start = time.perf_counter()
            answers.append(index.query(query, length, argument))
            latencies[i] = time.perf_counter() - start
        return latencies, answers

    with threadpool_limits(1):  # our own kernels have one thread anyway
        ask(min(WARM_UP, len(queries)))
        runs = [ask(len(queries)) for _ in range(repeats)]
    latencies, answers = min(runs, key=lambda run: float(run[0].sum()))
    median, p99 = np.percentile(latencies, (50, 99)) * 1e3
    figures = {
        "queries_per_second": len(latencies) / float(latencies.sum()),
        "median_milliseconds": median,
        "p99_milliseconds": p99,
    }
    found = [np.asarray(answer, dtype=np.int64) for answer in answers]
    return figures, [answer[answer >= 0] for answer in found]


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


def exported_recall(dataset: Dataset, k: int, export: ExportParams) -> dict[str, float]:
    """Figures of metrics/ann_bench.json: recall of the exported index at Annoy's default search_k.

    The same bytes on every run and every machine, unlike what a clock says.
    """
    k = min(k, len(dataset.items))
    index = build_annoy(dataset.items, export.n_trees, export.seed)
    answers = [index.query(query, k, export.n_trees * k) for query in dataset.queries]
    return {"ann_recall": dataset.recall(answers, k)}


def describe_machine() -> dict[str, str | int]:
    """Name the processor, the cores allowed and the versions of what was measured."""
    found: dict[str, str | int] = {
        "processor": platform.processor() or platform.machine(),
        "cores": thread_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else ():
        if line.startswith("model name"):
            found["processor"] = line.partition(":")[2].strip()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
