"""What the report and the page of `musicrec original` both show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from musicrec.formatting import Table, number
from musicrec.page.charts import SHAPES, TEXT, Axis, Figure, Rows, Series, fronts

COUNTS = (
    *("split", "rows", "users", "tracks", "mean", "sd", "min", "p25", "median", "p75", "max"),
    *("share_of_count_1", "cold_tracks"),
)


def counts_table(rows: Rows, *before: str) -> Table:
    """Rows of `plots/data/counts.json` as a table; `before` are columns to put before its own."""
    columns = (*before, *COUNTS)
    cells = [[_count(row.get(name)) for name in columns] for row in rows]
    return Table([name.replace("_", " ") for name in columns], cells)


def _count(value: Any) -> str:
    """A number of the table of counts, of which most are whole though they are written as 3.0."""
    whole = isinstance(value, float) and value.is_integer()
    return number(int(value) if whole else value)


def speed_by_recall(rows: Rows, series: Sequence[Series]) -> tuple[list[Figure], list[Series]]:
    """Draw rows of `plots/ann_bench/tradeoff.json`, each with its `series`; and the shapes' names.

    A shape stands for a method, whatever it was built with.
    """
    columns = {"series": "series", "build": "method", "setting": "setting", "recall": "recall"}
    columns |= {"queries_per_second": "queries per second", "map_lost": "MAP lost"}
    columns |= {"p99_milliseconds": "99th percentile, ms", "build_seconds": "build, s"}
    columns |= {"index_megabytes": "index, MB"}
    rows = [r | {"build": r["method"], "method": r["method"].partition(",")[0]} for r in rows]
    shapes = zip(dict.fromkeys(r["method"] for r in rows), itertools.cycle(SHAPES), strict=False)
    kinds = [Series(name, TEXT, shape=shape) for name, shape in shapes]
    title = "Speed against recall"
    figure = Figure("speed_by_recall", title, with_front(rows), columns, series)
    x = Axis("recall", "recall of exact search's tracks (share)")
    y = Axis("queries_per_second", "queries per second, one thread (log scale)", log=True)
    return fronts(figure, x, y, "method", kinds), kinds


def with_front(rows: Rows) -> Rows:
    """Mark the rows that no other of the same series and method beats in recall and speed."""
    keys = ("series", "method", "recall", "queries_per_second")
    points = [tuple(row[key] for key in keys) for row in rows]
    beaten = [
        any(o[:2] == p[:2] and o != p and o[2] >= p[2] and o[3] >= p[3] for o in points)
        for p in points
    ]
    return [row | {"front": not worse} for row, worse in zip(rows, beaten, strict=True)]
