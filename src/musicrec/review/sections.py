"""The sections of the report: a title, a sentence, and charts or a table of rows of plots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.formatting import NOTHING, number, parameter
from musicrec.metrics.definitions import HITS, METRICS, TOO_FEW, metric_title
from musicrec.metrics.intervals import CONFIDENCE, FEWEST_USERS
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
    intervals,
    lines,
)
from musicrec.page.layout import Section, Table
from musicrec.project.revisions import changes, flatten
from musicrec.review.figures import MODEL, Figures

ENDS = ("low", "high")  # of an interval
METRIC = Axis("metric", "metric")
UNITS = {"popularity": ", training users", "novelty": ", bits", "coverage": ", share of tracks"}
SLICES = {
    "by_history": "tracks in the user's history",
    "by_popularity": "median listeners of the held-out tracks",
}
LOSS = {
    "loss": ("Objective of ALS", "loss, sum over all entries"),
    "ndcg@100": ("nDCG@100 while training", "nDCG@100 of validation users"),
}
COUNTS = (
    *("split", "rows", "users", "tracks", "mean", "sd", "min", "p25", "median", "p75", "max"),
    *("share_of_count_1", "cold_tracks"),
)


def sections(revisions: Sequence[Figures], series: Sequence[Series]) -> list[Section]:
    """All sections that have something to show, of the base and those compared with it."""
    timed = [one.machine for one in revisions if one.machine]
    machines = sorted({f"{one['processor']}, {one['cores']} cores" for one in timed})
    measured = f" Measured on {' and '.join(machines)}." if machines else ""
    champion = any(one.result and one.result.champion for one in revisions)
    against = "champion" if champion else "base"
    found = [
        Section(
            "changes",
            f"Against the {against}",
            f"Paired over the same users, with the {CONFIDENCE} interval. Shaded: the margin "
            "within which a change does not matter.",
            _changes(revisions[1:], series[1:]),
        ),
        Section(
            "baselines",
            "Against the baselines",
            "What any model has to beat, on the same users: the most played tracks (popularity), "
            "the tracks most similar to those a user has played (neighbours), and a linear model "
            f"of the same (EASE). Right of 0 the model is ahead; {CONFIDENCE} intervals.",
            _over_baselines(revisions, series),
        ),
        Section(
            "at_k",
            "Metrics by the length of the list",
            "The ceiling is what perfect lists would reach.",
            _at_k(revisions, series, HITS),
        ),
        Section(
            "slices",
            "For whom",
            f"The same at the longest k over parts of the users, with {CONFIDENCE} intervals. "
            f"Parts of fewer than {FEWEST_USERS} users have none: they say little.",
            _slices(revisions, series),
        ),
        Section(
            "beyond",
            "Beyond accuracy",
            "Which tracks are shown. More hits may be no more than more of the popular tracks. "
            "Coverage and Gini are of all lists together.",
            _at_k(revisions, series, [name for name in METRICS if name not in HITS]),
        ),
        Section(
            "loss",
            "Training",
            "The objective follows rank and parameters: compare it along a line, not across lines.",
            _loss(revisions, series),
        ),
        Section(
            "search",
            "Search: exact and approximate",
            "Up is faster. Joined: the settings that no other of the method beats in both."
            + measured,
            *_search(revisions, series),
        ),
        _data(revisions),
        _parameters(revisions),
        Section(
            "provenance",
            "Provenance",
            "Commit and hashes say which code, parameters and data made these figures.",
            table=_provenance(revisions),
        ),
    ]
    shown = [one for one in found if one.figures or (one.table and one.table.cells)]
    return [one for one in found if one in shown or one.key == "params"]


def _changes(heads: Sequence[Figures], series: Sequence[Series]) -> list[Figure]:
    """The verdicts: relative change of each metric with its interval."""
    results = [head.result for head in heads if head.result]
    rows = [
        {
            "series": result.head,
            "metric": metric_title(name),
            "base": row.base,
            "head": row.head,
            "change": 100 * row.change,
            "low": 100 * (row.change_low or 0.0),
            "high": 100 * (row.change_high or 0.0),
            "p": None if row.verdict == TOO_FEW else row.adjusted_p_value,
            "start_sd": 100 * (row.start_sd or 0.0) / row.base if row.base > 0 else None,
            "verdict": result.verdict(name),
        }
        for result in results
        for name, row in result.metrics.items()
        if row.change is not None
    ]
    if not rows:
        return []
    columns = {"series": "revision", "metric": "metric", "base": "base", "head": "revision's"}
    columns |= {"change": "change, %", "low": "low, %", "high": "high, %"}
    if any(result.starts > 1 for result in results):
        columns["start_sd"] = "sd of starts, %"
    columns |= {"p": "corrected p", "verdict": "verdict"}
    figure = Figure("changes", "Change of each metric", rows, columns, series)
    axis = Axis("change", "change of the mean, %")
    return [intervals(figure, METRIC, axis, 100 * results[0].margin)]


def _over_baselines(revisions: Sequence[Figures], series: Sequence[Series]) -> list[Figure]:
    """The model beside each baseline, as shares of the baseline's metrics."""
    columns = {"series": "revision", "metric": "metric", "baseline": "baseline's"}
    columns |= {"difference": "difference", "share": "difference, %", "low": "low, %"}
    columns |= {"high": "high, %", "shown_higher": "shown to be higher"}
    figures = []
    for baseline in BASELINE_COLOURS:
        rows = [
            row
            | {"series": revision.name, "metric": metric_title(row["metric"])}
            | {"share": 100 * row["difference"] / row["baseline"]}
            | {end: 100 * row[end] / row["baseline"] for end in ENDS}
            for revision in revisions
            for row in revision.rows["differences"]
            if row["against"] == baseline and row["baseline"]
        ]
        if rows:
            name = model_title(baseline)
            figure = Figure(f"over_{baseline}", f"Over {name}", rows, columns, series)
            figures.append(intervals(figure, METRIC, Axis("share", f"difference, % of {name}"), 0))
    return figures


def _models(
    revisions: Sequence[Figures], series: Sequence[Series], name: str
) -> tuple[Rows, list[Series]]:
    """Rows of a file for the baselines, each once where all revisions have the same, and models."""
    rows, shown = [], list(series)
    for baseline, colour in BASELINE_COLOURS.items():
        of_each = [_of_model(revision, name, baseline) for revision in revisions]
        distinct = [found for i, found in enumerate(of_each) if found and found not in of_each[:i]]
        for i, found in enumerate(distinct):
            label = baseline if len(distinct) == 1 else f"{baseline} ({i + 1})"
            rows += [row | {"series": label} for row in found]
            shown.append(Series(label, colour, DASHED))
    for revision in revisions:
        rows += [row | {"series": revision.name} for row in _of_model(revision, name, MODEL)]
    return rows, shown


def _of_model(revision: Figures, name: str, model: str) -> Rows:
    return [row for row in revision.rows[name] if row["model"] == model]


def _at_k(
    revisions: Sequence[Figures], series: Sequence[Series], metrics: Sequence[str]
) -> list[Figure]:
    """Metrics by the length of the list, for the models and the baselines."""
    rows, shown = _models(revisions, series, "metrics")
    ceiling = [
        {"series": "ceiling", "k": row["k"], "precision": row["precision_ceiling"]}
        for row in _of_model(revisions[-1], "metrics", MODEL)
    ]
    figures = []
    for metric in metrics:
        name, drawn, among = metric_title(metric), rows, shown
        if metric == "precision":
            drawn, among = rows + ceiling, [*shown, Series("ceiling", COLOURS[0], DOTTED)]
        kept = _kept(drawn, "series", "k", metric)
        if kept:
            lengths = sorted({row["k"] for row in kept})
            x = Axis("k", "k, length of the list (log scale)", log=True, values=lengths)
            y = Axis(metric, f"{name}@k{UNITS.get(metric, '')}", zero=True)
            columns = {"series": "series", "k": "k", metric: f"{name}@k"}
            figure = Figure(f"{metric}_at_k", f"{name} at k", kept, columns, among)
            figures.append(lines(figure, x, y))
    return figures


def _kept(rows: Rows, *names: str) -> Rows:
    """Some columns, of the rows that have a value in the last of them."""
    return [{name: row[name] for name in names} for row in rows if row.get(names[-1]) is not None]


def _slices(revisions: Sequence[Figures], series: Sequence[Series]) -> list[Figure]:
    """MAP and nDCG by slices of the users."""
    figures = []
    for slicing, title in SLICES.items():
        rows, shown = _models(revisions, series, slicing)
        for metric in ("map", "ndcg") if rows else ():
            name = metric_title(metric)
            kept = [
                {"series": row["series"], "slice": row["slice"], "users": row["n_users"]}
                | {metric: row[metric]}
                | {
                    e: row[f"{metric}_{e}"] if row["n_users"] >= FEWEST_USERS else None
                    for e in ENDS
                }
                for row in rows
            ]
            columns = {"series": "series", "slice": title, "users": "users", metric: name}
            columns |= {end: end for end in ENDS}
            figure = Figure(f"{metric}_{slicing}", f"{name} by {title}", kept, columns, shown)
            value = Axis(metric, f"{name}, mean over users")
            figures.append(intervals(figure, Axis("slice", title), value))
    return figures


def _loss(revisions: Sequence[Figures], series: Sequence[Series]) -> list[Figure]:
    """Objective of the training by iteration, and validation nDCG where it was measured."""
    rows = [row | {"series": r.name} for r in revisions for row in r.rows["loss"]]
    figures = []
    for key, (title, axis) in LOSS.items():
        if kept := _kept(rows, "series", "iteration", key):
            columns = {"series": "revision", "iteration": "iteration", key: axis}
            figure = Figure(f"training_{key}", title, kept, columns, series)
            figures.append(lines(figure, Axis("iteration", "iteration"), Axis(key, axis)))
    return figures


def _search(
    revisions: Sequence[Figures], series: Sequence[Series]
) -> tuple[list[Figure], None, list[Series]]:
    """Speed of search against recall, and the shapes of the methods."""
    columns = {"series": "revision", "build": "method", "setting": "setting", "recall": "recall"}
    columns |= {"queries_per_second": "queries per second", "map_lost": "MAP lost"}
    columns |= {"p99_milliseconds": "99th percentile, ms", "build_seconds": "build, s"}
    columns |= {"index_megabytes": "index, MB"}
    rows: Rows = [
        {name: row.get(name) for name in columns}
        | {"series": revision.name, "method": row["method"].partition(",")[0]}
        | {"build": row["method"]}
        for revision in revisions
        for row in revision.rows["tradeoff"]
    ]
    methods = dict.fromkeys(row["method"] for row in rows)
    shapes = zip(methods, itertools.cycle(SHAPES), strict=False)
    kinds = [Series(name, TEXT, shape=shape) for name, shape in shapes]
    if not rows:
        return [], None, []
    title = "Speed against recall"
    figure = Figure("speed_by_recall", title, _with_front(rows), columns, series)
    x = Axis("recall", "recall of exact search's tracks (share)")
    y = Axis("queries_per_second", "queries per second, one thread (log scale)", log=True)
    return [fronts(figure, x, y, "method", kinds)], None, kinds


def _with_front(rows: Rows) -> Rows:
    """Mark the rows that no other of the same revision and method beats in recall and speed."""
    keys = ("series", "method", "recall", "queries_per_second")
    points = [tuple(row[key] for key in keys) for row in rows]
    beaten = [
        any(o[:2] == p[:2] and o != p and o[2] >= p[2] and o[3] >= p[3] for o in points)
        for p in points
    ]
    return [row | {"front": not worse} for row, worse in zip(rows, beaten, strict=True)]


def _data(revisions: Sequence[Figures]) -> Section:
    """Play counts of each split; once where revisions have the same."""
    cells, seen = [], []
    for revision in revisions:
        rows = revision.rows["counts"]
        if rows and rows not in seen:
            seen.append(rows)
            cells += [[revision.name, *(_count(row.get(key)) for key in COUNTS)] for row in rows]
    text = (
        "A play is a row (user, track, count); the columns from mean to share of count 1 are of "
        "its count. Cold tracks: unknown to training. Revisions with the same plays stand here "
        "once, by the first."
    )
    header = ["revision", *(key.replace("_", " ") for key in COUNTS)]
    return Section("data", "The data at a glance", text, table=Table("data", header, cells))


def _count(value: Any) -> str:
    """A number of the table of counts, of which most are whole though they are written as 3.0."""
    whole = isinstance(value, float) and value.is_integer()
    return number(int(value) if whole else value)


def _parameters(revisions: Sequence[Figures]) -> Section:
    """Parameters that are not the same in all revisions."""
    values = [flatten(revision.params) for revision in revisions]
    differing = dict.fromkeys(
        name for head in revisions[1:] for name in changes(revisions[0].params, head.params)
    )
    cells = [
        [name, *(parameter(of[name]) if name in of else NOTHING for of in values)]
        for name in differing
    ]
    text = "Those that differ; all others are the same." if cells else "No parameter differs."
    header = ["parameter", *(revision.name for revision in revisions)]
    return Section("params", "Parameters", text, table=Table("params", header, cells))


def _provenance(revisions: Sequence[Figures]) -> Table:
    """Where every figure comes from: commits, hashes, machine and library versions."""
    facts = [
        r.provenance | {f"search ran on: {k}": str(v) for k, v in r.machine.items()}
        for r in revisions
    ]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    cells = [[key, *(fact.get(key, NOTHING) for fact in facts)] for key in keys]
    return Table("provenance", ["", *(revision.name for revision in revisions)], cells)
