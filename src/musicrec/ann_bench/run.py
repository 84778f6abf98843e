"""The benchmark of approximate against exact search: what runs, and what is reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.fold_in import read_model
from musicrec.ann_bench.methods import METHODS, Annoy, Exact, Method, below_full_scan, grid
from musicrec.ann_bench.recall import QueryPlays, ask_all, judge_lists, list_quality, recall
from musicrec.ann_bench.timing import one_thread, time_batch, time_queries
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.jit.parallel import for_blocks
from musicrec.params import AnnBenchParams, ExportParams

RECALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
FOUND = 0.9995  # of all: a setting that inspects more has nothing to find
# What is left to `thorough`, where it takes long and adds little to the curves:
BUDGET = 0.5  # timed queries of an exact method, beyond so many seconds
BUDGET_OF_SETTING = 0.03  # the same of an approximate one's settings, which are many
PLACED = 4_000_000  # forests of Annoy's `dot` that place more items in trees
NODES = 250_000  # queries after those that make such a forest inspect so many, for its recall
CHECKED = 20  # queries for such a recall at least; for an exact method's, all
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

    @cached_property
    def exact(self) -> Exact:
        """Exact search of the items, built once."""
        method = Exact(0, 0)
        method.fit_all([method], self.items)
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
    checked_queries: int = 0
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
    held_out = read_held_out(indexed, "validation")
    return catalogue_of(held_out, *read_model(factors, held_out), params, export)


def catalogue_of(
    held_out: HeldOut,
    of_users: np.ndarray,
    items: np.ndarray,
    params: AnnBenchParams,
    export: ExportParams,
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
    k = min(params.k, len(catalogue.items))
    exact_scores = catalogue.exact_scores(k)
    exact: dict[str, np.ndarray] = {}
    if catalogue.plays is not None:
        seen = (catalogue.plays.seen.indptr, catalogue.plays.seen.indices)
        unseen, _ = catalogue.exact.index.search(catalogue.queries, k, seen)
        exact = judge_lists(unseen, catalogue.plays.truth, k)
    plan = list(_plan(catalogue, params))
    on_step("building the indexes")
    _fit_all([method for _, group in plan for method, _ in group], catalogue.items)
    measured: list[Setting] = []
    for name, group in plan:
        on_step(f"measuring {name}")
        for method, arguments in group:
            for argument in arguments:
                method.set_query_argument(argument)
                asked = None if params.thorough else _checked(method)
                with one_thread():
                    found = _found(method, catalogue, exact_scores[:asked], exact)
                    latencies = _latencies(method, catalogue.queries, k, params)
                timed = catalogue.queries[: len(latencies)]
                measured.append(
                    Setting(
                        method=name,
                        build=method.build,
                        argument=argument,
                        latencies=latencies,
                        build_seconds=method.build_seconds or 0.0,
                        index_bytes=method.index_bytes,
                        batch_seconds=time_batch(method, timed, k, _repeats(params)),
                        **found,
                    )
                )
                if measured[-1].recall >= FOUND:
                    break
    return measured


def _fit_all(methods: Sequence[Method], items: np.ndarray) -> None:
    """Build the indexes that are not built yet side by side, on a thread each."""
    units: list[list[Method]] = []
    for method in methods:
        if method.build_seconds is not None:
            continue
        if method.fits_together and (mates := [u for u in units if type(u[0]) is type(method)]):
            mates[0].append(method)
        else:
            units.append([method])
    # The longest build first: the others share the remaining cores meanwhile.
    units.sort(key=lambda unit: -max(method.build for method in unit))

    def fit(start: int, stop: int) -> None:
        for unit in units[start:stop]:
            type(unit[0]).fit_all(unit, items)

    for_blocks(fit, list(range(len(units) + 1)))


def _checked(method: Method) -> int | None:
    """Of how many queries a method's recall is, as it is set; None: of all."""
    if method.exact:
        return CHECKED
    return max(CHECKED, NODES // method.argument) if method.haphazard else None


def _found(
    method: Method, catalogue: Catalogue, exact_scores: np.ndarray, exact: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Recall of a method as it is set, and the quality of its lists beside that of exact ones.

    Every query is asked for as many items more than k as its user has played tracks, as a
    recommender asks; the first k count for recall. Only the queries of `exact_scores` are asked,
    and the quality is that of exact lists, of all queries, less what those lose.
    """
    k, plays = exact_scores.shape[1], catalogue.plays
    queries = catalogue.queries[: len(exact_scores)]
    lengths = np.full(len(queries), k)
    if plays is not None:
        lengths += plays.seen.lengths[: len(queries)]
    answers = ask_all(method, queries, np.minimum(lengths, len(catalogue.items)))
    best = [answer[:k] for answer in answers]
    found: dict[str, Any] = {
        "recall": recall(catalogue.items, queries, best, exact_scores),
        "checked_queries": len(queries),
    }
    if plays is None:
        return found
    quality = {} if method.exact else list_quality(answers, plays, k)
    row: dict[str, float] = {}
    for name, values in exact.items():
        lost = float((values[: len(queries)] - quality.get(name, values[: len(queries)])).mean())
        row |= {name: float(values.mean()) - lost, f"{name}_lost": lost}
    return found | {"quality": row}


def _latencies(method: Method, queries: np.ndarray, k: int, params: AnnBenchParams) -> np.ndarray:
    """Seconds of each of the queries that the budget buys, one at a time."""
    budget = BUDGET if method.exact else BUDGET_OF_SETTING
    return time_queries(method, queries, k, _repeats(params), np.inf if params.thorough else budget)


def _repeats(params: AnnBenchParams) -> int:
    return max(params.repeats, THOROUGH_REPEATS if params.thorough else 1)


def _plan(
    catalogue: Catalogue, params: AnnBenchParams
) -> Iterator[tuple[str, list[tuple[Method, list[int]]]]]:
    """Methods to measure: each build of them with the query arguments to try.

    Unless thorough, Annoy is not asked to inspect as many nodes as there are items, which costs
    more than to look at every item, but at the default of our own index.
    """
    n_items = len(catalogue.items)
    for name in params.methods:
        if name == "exact":
            yield name, [(catalogue.exact, [0])]
            continue
        if params.thorough:
            search_k = sorted({*params.search_k, *THOROUGH_SEARCH_K})
            builds = grid(name, params.n_trees, search_k, n_items, params.k)
        else:
            search_k = [value for value in params.search_k if value < n_items]
            search_k = search_k or [min(params.search_k)]
            if name == "annoy" and catalogue.exported is not None:
                trees = catalogue.exported.build
                values = below_full_scan([*search_k, trees * params.k], trees, n_items)
                yield name, [(catalogue.exported, values)]
                continue
            n_trees = [trees for trees in params.n_trees if trees * n_items <= PLACED]
            n_trees = n_trees or [min(params.n_trees)]
            builds = grid(name, n_trees, search_k, n_items, params.k)
        yield name, [(METHODS[name](build, params.seed), values) for build, values in builds]


def headline(catalogue: Catalogue, k: int) -> dict[str, float]:
    """Figures of metrics/ann_bench.json: recall of the exported index at Annoy's default search_k.

    The same bytes on every run, unlike what a clock says.
    """
    method, items, queries = catalogue.exported, catalogue.items, catalogue.queries
    if method is None:
        raise MusicRecError("the headline figures are those of an exported index")
    k = min(k, len(items))
    if method.build_seconds is None:
        method.fit_all([method], items)
    method.set_query_argument(method.build * k)
    answers = [method.query(query, k) for query in queries]
    return {"ann_recall": recall(items, queries, answers, catalogue.exact_scores(k))}


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
        "checked_queries": setting.checked_queries,
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
