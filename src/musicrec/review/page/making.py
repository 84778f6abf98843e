"""Sections about what made the lists: data, training, search."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from musicrec.review.page.charts import (
    SHAPES,
    TEXT,
    Axis,
    Figure,
    Rows,
    Series,
    fronts,
    lines,
)
from musicrec.review.page.figures import Figures
from musicrec.review.page.section import Section, labelled
from musicrec.review.page.tables import Table
from musicrec.review.page.words import number


def data(revisions: Sequence[Figures]) -> Section:
    """Play counts of each split; once where all revisions have the same."""
    columns = {
        "split": "split",
        "rows": "plays",
        "users": "users",
        "tracks": "tracks",
        "mean": "mean count",
        "sd": "sd",
        "min": "min",
        "p25": "25 %",
        "median": "median",
        "p75": "75 %",
        "max": "max",
        "share_of_count_1": "share of 1s",
        "cold_tracks": "new tracks",
    }
    cells, seen = [], []
    for revision in revisions:
        rows = revision.rows["counts"]
        if rows and rows not in seen:
            seen.append(rows)
            cells += [[revision.name, *(_count(row.get(key)) for key in columns)] for row in rows]
    header = ["revision", *columns.values()]
    text = (
        "A play is a row (user, track, count); the columns from mean to share of 1s are of its "
        "count. New tracks: unknown to training."
    )
    if len(seen) == 1 and len(revisions) > 1:
        text += " All revisions have the same."
        header, cells = header[1:], [row[1:] for row in cells]
    table = Table("data", header, cells) if cells else None
    return Section("data", "The data at a glance", text, table=table)


def _count(value: Any) -> str:
    """A number of the table of counts, of which most are whole though they are written as 3.0."""
    whole = isinstance(value, float) and value.is_integer()
    return number(int(value) if whole else value)


def loss(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Objective of the training by iteration, and validation nDCG where it was measured."""
    rows = [row for r in revisions for row in labelled(r.rows["loss"], r.name)]
    x = Axis("iteration", "iteration")
    figures = []
    for key, title, axis in (
        ("loss", "Objective of ALS", "loss, sum over all entries"),
        ("ndcg@100", "nDCG@100 while training", "nDCG@100 of validation users"),
    ):
        kept = [
            {name: row[name] for name in ("series", "iteration", key)}
            for row in rows
            if row.get(key) is not None
        ]
        if kept:
            columns = {"series": "revision", "iteration": "iteration", key: axis}
            figure = Figure(f"training_{key}", title, kept, columns, series)
            figures.append(lines(figure, x, Axis(key, axis, format="~s" if key == "loss" else "")))
    text = "The objective follows rank and parameters: compare it along a line, not across lines."
    return Section("loss", "Training", text, figures)


def search(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Speed of search against recall, and against what it costs in MAP."""
    rows = [
        {
            "series": revision.name,
            "method": row["method"].partition(",")[0],
            "build": row["method"],
            "setting": row["setting"],
            "recall": row["recall"],
            "queries_per_second": row["queries_per_second"],
            "p99_milliseconds": row.get("p99_milliseconds"),
            "build_seconds": row.get("build_seconds"),
            "index_megabytes": row.get("index_megabytes"),
            "map_lost": _share_lost(row),
        }
        for revision in revisions
        for row in revision.rows["tradeoff"]
    ]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    shapes = dict(zip(methods, itertools.cycle(SHAPES), strict=False))
    kinds = [Series(name, TEXT, shape=shape) for name, shape in shapes.items()]
    columns = {
        "series": "revision",
        "build": "method",
        "setting": "setting",
        "recall": "recall",
        "map_lost": "MAP lost, %",
        "queries_per_second": "queries per second",
        "p99_milliseconds": "99th percentile, ms",
        "build_seconds": "build, s",
        "index_megabytes": "index, MB",
    }
    y = Axis("queries_per_second", "queries per second, one thread (log scale)", log=True)
    figures = []
    for key, title, axis, better in (
        ("recall", "Speed against recall", "recall of exact search's tracks (share)", 1),
        ("map_lost", "Speed against what it costs in MAP", "MAP lost, % of exact search's", -1),
    ):
        known = _with_front([row for row in rows if row[key] is not None], key, better)
        if known:
            figure = Figure(f"speed_by_{key}", title, known, columns, series)
            figures.append(fronts(figure, Axis(key, axis), y, "method", kinds))
    return Section(
        "search",
        "Search: exact and approximate",
        "Up is faster. Joined: the settings that no other of the method beats in both. "
        + _measured_on(revisions),
        figures,
        more_legend=kinds,
    )


def _with_front(rows: Rows, key: str, better: int) -> Rows:
    """Mark the rows that no other of the same revision and method beats in both measures."""

    def beaten(row: dict[str, Any]) -> bool:
        mine = (better * row[key], row["queries_per_second"])
        return any(
            other["series"] == row["series"]
            and other["method"] == row["method"]
            and (theirs := (better * other[key], other["queries_per_second"])) != mine
            and theirs[0] >= mine[0]
            and theirs[1] >= mine[1]
            for other in rows
        )

    return [row | {"front": not beaten(row)} for row in rows]


def _share_lost(row: dict[str, Any]) -> float | None:
    """MAP that a setting loses, in percent of exact search's."""
    if row.get("map") is None or row.get("map_lost") is None:
        return None
    exact = row["map"] + row["map_lost"]
    return 100 * row["map_lost"] / exact if exact else None


def _measured_on(revisions: Sequence[Figures]) -> str:
    machines = {
        f"{r.machine['processor']}, {r.machine['cores']} cores" for r in revisions if r.machine
    }
    return f"Measured on {' and '.join(sorted(machines))}." if machines else ""
