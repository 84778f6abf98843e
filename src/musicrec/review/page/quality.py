"""Sections about the lists: metrics by k, slices of the users, beyond accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from musicrec.metrics.intervals import CONFIDENCE, FEWEST_USERS
from musicrec.metrics.ranking import METRICS, metric_title
from musicrec.review.page.charts import (
    BASELINE_COLOURS,
    COLOURS,
    DASHED,
    DOTTED,
    Axis,
    Figure,
    Rows,
    Series,
    intervals_up,
    lines,
)
from musicrec.review.page.figures import MODEL, Figures
from musicrec.review.page.section import Section, labelled

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
    lengths = sorted({row["k"] for row in rows})
    x = Axis("k", "k, length of the list (log scale)", log=True, values=lengths)
    figures = []
    for metric in METRICS if rows else ():
        name, drawn, among = metric_title(metric), rows, shown
        if metric == "precision":
            ceiling = _of_model(revisions[-1].rows["metrics"], MODEL)
            drawn = rows + [
                row | {"series": "ceiling", "precision": row["precision_ceiling"]}
                for row in ceiling
            ]
            among = [*shown, Series("ceiling", COLOURS[0], DOTTED)]
        # A revision may be older than the metric.
        kept = [
            {key: row[key] for key in ("series", "k", metric)} for row in drawn if metric in row
        ]
        if not kept:
            continue
        columns = {"series": "series", "k": "k", metric: f"{name}@k"}
        figure = Figure(f"{metric}_at_k", f"{name} at k", kept, columns, among)
        figures.append(lines(figure, x, Axis(metric, f"{name}@k, mean over users", zero=True)))
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
    lengths = sorted({row["k"] for row in rows})
    x = Axis("k", "k, length of the list (log scale)", log=True, values=lengths)
    figures = []
    for name, title in BEYOND.items() if rows else ():
        kept = [{key: row[key] for key in ("series", "k", name)} for row in rows]
        columns = {"series": "revision", "k": "k", name: title}
        figure = Figure(
            f"{name}_of_lists", title.partition(" (")[0].capitalize(), kept, columns, series
        )
        figures.append(lines(figure, x, Axis(name, title, zero=True)))
    return Section("beyond", "Beyond accuracy", "How much of the catalogue is shown.", figures)


def slices(revisions: Sequence[Figures], series: Sequence[Series]) -> Section:
    """MAP and nDCG by slices of the users."""
    figures = []
    for slicing, title in SLICES.items():
        source = revisions[-1].rows[slicing]
        shown = [*series, *(Series(n, c, DASHED) for n, c in BASELINE_COLOURS.items())]
        rows = [
            row
            for revision in revisions
            for row in labelled(_of_model(revision.rows[slicing], MODEL), revision.name)
        ]
        rows += [
            row for name in BASELINE_COLOURS for row in labelled(_of_model(source, name), name)
        ]
        for metric in ("map", "ndcg") if rows else ():
            kept = [
                {
                    "series": row["series"],
                    "slice": row["slice"],
                    "users": row["n_users"],
                    metric: row[metric],
                    "low": row[f"{metric}_low"] if row["n_users"] >= FEWEST_USERS else None,
                    "high": row[f"{metric}_high"] if row["n_users"] >= FEWEST_USERS else None,
                }
                for row in rows
            ]
            name = metric_title(metric)
            columns = {
                "series": "series",
                "slice": title,
                "users": "users",
                metric: name,
                "low": "low",
                "high": "high",
            }
            key = f"{metric}_{slicing}"
            figure = Figure(key, f"{name} by {title}", kept, columns, shown)
            value = Axis(metric, f"{name}, mean over users")
            figures.append(intervals_up(figure, Axis("slice", title), value))
    return Section(
        "slices",
        "For whom",
        f"The same at the longest k over parts of the users, with {CONFIDENCE} intervals. Parts of "
        f"fewer than {FEWEST_USERS} users have none: they say little.",
        figures,
    )


def _of_model(rows: Rows, model: str) -> Rows:
    return [row for row in rows if row["model"] == model]
