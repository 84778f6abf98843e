"""The benchmark of approximate against exact search: what runs, and what is reported."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.fold_in import read_model
from musicrec.ann_bench.measure import (
    QueryPlays,
    ask_all,
    judge_lists,
    list_quality,
    one_thread,
    recall,
    time_batch,
    time_queries,
)
from musicrec.ann_bench.methods import METHODS, Annoy, Exact, Method, grid
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.params import AnnBenchParams, ExportParams
from musicrec.storage.parquet import SPLITS

RECALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
MEGABYTE = 1e6
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Catalogue:
    """What is searched, and what exact search answers.

    Attributes
    ----------
    items : float32 array (n_items, rank)
    queries : float32 array (n_queries, rank)
    plays : QueryPlays, optional
        With it, the loss in MAP and nDCG of every setting is reported.
    """

    items: np.ndarray
    queries: np.ndarray
    plays: QueryPlays | None = None

    @cached_property
    def exact(self) -> Exact:
        """Exact search of the items, built once."""
        method = Exact(0, 0)
        method.fit(self.items)
        return method

    def exact_scores(self, k: int) -> np.ndarray:
        """Scores of the k best items of each query, falling: float32 (n_queries, k)."""
        return self.exact.index.search(self.queries, k)[1]


@dataclass(frozen=True)
class Setting:
    """One setting of one method; times in seconds."""

    method: str
    build: int
    argument: int
    recall: float
    latencies: np.ndarray
    build_seconds: float
    index_bytes: int
    quality: dict[str, float] = field(default_factory=dict)
    batch_seconds: float | None = None

    @property
    def queries_per_second(self) -> float:
        """Queries a second, one at a time on one thread."""
        return len(self.latencies) / float(self.latencies.sum())

    @property
    def label(self) -> str:
        """Name of the line of a plot that the setting belongs to."""
        parameter = METHODS[self.method].build_parameter
        return f"{self.method}, {parameter} {self.build}" if parameter else self.method


def read_catalogue(factors: Path, indexed: Path, params: AnnBenchParams) -> Catalogue:
    """Read a model's tracks, and held-out users to query for: the first by hash of (seed, id).

    Validation users where there are any; with `data.protocol: temporal` those of `evaluate.split`.

    Raises
    ------
    MusicRecError
        No held-out user has factors, or the factors do not fit the indexed plays.
    """
    split = next((one for one in SPLITS[1:] if (indexed / one).exists()), "validation")
    held_out = read_held_out(indexed, split)
    return catalogue_of(held_out, *read_model(factors, held_out), params)


def catalogue_of(
    held_out: HeldOut, of_users: np.ndarray, items: np.ndarray, params: AnnBenchParams
) -> Catalogue:
    """Choose held-out users to query for, as `read_catalogue` does, given all their factors.

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
    names = held_out.user_ids
    digest = [
        hashlib.blake2b(f"{params.seed}:{names[int(user)]}".encode()).digest() for user in users
    ]
    chosen = users[sorted(range(len(users)), key=digest.__getitem__)[: params.n_queries]]
    return Catalogue(
        items=items,
        queries=of_users[chosen],
        plays=QueryPlays(held_out.history.rows(chosen), held_out.truth.rows(chosen)),
    )


def run_benchmark(
    catalogue: Catalogue,
    params: AnnBenchParams,
    on_step: Callable[[str], None] = lambda step: None,
) -> list[Setting]:
    """Measure every method of `params.methods`, in this process.

    Parameters
    ----------
    on_step : callable, optional
        Told what comes next, before each build.

    Raises
    ------
    MusicRecError
        A method needs a package that is not installed.
    """
    k = min(params.k, len(catalogue.items))
    exact_scores = catalogue.exact_scores(k)
    exact: dict[str, np.ndarray] = {}
    if catalogue.plays is not None:
        seen = (catalogue.plays.seen.indptr, catalogue.plays.seen.indices)
        unseen, _ = catalogue.exact.index.search(catalogue.queries, k, seen)
        exact = judge_lists(unseen, catalogue.plays.truth, k)
    measured: list[Setting] = []
    for name in params.methods:
        on_step(f"measuring {name}")
        for build, arguments in grid(name, params, len(catalogue.items), k):
            method = METHODS[name](build, params.seed)
            started = time.perf_counter()
            method.fit(catalogue.items)
            build_seconds = time.perf_counter() - started
            for argument in arguments:
                method.set_query_argument(argument)
                with one_thread():
                    found, quality = _found(method, catalogue, exact_scores, exact)
                    latencies = time_queries(method, catalogue.queries, k, params.repeats)
                measured.append(
                    Setting(
                        method=name,
                        build=build,
                        argument=argument,
                        recall=found,
                        quality=quality,
                        latencies=latencies,
                        build_seconds=build_seconds,
                        index_bytes=method.index_bytes,
                        batch_seconds=time_batch(method, catalogue.queries, k, params.repeats),
                    )
                )
    return measured


def _found(
    method: Method, catalogue: Catalogue, exact_scores: np.ndarray, exact: dict[str, np.ndarray]
) -> tuple[float, dict[str, float]]:
    """Recall of a method as it is set, and the quality of its lists beside that of exact ones.

    Every query is asked for as many items more than k as its user has played tracks, as a
    recommender asks; the first k count for recall.
    """
    k, plays, queries = exact_scores.shape[1], catalogue.plays, catalogue.queries
    lengths = np.full(len(queries), k)
    if plays is not None:
        lengths += plays.seen.lengths
    answers = ask_all(method, queries, np.minimum(lengths, len(catalogue.items)))
    found = recall(catalogue.items, queries, [answer[:k] for answer in answers], exact_scores)
    if plays is None:
        return found, {}
    quality = exact if method.exact else list_quality(answers, plays, k)
    row: dict[str, float] = {}
    for name, values in exact.items():
        best, own = float(values.mean()), float(quality[name].mean())
        row |= {name: own, f"{name}_lost": best - own}
    return found, row


def headline(catalogue: Catalogue, k: int, export: ExportParams) -> dict[str, float]:
    """Figures of metrics/ann_bench.json: recall of the exported index at Annoy's default search_k.

    The same bytes on every run and every machine, unlike what a clock says.
    """
    k = min(k, len(catalogue.items))
    method = Annoy(export.n_trees, export.seed)
    method.fit(catalogue.items)
    method.set_query_argument(export.n_trees * k)
    answers = [method.query(query, k) for query in catalogue.queries]
    exact_scores = catalogue.exact_scores(k)
    return {"ann_recall": recall(catalogue.items, catalogue.queries, answers, exact_scores)}


def setting_rows(measured: Sequence[Setting]) -> Rows:
    """Rows of `plots/ann_bench/tradeoff.json`, one a setting."""
    return [_row(setting) for setting in measured]


def _row(setting: Setting) -> dict[str, Any]:
    method = METHODS[setting.method]
    argument = method.query_parameter
    median, p95, p99 = np.percentile(setting.latencies, (50, 95, 99)) * 1e3
    batch = setting.batch_seconds and len(setting.latencies) / setting.batch_seconds
    return {
        "method": setting.label,
        "exact": method.exact,
        "setting": f"{argument} {setting.argument}" if argument else "exact",
        "recall": setting.recall,
        "queries_per_second": setting.queries_per_second,
        "median_milliseconds": median,
        "p95_milliseconds": p95,
        "p99_milliseconds": p99,
        "build_seconds": setting.build_seconds,
        "index_megabytes": setting.index_bytes / MEGABYTE,
        "batch_queries_per_second": batch,
        **setting.quality,
    }


def speed_up_rows(measured: Sequence[Setting]) -> Rows:
    """Rows of `plots/ann_bench/speed_up.json`: each approximate method beside the best exact one.

    `times_best_exact`: queries a second of its fastest setting whose recall reaches the level,
    over those of the best exact method; null where no setting does.
    """
    exact = [setting.queries_per_second for setting in measured if METHODS[setting.method].exact]
    names = dict.fromkeys(s.method for s in measured if not METHODS[s.method].exact)
    rows: Rows = []
    for level in RECALL_LEVELS if exact else ():
        for name in names:
            good = [
                setting.queries_per_second
                for setting in measured
                if setting.method == name and setting.recall >= level
            ]
            ratio = max(good) / max(exact) if good else None
            rows.append({"recall": level, "method": name, "times_best_exact": ratio})
    return rows
