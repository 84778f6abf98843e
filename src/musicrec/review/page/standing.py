"""How the revisions stand: against the base and against the baselines."""

from __future__ import annotations

from collections.abc import Sequence

from musicrec.baselines.lists import model_title
from musicrec.metrics.intervals import CONFIDENCE
from musicrec.metrics.ranking import metric_title
from musicrec.review.page.charts import (
    BASELINE_COLOURS,
    Axis,
    Figure,
    Series,
    intervals_across,
)
from musicrec.review.page.figures import Figures
from musicrec.review.page.section import Section


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
    columns = {
        "series": "revision",
        "metric": "metric",
        "base": "base",
        "head": "revision's",
        "change": "change, %",
        "low": "low, %",
        "high": "high, %",
        "p": "corrected p",
        "verdict": "verdict",
    }
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
    figures = []
    for baseline in BASELINE_COLOURS:
        rows = [
            {
                "series": revision.name,
                "metric": metric_title(row["metric"]),
                "difference": row["difference"],
                "baseline": row["baseline"],
                "share": 100 * row["difference"] / row["baseline"],
                "low": 100 * row["low"] / row["baseline"],
                "high": 100 * row["high"] / row["baseline"],
                "shown_higher": row["shown_higher"],
            }
            for revision in revisions
            for row in revision.rows["differences"]
            if row["against"] == baseline and row["baseline"]
        ]
        columns = {
            "series": "revision",
            "metric": "metric",
            "baseline": "baseline's",
            "difference": "difference",
            "share": "difference, %",
            "low": "low, %",
            "high": "high, %",
            "shown_higher": "shown to be higher",
        }
        name = model_title(baseline)
        figure = Figure(f"over_{baseline}", f"Over {name}", rows, columns, series)
        axis = Axis("share", f"difference, % of {name}")
        if rows:
            figures.append(intervals_across(figure, "metric", axis))
    text = (
        "What any model has to beat, on the same users: the most played tracks (popularity), the "
        "tracks most similar to those a user has played (neighbours), and a linear model of the "
        "same (EASE). Right of 0 the model is ahead; "
        f"{CONFIDENCE} intervals."
    )
    return Section("baselines", "Against the baselines", text, figures)
