"""Measure exact and approximate search on anyone's factors: a table, and a JSON of every setting.

    python benchmarks/search.py --factors item_factors.parquet --queries queries.npy --k 500 \\
        --json search.json --picture search.svg

`--factors` is a `.npy` matrix (n_items, rank) or Parquet with one list column. One query at a
time on one thread, warmed up, best of several runs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib import rc_context
from matplotlib.figure import Figure

from musicrec.ann_bench.methods import METHODS
from musicrec.ann_bench.run import (
    Dataset,
    Rows,
    describe_machine,
    run_benchmark,
)
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import checked_factors
from musicrec.params import AnnBenchParams
from musicrec.runtime import command
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_path
from musicrec.storage.parquet import parquet_parts, read_files

RECALL_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
COLUMNS = (
    "recall",
    "queries_per_second",
    "median_milliseconds",
    "p99_milliseconds",
    "build_seconds",
    "index_megabytes",
)


def read_factors(path: str) -> np.ndarray:
    """Read `.npy`, or the one list column of a Parquet file or folder."""
    if path.endswith(".npy"):
        return checked_factors(np.load(path, allow_pickle=False), path)
    table = read_files(parquet_parts(path))
    lists = [
        name
        for name in table.column_names
        if pa.types.is_list(table[name].type)
        or pa.types.is_large_list(table[name].type)
        or pa.types.is_fixed_size_list(table[name].type)
    ]
    if len(lists) != 1:
        raise MusicRecError(f"{path}: {len(lists)} list columns, but one is needed: the factors")
    column = table[lists[0]].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if len(table) == 0 or len(flat) % len(table):
        raise MusicRecError(f"{path}: the lists of {lists[0]} are not all of one length")
    return checked_factors(flat.reshape(len(table), -1), path)


def speed_up_rows(rows: Rows) -> Rows:
    """Put each approximate method beside the best exact one, by the recall that it reaches.

    `times_best_exact`: queries a second of its fastest setting whose recall reaches the level,
    over those of the best exact method; null where no setting does.
    """
    exact = max((row["queries_per_second"] for row in rows if row["exact"]), default=None)
    by_method: dict[str, Rows] = {}
    for row in rows:
        if not row["exact"]:
            by_method.setdefault(row["method"].partition(",")[0], []).append(row)
    found: Rows = []
    for level in RECALL_LEVELS if exact else ():
        for name, settings in by_method.items():
            good = [row["queries_per_second"] for row in settings if row["recall"] >= level]
            ratio = max(good) / exact if good else None
            found.append({"recall": level, "method": name, "times_best_exact": ratio})
    return found


def print_table(measured: Rows) -> None:
    """Print a line a setting, and the speed-ups."""
    print(f"{'':44}" + "".join(f"{name.split('_')[0]:>12}" for name in COLUMNS))
    for row in measured:
        cells = "".join(f"{_cell(row.get(column)):>12}" for column in COLUMNS)
        print(f"{row['method'] + ' ' + row['setting']:44}{cells}")
    ratios = speed_up_rows(measured)
    if ratios:
        print("\nqueries/s over those of the best exact method, by recall reached")
    for level, rows in itertools.groupby(ratios, lambda row: row["recall"]):
        ratios_here = (f"{row['method']} {_cell(row['times_best_exact'])}" for row in rows)
        print(f"recall {level:<7}" + "; ".join(ratios_here))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@command
def main() -> None:
    """Run the benchmark."""
    defaults = AnnBenchParams()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--factors", required=True, help="item factors: .npy, or Parquet")
    parser.add_argument("--queries", required=True, help="query vectors: .npy, or Parquet")
    parser.add_argument("--k", type=int, default=defaults.k)
    parser.add_argument("--json", help="where to write every figure")
    parser.add_argument("--picture", help="where to draw recall against speed, as SVG")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(defaults.methods))
    parser.add_argument("--n-trees", nargs="+", type=int, default=list(defaults.n_trees))
    parser.add_argument("--search-k", nargs="+", type=int, default=list(defaults.search_k))
    parser.add_argument(
        "--n-queries", type=int, default=defaults.n_queries, help="the first so many"
    )
    parser.add_argument("--repeats", type=int, default=defaults.repeats)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    args = parser.parse_args()
    items = read_factors(args.factors)
    queries = read_factors(args.queries)[: args.n_queries]
    params = AnnBenchParams(
        k=args.k,
        methods=tuple(args.methods),
        n_trees=tuple(args.n_trees),
        search_k=tuple(args.search_k),
        n_queries=args.n_queries,
        repeats=args.repeats,
        seed=args.seed,
    )
    rows = run_benchmark(Dataset(items, queries), params)
    print_table(rows)
    if args.json:
        report = {"settings": rows, "speed_up": speed_up_rows(rows)}
        write_json(args.json, report | {"machine": describe_machine()})
    if args.picture:
        draw_tradeoff(
            args.picture, rows, f"{len(items):,} items, rank {items.shape[1]}, k = {args.k}"
        )


def draw_tradeoff(path: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw the rows of `run_benchmark` as an SVG that opens without a network."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        point = (row["recall"], row["queries_per_second"])
        lines.setdefault(row["method"], []).append(point)
    methods = list(dict.fromkeys(name.partition(",")[0] for name in lines))
    builds = dict.fromkeys(methods, 0)  # drawn so far, for another marker each
    with (
        rc_context({"svg.hashsalt": "musicrec", "svg.fonttype": "none"}),
        atomic_path(path) as temporary,
    ):
        figure = Figure(figsize=(10, 6))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.08, right=0.8, top=0.93, bottom=0.09)
        for name, points in lines.items():
            method = name.partition(",")[0]
            style, size = ("osDv^PX"[builds[method] % 7], 5) if len(points) > 1 else ("*", 12)
            builds[method] += 1
            look: dict[str, Any] = {
                "color": f"C{methods.index(method)}",
                "marker": style,
                "markersize": size,
            }
            axes.plot(*zip(*sorted(points), strict=True), label=name, linewidth=1, **look)
        front = pareto_front([point for points in lines.values() for point in points])
        dashes: dict[str, Any] = {"color": "black", "linewidth": 1, "zorder": 0}
        axes.plot(*zip(*front, strict=True), "--", label="Pareto front", **dashes)
        axes.set(title=title, xlabel="recall by score threshold", yscale="log")
        axes.set_ylabel("queries per second, one at a time on one thread")
        axes.grid(True, which="both", alpha=0.2)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the points that no other beats in both recall and speed, by rising recall."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


if __name__ == "__main__":
    sys.exit(main())
