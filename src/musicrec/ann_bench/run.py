"""The benchmark of approximate against exact search: what runs, and what is reported.

Timing is in `musicrec.ann_bench.timing`, the arms in `musicrec.ann_bench.methods`, the picture in
`musicrec.ann_bench.picture`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.ann_bench.methods import ARMS, grid
from musicrec.ann_bench.timing import (
    HeldOut,
    Job,
    Point,
    describe_machine,
    judge_lists,
    measure,
)
from musicrec.errors import MusicRecError
from musicrec.interactions import Interactions, read_interactions, read_sizes
from musicrec.params.ann_bench import AnnBenchParams
from musicrec.parquet import read_table
from musicrec.search.exact import ExactIndex

RECALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
NEVER = "never reaches"
MEBIBYTE = 2.0**20


@dataclass(frozen=True)
class Report:
    """What the benchmark found.

    Attributes
    ----------
    quality : dict
        Recall, index bytes and metric loss: the same bytes on every run.
    speed : dict
        Everything that a clock or the memory of a process says, the machine, and `points`.
    """

    quality: dict[str, Any]
    speed: dict[str, Any]


def read_query_users(
    bundle: str | os.PathLike[str],
    indexed: str | os.PathLike[str],
    n_queries: int,
    seed: int,
) -> tuple[np.ndarray, HeldOut]:
    """Choose validation users to query for, the first by hash of (seed, user id).

    Returns
    -------
    queries : float32 array (n, rank), n at most `n_queries`
        Factors of users who have any and have held-out plays.
    held_out : HeldOut
        Their training plays and held-out plays.

    Raises
    ------
    MusicRecError
        There is no such user.
    """
    bundle, indexed = Path(bundle), Path(indexed)
    sizes = read_sizes(indexed / "sizes.json")
    truth = read_interactions(indexed / "validation", sizes.n_all_users, sizes.n_all_items)
    factors = np.load(bundle / "user_factors.npy")
    users = np.flatnonzero((np.diff(truth.indptr)[: len(factors)] > 0) & factors.any(axis=1))
    if not len(users):
        raise MusicRecError(
            f"{indexed / 'validation'} holds no play of a user with factors, so nobody can be "
            "queried for; train on more plays or hold fewer out"
        )
    names = read_table(bundle / "users.parquet", ["user_id"]).column("user_id").to_pylist()
    digest = [hashlib.blake2b(f"{seed}:{names[user]}".encode()).digest() for user in users]
    chosen = users[sorted(range(len(users)), key=digest.__getitem__)[:n_queries]]
    indptr, indices = (np.load(bundle / f"seen_{name}.npy") for name in ("indptr", "indices"))
    seen = Interactions(indptr, indices, np.ones(len(indices), np.float32), sizes.n_items)
    return factors[chosen], HeldOut(seen.rows(chosen), truth.rows(chosen))


def run_benchmark(
    items: str | os.PathLike[str],
    queries: np.ndarray,
    params: AnnBenchParams,
    held_out: HeldOut | None = None,
) -> Report:
    """Measure every arm of `params.methods`.

    Parameters
    ----------
    items : path
        Item factors, float32 `.npy` (n_items, rank).
    queries : float32 array (n, rank)
    held_out : HeldOut, optional
        With it, the metric loss of every setting is reported.

    Raises
    ------
    MusicRecError
        An arm needs a package that is not installed.
    """
    factors = np.load(items)
    index = ExactIndex(factors)
    exact_scores = index.search(queries, params.k)[1]
    exact_quality: dict[str, float] = {}
    if held_out is not None:
        seen = (held_out.seen.indptr, held_out.seen.indices)
        lists, _ = index.search(queries, params.k, seen)
        exact_quality = judge_lists(lists, held_out.truth, params.k)
    points: list[Point] = []
    for name in params.methods:
        plan = grid(name, params.n_trees, params.search_k, len(factors), params.k)
        if sys.stderr.isatty():
            print(f"measuring {name}", file=sys.stderr)
        points += measure(
            Job(
                arm=name,
                items=Path(items),
                queries=queries,
                k=params.k,
                plan=plan,
                repeats=params.repeats,
                seed=params.seed,
                exact_scores=exact_scores,
                held_out=held_out,
            )
        )
    shape = {"n_items": len(factors), "rank": factors.shape[1], "n_queries": len(queries)}
    quality = {
        "k": params.k,
        **shape,
        **exact_quality,
        "arms": _nest(points, _quality(exact_quality)),
    }
    speed = {
        "machine": describe_machine(),
        "arms": _nest(points, _speed),
        "speed_up": speed_up(points),
        "points": [_plotted(point) for point in points],
    }
    return Report(quality, speed)


def speed_up(points: Sequence[Point]) -> dict[str, dict[str, float | str]]:
    """Compare the fastest setting of each approximate arm with the best exact arm.

    Returns
    -------
    dict
        `recall_0.5`, … -> arm -> queries a second over those of the best exact arm, among the
        settings whose recall reaches the level; "never reaches" where none does.
    """
    exact = [queries_per_second(p) for p in points if ARMS[p.arm].exact]
    if not exact:
        return {}
    names = dict.fromkeys(p.arm for p in points if not ARMS[p.arm].exact)
    table: dict[str, dict[str, float | str]] = {}
    for level in RECALL_LEVELS:
        row: dict[str, float | str] = {}
        for name in names:
            good = [queries_per_second(p) for p in points if p.arm == name and p.recall >= level]
            row[name] = max(good) / max(exact) if good else NEVER
        table[f"recall_{level}"] = row
    return table


def queries_per_second(point: Point) -> float:
    """Queries a second, one at a time on one thread."""
    return len(point.latencies) / float(point.latencies.sum())


def label(point: Point) -> str:
    """Name the line of a plot that a point belongs to."""
    parameter = ARMS[point.arm].build_parameter
    return f"{point.arm}, {parameter} {point.build}" if parameter else point.arm


def _nest(points: Sequence[Point], describe) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    """Nest points as arm, build, query argument; what belongs to the build stands beside these."""
    arms: dict[str, Any] = {}
    for point in points:
        of_build, of_point = describe(point)
        node = arms.setdefault(point.arm, {})
        if build := ARMS[point.arm].build_parameter:
            node = node.setdefault(f"{build}_{point.build}", {})
        node |= of_build
        if argument := ARMS[point.arm].query_parameter:
            node = node.setdefault(f"{argument}_{point.argument}", {})
        node |= of_point
    return arms


def _quality(exact: dict[str, float]):  # type: ignore[no-untyped-def]
    def describe(point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
        lost = {f"{name}_lost": exact[name] - value for name, value in point.quality.items()}
        return {"index_bytes": point.index_bytes}, {"recall": point.recall, **lost}

    return describe


def _speed(point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    median, p95, p99 = np.percentile(point.latencies, (50, 95, 99)) * 1e6
    of_build = {
        "build_seconds": point.build_seconds,
        "peak_memory_mib": point.peak_memory / MEBIBYTE,
    }
    batch = {}
    if point.batch_seconds is not None:
        batch["batch_queries_per_second"] = len(point.latencies) / point.batch_seconds
    return of_build, batch | {
        "queries_per_second": queries_per_second(point),
        "median_microseconds": median,
        "p95_microseconds": p95,
        "p99_microseconds": p99,
    }


def _plotted(point: Point) -> dict[str, Any]:
    argument = ARMS[point.arm].query_parameter
    return {
        "arm": label(point),
        "setting": f"{argument} {point.argument}" if argument else "exact",
        "recall": point.recall,
        "queries_per_second": queries_per_second(point),
    }
