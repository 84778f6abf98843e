"""The benchmark of approximate against exact search: what runs, and what is reported."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.ann_bench.methods import METHODS, Annoy, Method, below_full_scan, grid
from musicrec.ann_bench.recall import QueryPlays, judge_lists, list_quality, recall
from musicrec.ann_bench.timing import one_thread, time_batch, time_queries
from musicrec.errors import MusicRecError
from musicrec.factors import read_factors
from musicrec.interactions import read_interactions, read_sizes
from musicrec.parallel import for_blocks
from musicrec.params.ann_bench import AnnBenchParams
from musicrec.params.export import ExportParams
from musicrec.parquet import read_table
from musicrec.search.exact import ExactIndex

RECALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
FOUND = 0.9995  # of all: a setting that inspects more has nothing to find
BUDGET = 1.0  # seconds of timed queries a setting, unless thorough
THOROUGH_SEARCH_K = (100, 500, 1000, 5000, 10_000, 50_000, 100_000, 500_000)
THOROUGH_REPEATS = 3
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
    exported : Annoy, optional
        The index that `export` puts into a bundle, to be built here from the same parameters.
    """

    items: np.ndarray
    queries: np.ndarray
    plays: QueryPlays | None = None
    exported: Annoy | None = None


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


def read_catalogue(
    factors: Path, indexed: Path, params: AnnBenchParams, export: ExportParams
) -> Catalogue:
    """Read a model's tracks, and validation users to query for: the first by hash of (seed, id).

    Raises
    ------
    MusicRecError
        No validation user has factors, or the factors do not fit the indexed plays.
    """
    sizes = read_sizes(indexed / "sizes.json")
    truth = read_interactions(indexed / "validation", sizes.n_all_users, sizes.n_all_items)
    user_factors, items = read_factors(factors, sizes.n_users, sizes.n_items)
    with_plays = np.flatnonzero(truth.lengths[: sizes.n_users])
    users = with_plays[user_factors[with_plays].any(axis=1)]
    if not len(users):
        raise MusicRecError(
            f"{indexed / 'validation'} holds no play of a user with factors, so nobody can be "
            "queried for; train on more plays or hold fewer out"
        )
    names = read_table(indexed / "users.parquet", ["user_id"]).column("user_id")
    digest = [
        hashlib.blake2b(f"{params.seed}:{names[int(user)]}".encode()).digest() for user in users
    ]
    chosen = users[sorted(range(len(users)), key=digest.__getitem__)[: params.n_queries]]
    seen = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    return Catalogue(
        items=items,
        queries=user_factors[chosen],
        plays=QueryPlays(seen.rows(chosen), truth.rows(chosen)),
        exported=Annoy(export.n_trees, export.seed),
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
    items, queries = catalogue.items, catalogue.queries
    k = min(params.k, len(items))
    index = ExactIndex(items)
    exact_scores = index.search(queries, k)[1]
    exact: dict[str, float] = {}
    if catalogue.plays is not None:
        seen = (catalogue.plays.seen.indptr, catalogue.plays.seen.indices)
        exact = judge_lists(index.search(queries, k, seen)[0], catalogue.plays.truth, k)
    measured: list[Setting] = []
    for name, plan in _plan(catalogue, params):
        on_step(f"measuring {name}")
        seconds = _fit_all([method for method, _ in plan], items)
        for (method, arguments), build_seconds in zip(plan, seconds, strict=True):
            for argument in arguments:
                method.set_query_argument(argument)
                quality = exact if method.exact else _quality(method, catalogue, k)
                lost = {f"{which}_lost": exact[which] - value for which, value in quality.items()}
                measured.append(
                    Setting(
                        method=name,
                        build=method.build,
                        argument=argument,
                        build_seconds=build_seconds,
                        index_bytes=method.index_bytes,
                        quality=quality | lost,
                        **_measure(method, catalogue, params, exact_scores),
                    )
                )
                if measured[-1].recall >= FOUND:
                    break
    return measured


def _fit_all(methods: Sequence[Method], items: np.ndarray) -> list[float]:
    """Build the indexes side by side, a thread each; returns the seconds that each took."""
    seconds = [0.0] * len(methods)

    def fit(start: int, stop: int) -> None:
        for place in range(start, stop):
            since = time.perf_counter()
            methods[place].fit(items)
            seconds[place] = time.perf_counter() - since

    # The longest build first: the others share the remaining cores meanwhile.
    order = sorted(range(len(methods)), key=lambda place: -methods[place].build)
    methods = [methods[place] for place in order]
    for_blocks(fit, list(range(len(methods) + 1)))
    return [seconds[order.index(place)] for place in range(len(methods))]


def _measure(
    method: Method, catalogue: Catalogue, params: AnnBenchParams, exact_scores: np.ndarray
) -> dict[str, Any]:
    """Recall and speed of a method as it is set."""
    items, queries = catalogue.items, catalogue.queries
    k = exact_scores.shape[1]
    repeats = max(params.repeats, THOROUGH_REPEATS if params.thorough else 1)
    # Every query counts for an approximate method's recall; an exact one's is known.
    budget = BUDGET if method.exact and not params.thorough else np.inf
    with one_thread():
        answers, latencies = time_queries(method, queries, k, repeats, budget)
    asked = len(answers)
    return {
        "recall": recall(items, queries[:asked], answers, exact_scores[:asked]),
        "latencies": latencies,
        "batch_seconds": time_batch(method, queries[:asked], k, repeats),
    }


def _quality(method: Method, catalogue: Catalogue, k: int) -> dict[str, float]:
    if catalogue.plays is None:
        return {}
    with one_thread():
        return list_quality(method, catalogue.items, catalogue.queries, catalogue.plays, k)


def _plan(
    catalogue: Catalogue, params: AnnBenchParams
) -> Iterator[tuple[str, list[tuple[Method, list[int]]]]]:
    """Methods to measure: each build of them with the query arguments to try."""
    n_items = len(catalogue.items)
    search_k = sorted({*params.search_k, *(THOROUGH_SEARCH_K if params.thorough else ())})
    for name in params.methods:
        if name == "annoy" and catalogue.exported is not None and not params.thorough:
            trees = catalogue.exported.build
            values = below_full_scan([*search_k, trees * params.k], trees, n_items)
            yield name, [(catalogue.exported, values)]
            continue
        builds = grid(name, params.n_trees, search_k, n_items, params.k)
        yield name, [(METHODS[name](build, params.seed), values) for build, values in builds]


def headline(catalogue: Catalogue, k: int) -> dict[str, float]:
    """Figures of metrics/ann_bench.json: recall of the exported index at Annoy's default search_k.

    The same bytes on every run, unlike what a clock says.
    """
    method, items, queries = catalogue.exported, catalogue.items, catalogue.queries
    if method is None:
        raise MusicRecError("the headline figures are those of an exported index")
    k = min(k, len(items))
    method.fit(items)
    method.set_query_argument(method.build * k)
    answers = [method.query(query, k) for query in queries]
    return {"ann_recall": recall(items, queries, answers, ExactIndex(items).search(queries, k)[1])}


def setting_rows(measured: Sequence[Setting]) -> Rows:
    """Rows of `plots/ann_bench/tradeoff.json`, one a setting."""
    return [_row(setting) for setting in measured]


def _row(setting: Setting) -> dict[str, Any]:
    method = METHODS[setting.method]
    argument = method.query_parameter
    median, p95, p99 = np.percentile(setting.latencies, (50, 95, 99)) * 1e3
    row: dict[str, Any] = {
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
        "timed_queries": len(setting.latencies),
    }
    if setting.batch_seconds is not None:
        row["batch_queries_per_second"] = len(setting.latencies) / setting.batch_seconds
    return row | setting.quality


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
