"""The sections of the report: a title, a sentence, and charts or a table of rows of plots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.metrics.intervals import CONFIDENCE, FEWEST_USERS
from musicrec.metrics.ranking import METRICS, metric_title
from musicrec.page.charts import (
    BASELINE_COLOURS,
    COLOURS,
    DASHED,
    DOTTED,
    SHAPES,
    TEXT,
    Axis,
    Figure,
    Rows,
    Series,
    fronts,
    intervals_across,
    intervals_up,
    lines,
)
from musicrec.page.layout import Section, Table, labelled
from musicrec.page.numbers import number
from musicrec.review.figures import MODEL, Figures

BEYOND = {
    "coverage": "coverage (share of all tracks)",
    "gini": "Gini coefficient (0: all alike, 1: one track)",
    "novelty": "novelty (bits)",
    "popularity": "listeners of a recommended track",
}
SLICES = {
    "by_history": "tracks in the user's history",
    "by_popularity": "median listeners of the held-out tracks",
}
COUNTS = {
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


def changes(heads: Sequence[Figures], series: Sequence[Series]) -> Section:
    """The verdicts: relative change of each metric with its interval."""
    rows = [
        {
            "series": head.name,
            "metric": metric_title(name),
            "base": row.base,
            "head": row.head,
            "change": 100 * row.change,
            "low": 100 * (row.change_low or 0.0),
            "high": 100 * (row.change_high or 0.0),
            "p": row.adjusted_p_value,
            "verdict": head.result.verdict(name),
        }
        for head in heads
        if head.result
        for name, row in head.result.metrics.items()
        if row.change is not None
    ]
    margin = next((head.result.margin for head in heads if head.result), 0.0)
    columns = {"series": "revision", "metric": "metric", "base": "base", "head": "revision's"}
    columns |= {"change": "change, %", "low": "low, %", "high": "high, %"}
    columns |= {"p": "corrected p", "verdict": "verdict"}
    figure = Figure("changes", "Change of each metric", rows, columns, series)
    axis = Axis("change", "change of the mean, %")
    return Section(
        "changes",
        "Against the base",
        f"Paired over the same users, with the {CONFIDENCE} interval. Shaded: the margin within "
        "which a change does not matter.",
        [intervals_across(figure, "metric", axis, 100 * margin)] if rows else [],
    )


def baselines(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """The model beside each baseline, as shares of the baseline's metrics."""
    columns = {"series": "revision", "metric": "metric", "baseline": "baseline's"}
    columns |= {"difference": "difference", "share": "difference, %", "low": "low, %"}
    columns |= {"high": "high, %", "shown_higher": "shown to be higher"}
    figures = []
    for baseline in BASELINE_COLOURS:
        rows = [
            row
            | {"series": revision.name, "metric": metric_title(row["metric"])}
            | {
                name: 100 * row[value] / row["baseline"]
                for name, value in (("share", "difference"), ("low", "low"), ("high", "high"))
            }
            for revision in revisions
            for row in revision.rows["differences"]
            if row["against"] == baseline and row["baseline"]
        ]
        name = model_title(baseline)
        figure = Figure(f"over_{baseline}", f"Over {name}", rows, columns, series)
        axis = Axis("share", f"difference, % of {name}")
        if rows:
            figures.append(intervals_across(figure, "metric", axis))
    text = (
        "What any model has to beat, on the same users: the most played tracks (popularity), the "
        "tracks most similar to those a user has played (neighbours), and a linear model of the "
        f"same (EASE). Right of 0 the model is ahead; {CONFIDENCE} intervals."
    )
    return Section("baselines", "Against the baselines", text, figures)


def at_k(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Ranking metrics by the length of the list, for the models and the baselines."""
    rows, shown = [], list(series)
    for name, colour in BASELINE_COLOURS.items():
        of_each = [_of_model(revision.rows["metrics"], name) for revision in revisions]
        distinct = [rows for i, rows in enumerate(of_each) if rows and rows not in of_each[:i]]
        for i, found in enumerate(distinct):
            label = name if len(distinct) == 1 else f"{name} ({i + 1})"
            rows += labelled(found, label)
            shown.append(Series(label, colour, DASHED))
    for revision in revisions:
        rows += labelled(_of_model(revision.rows["metrics"], MODEL), revision.name)
    ceiling = [
        row | {"series": "ceiling", "precision": row["precision_ceiling"]}
        for row in _of_model(revisions[-1].rows["metrics"], MODEL)
    ]
    figures = []
    for metric in METRICS if rows else ():
        precise = metric == "precision"
        drawn = rows + ceiling if precise else rows
        among = [*shown, Series("ceiling", COLOURS[0], DOTTED)] if precise else shown
        name = metric_title(metric)
        figures += _by_k(f"{metric}_at_k", f"{name} at k", drawn, among, metric, f"{name}@k")
    return Section(
        "at_k",
        "Metrics by the length of the list",
        "Tracks that a user has played are never recommended. The ceiling is what perfect lists "
        "would reach.",
        figures,
    )


def beyond_accuracy(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Coverage, concentration, novelty and popularity of the lists."""
    rows = [row for r in revisions for row in labelled(r.rows["beyond_accuracy"], r.name)]
    figures = []
    for name, title in BEYOND.items():
        heading = title.partition(" (")[0].capitalize()
        figures += _by_k(f"{name}_of_lists", heading, rows, series, name, title)
    return Section("beyond", "Beyond accuracy", "How much of the catalogue is shown.", figures)


def _by_k(
    key: str, title: str, rows: Rows, series: Sequence[Series], value: str, heading: str
) -> list[Figure]:
    """A chart of a value by the length of the list; none where no row has it."""
    kept = [{name: row[name] for name in ("series", "k", value)} for row in rows if value in row]
    if not kept:
        return []
    lengths = sorted({row["k"] for row in kept})
    x = Axis("k", "k, length of the list (log scale)", log=True, values=lengths)
    columns = {"series": "series", "k": "k", value: heading}
    figure = Figure(key, title, kept, columns, series)
    return [lines(figure, x, Axis(value, f"{heading}, mean over users", zero=True))]


def slices(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """MAP and nDCG by slices of the users."""
    shown = [*series, *(Series(n, c, DASHED) for n, c in BASELINE_COLOURS.items())]
    figures = []
    for slicing, title in SLICES.items():
        source = revisions[-1].rows[slicing]
        of_each = [(r.name, _of_model(r.rows[slicing], MODEL)) for r in revisions]
        of_each += [(name, _of_model(source, name)) for name in BASELINE_COLOURS]
        rows = [row for name, found in of_each for row in labelled(found, name)]
        for metric in ("map", "ndcg") if rows else ():
            name = metric_title(metric)
            kept = [
                {"series": row["series"], "slice": row["slice"], "users": row["n_users"]}
                | {metric: row[metric]}
                | {
                    end: row[f"{metric}_{end}"] if row["n_users"] >= FEWEST_USERS else None
                    for end in ("low", "high")
                }
                for row in rows
            ]
            columns = {"series": "series", "slice": title, "users": "users", metric: name}
            columns |= {"low": "low", "high": "high"}
            figure = Figure(f"{metric}_{slicing}", f"{name} by {title}", kept, columns, shown)
            value = Axis(metric, f"{name}, mean over users")
            figures.append(intervals_up(figure, Axis("slice", title), value))
    return Section(
        "slices",
        "For whom",
        f"The same at the longest k over parts of the users, with {CONFIDENCE} intervals. Parts of "
        f"fewer than {FEWEST_USERS} users have none: they say little.",
        figures,
    )


def loss(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Objective of the training by iteration, and validation nDCG where it was measured."""
    rows = [row for r in revisions for row in labelled(r.rows["loss"], r.name)]
    figures = []
    for key, title, axis in (
        ("loss", "Objective of ALS", "loss, sum over all entries"),
        ("ndcg@100", "nDCG@100 while training", "nDCG@100 of validation users"),
    ):
        names = ("series", "iteration", key)
        kept = [{n: row[n] for n in names} for row in rows if row.get(key) is not None]
        if kept:
            columns = {"series": "revision", "iteration": "iteration", key: axis}
            figure = Figure(f"training_{key}", title, kept, columns, series)
            y = Axis(key, axis, format="~s" if key == "loss" else "")
            figures.append(lines(figure, Axis("iteration", "iteration"), y))
    text = "The objective follows rank and parameters: compare it along a line, not across lines."
    return Section("loss", "Training", text, figures)


def search(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """Speed of search against recall, and against what it costs in MAP."""
    names = ("setting", "recall", "queries_per_second")
    optional = ("p99_milliseconds", "build_seconds", "index_megabytes")
    rows = [
        {"series": revision.name, "method": row["method"].partition(",")[0], "build": row["method"]}
        | {name: row[name] for name in names}
        | {name: row.get(name) for name in optional}
        | {"map_lost": _share_lost(row)}
        for revision in revisions
        for row in revision.rows["tradeoff"]
    ]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    shapes = dict(zip(methods, itertools.cycle(SHAPES), strict=False))
    kinds = [Series(name, TEXT, shape=shape) for name, shape in shapes.items()]
    columns = {"series": "revision", "build": "method", "setting": "setting", "recall": "recall"}
    columns |= {"map_lost": "MAP lost, %", "queries_per_second": "queries per second"}
    columns |= {"p99_milliseconds": "99th percentile, ms", "build_seconds": "build, s"}
    columns |= {"index_megabytes": "index, MB"}
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
    machines = {
        f"{r.machine['processor']}, {r.machine['cores']} cores" for r in revisions if r.machine
    }
    text = "Up is faster. Joined: the settings that no other of the method beats in both."
    if machines:
        text += f" Measured on {' and '.join(sorted(machines))}."
    return Section("search", "Search: exact and approximate", text, figures, more_legend=kinds)


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


def data(revisions: Sequence[Figures]) -> Section:
    """Play counts of each split; once where all revisions have the same."""
    cells, seen = [], []
    for revision in revisions:
        rows = revision.rows["counts"]
        if rows and rows not in seen:
            seen.append(rows)
            cells += [[revision.name, *(_count(row.get(key)) for key in COUNTS)] for row in rows]
    header = ["revision", *COUNTS.values()]
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


def _of_model(rows: Rows, model: str) -> Rows:
    return [row for row in rows if row["model"] == model]
