"""`musicrec report`: one HTML file that opens anywhere, with everything it shows inside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from musicrec.baselines.lists import model_title
from musicrec.evaluate.report import MODEL
from musicrec.formatting import NOTHING, Table, number, parameter, share
from musicrec.metrics import definitions
from musicrec.metrics.definitions import HITS, METRICS, TOO_FEW, WORSE, metric_title
from musicrec.metrics.intervals import CONFIDENCE, FEWEST_USERS
from musicrec.page import charts
from musicrec.page.charts import COLOURS, DASHED, DOTTED, Axis, Figure, Rows, Series
from musicrec.page.layout import Section, render
from musicrec.project import Revision, changes, flatten
from musicrec.review.compare import Compare, compare
from musicrec.review.figures import Figures
from musicrec.review.result import SLICE

# A sign beside the word, so that no one needs to tell colours apart, and the class of its colour.
SIGNS = {
    definitions.BETTER: ("▲", "good"),
    WORSE: ("▼", "bad"),
    definitions.HIGHER: ("▲", "calm"),
    definitions.LOWER: ("▼", "calm"),
    definitions.NO_WORSE: ("≥", "calm"),
    definitions.EQUIVALENT: ("≈", "calm"),
    definitions.IDENTICAL: ("=", "calm"),
    definitions.CANNOT_TELL: ("?", "unsure"),
    TOO_FEW: ("?", "unsure"),
}
NO_SIGN = (NOTHING, "unsure")
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


def page(
    base: Revision, heads: Sequence[Revision], as_asked: Compare = compare
) -> tuple[str, list[str]]:
    """Lay out some revisions beside a base as HTML with no reference outside; and say the verdicts.

    `as_asked` is `compare` with the metrics, margin, slices and starts that were asked for.
    """
    colours = itertools.cycle(COLOURS)
    shown = [Figures(base, next(colours))]
    shown += [Figures(head, next(colours), base, as_asked) for head in heads]
    cards = [_card(head) for head in shown[1:]]
    missing = [f"Beware: {shown[0].outdated}."] if shown[0].outdated else []
    missing += [sentence for one in shown for sentence in one.missing]
    title = f"{', '.join(head.name for head in heads)} against {base.name}"
    html = render(title, "musicrec report", sections(shown), cards=cards, missing=missing)
    lines = []
    for card in cards:
        lines += [f"{card['name']}: {card['word']} ({card['sentence']})", *card["notes"]]
        lines += [f"warning: {card['outdated']}"] if card["outdated"] else []
    return html, lines


def _card(head: Figures) -> dict[str, Any]:
    """What the card of a revision says: the first metric in a sentence, the others as words."""
    result = head.result
    card: dict[str, Any] = {"name": head.name, "colour": head.series.colour, "sign": NO_SIGN}
    card |= {"outdated": head.outdated, "baselines": head.baselines, "notes": []}
    if result is None:
        return card | {"word": "no verdict", "sentence": head.no_verdict}
    signs = dict(SIGNS)
    if result.settings_judged:  # not the sign of a gain where these users chose the setting
        signs[definitions.BETTER] = SIGNS[definitions.CANNOT_TELL]
    if not result.metrics:
        sign = NO_SIGN if head.outdated else signs[definitions.IDENTICAL]
        return card | {"word": definitions.IDENTICAL, "sign": sign, "sentence": result.title}
    (name, row), *others = result.metrics.items()
    word = result.verdict(name)
    worse = [metric_title(n) for n, other in others if other.verdict == WORSE != row.verdict]
    sentence = f"{metric_title(name)} {number(row.base)} → {number(row.head)}"
    if result.champion:
        sentence = f"Against the champion: {sentence}"
    if row.change is not None and row.change_low is not None and row.change_high is not None:
        interval = f"{share(row.change_low)} to {share(row.change_high)}"
        sentence += f", {share(row.change)} ({CONFIDENCE} interval {interval})"
    users = f"{result.n_users:,} {result.split} users; the margin is {100 * result.margin:g} %"
    return card | {
        "word": f"{word}, but worse in {', '.join(worse)}" if worse else word,
        "sign": NO_SIGN if head.outdated else signs[row.verdict],
        "sentence": sentence,
        "notes": [*result.notes, *(f"{n.partition(';')[0]}." for n in [head.no_verdict] if n)],
        "users": f"{users}; {result.training}" if result.training else users,
        "words": [
            {"metric": metric_title(n), "word": other.verdict, "sign": signs[other.verdict]}
            for n, other in others
            if SLICE not in n
        ],
    }


def sections(revisions: Sequence[Figures]) -> list[Section]:
    """All sections that have something to show, of the base and those compared with it."""
    champion = any(one.result and one.result.champion for one in revisions)
    distinct = _distinct(revisions, "counts")
    counts = [{"revision": name} | row for name, rows in distinct for row in rows]
    found = [
        Section(
            "changes",
            f"Against the {'champion' if champion else 'base'}",
            f"Paired over the same users, with the {CONFIDENCE} interval. Shaded: the margin "
            "within which a change does not matter.",
            _changes(revisions[1:]),
        ),
        Section(
            "baselines",
            "Against the baselines",
            "What any model has to beat, on the same users: the most played tracks (popularity), "
            "the tracks most similar to those a user has played (neighbours), and a linear model "
            f"of the same (EASE). Right of 0 the model is ahead; {CONFIDENCE} intervals.",
            [*_over_baselines(revisions)],
        ),
        Section(
            "at_k",
            "Metrics by the length of the list",
            "The ceiling is what perfect lists would reach.",
            [*_at_k(revisions, HITS)],
        ),
        Section(
            "slices",
            "For whom",
            f"The same at the longest k over parts of the users, with {CONFIDENCE} intervals. "
            f"Parts of fewer than {FEWEST_USERS} users have none: they say little.",
            [*_slices(revisions)],
        ),
        Section(
            "beyond",
            "Beyond accuracy",
            "Which tracks are shown. More hits may be no more than more of the popular tracks. "
            "Coverage and Gini are of all lists together.",
            [*_at_k(revisions, [name for name in METRICS if name not in HITS])],
        ),
        Section(
            "loss",
            "Training",
            "The objective follows rank and parameters: compare it along a line, not across lines.",
            [*_loss(revisions)],
        ),
        _search(revisions),
        Section(
            "data",
            "The data at a glance",
            "A play is a row (user, track, count); the columns from mean to share of count 1 are "
            "of its count. Cold tracks: unknown to training. Revisions with the same plays stand "
            "here once, by the first.",
            table=charts.counts_table(counts, "revision"),
        ),
        _parameters(revisions),
        Section(
            "provenance",
            "Provenance",
            "Commit and hashes say which code, parameters and data made these figures.",
            table=_provenance(revisions),
        ),
    ]
    return [
        one for one in found if one.figures or one.key == "params" or (one.table and one.table.rows)
    ]


def _changes(heads: Sequence[Figures]) -> list[Figure]:
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
    columns = {"series": "revision", "metric": "metric", "base": "base", "head": "revision's"}
    columns |= {"change": "change, %", "low": "low, %", "high": "high, %"}
    if any(result.starts > 1 for result in results):
        columns["start_sd"] = "sd of starts, %"
    columns |= {"p": "corrected p", "verdict": "verdict"}
    figure = Figure("changes", "Change of each metric", rows, columns, _legend(heads))
    axis = Axis("change", "change of the mean, %")
    return charts.intervals(figure, METRIC, axis, 100 * results[0].margin) if results else []


def _over_baselines(revisions: Sequence[Figures]) -> Iterator[Figure]:
    """The model beside each baseline, as shares of the baseline's metrics."""
    columns = {"series": "revision", "metric": "metric", "baseline": "baseline's"}
    columns |= {"difference": "difference", "share": "difference, %", "low": "low, %"}
    columns |= {"high": "high, %", "shown_higher": "shown to be higher"}
    for baseline in charts.BASELINE_COLOURS:
        rows = [
            row
            | {"metric": metric_title(row["metric"])}
            | {"share": 100 * row["difference"] / row["baseline"]}
            | {end: 100 * row[end] / row["baseline"] for end in ENDS}
            for row in _rows(revisions, "differences")
            if row["against"] == baseline and row["baseline"]
        ]
        name = model_title(baseline)
        figure = Figure(f"over_{baseline}", f"Over {name}", rows, columns, _legend(revisions))
        yield from charts.intervals(figure, METRIC, Axis("share", f"difference, % of {name}"), 0)


def _legend(revisions: Sequence[Figures]) -> list[Series]:
    return [one.series for one in revisions]


def _rows(revisions: Sequence[Figures], name: str) -> Rows:
    """Rows of a file of every revision, each with its `series`."""
    return [row | {"series": one.name} for one in revisions for row in one.rows[name]]


def _distinct(
    revisions: Sequence[Figures], name: str, model: str | None = None
) -> list[tuple[str, Rows]]:
    """Rows of a file, or those of a model, once where revisions have the same: by the first."""
    found: dict[str, Rows] = {}
    for one in revisions:
        rows = [row for row in one.rows[name] if model in (None, row.get("model"))]
        if rows and rows not in found.values():
            found[one.name] = rows
    return list(found.items())


def _models(revisions: Sequence[Figures], name: str) -> tuple[Rows, list[Series]]:
    """Rows of a file for the baselines, each once where all revisions have the same, and models."""
    rows, shown = [], _legend(revisions)
    for baseline, colour in charts.BASELINE_COLOURS.items():
        distinct = _distinct(revisions, name, baseline)
        for i, (_, found) in enumerate(distinct, start=1):
            label = baseline if len(distinct) == 1 else f"{baseline} ({i})"
            rows += [row | {"series": label} for row in found]
            shown.append(Series(label, colour, DASHED))
    return rows + [row for row in _rows(revisions, name) if row["model"] == MODEL], shown


def _at_k(revisions: Sequence[Figures], metrics: Sequence[str]) -> Iterator[Figure]:
    """Metrics by the length of the list, for the models and the baselines."""
    rows, shown = _models(revisions, "metrics")
    ceiling = [
        {"series": "ceiling", "k": row["k"], "precision": row["precision_ceiling"]}
        for row in revisions[-1].rows["metrics"]
        if row["model"] == MODEL
    ]
    x = Axis("k", "k, length of the list (log scale)", log=True, each=True)
    for metric in metrics:
        name, drawn, among = metric_title(metric), rows, shown
        if metric == "precision":
            drawn, among = rows + ceiling, [*shown, Series("ceiling", COLOURS[0], DOTTED)]
        columns = {"series": "series", "k": "k", metric: f"{name}@k"}
        figure = Figure(f"{metric}_at_k", f"{name} at k", drawn, columns, among)
        y = Axis(metric, f"{name}@k{UNITS.get(metric, '')}", zero=True)
        yield from charts.lines(figure, x, y)


def _slices(revisions: Sequence[Figures]) -> Iterator[Figure]:
    """MAP and nDCG by slices of the users."""
    for slicing, title in SLICES.items():
        rows, shown = _models(revisions, slicing)
        for metric in ("map", "ndcg"):
            name = metric_title(metric)
            drawn = [
                row | {e: row[f"{metric}_{e}"] for e in ENDS if row["n_users"] >= FEWEST_USERS}
                for row in rows
            ]
            columns = {"series": "series", "slice": title, "n_users": "users", metric: name}
            columns |= {end: end for end in ENDS}
            figure = Figure(f"{metric}_{slicing}", f"{name} by {title}", drawn, columns, shown)
            value = Axis(metric, f"{name}, mean over users")
            yield from charts.intervals(figure, Axis("slice", title), value)


def _loss(revisions: Sequence[Figures]) -> Iterator[Figure]:
    """Objective of the training by iteration, and validation nDCG where it was measured."""
    for key, (title, axis) in LOSS.items():
        columns = {"series": "revision", "iteration": "iteration", key: axis}
        figure = Figure(
            f"training_{key}", title, _rows(revisions, "loss"), columns, _legend(revisions)
        )
        yield from charts.lines(figure, Axis("iteration", "iteration"), Axis(key, axis))


def _search(revisions: Sequence[Figures]) -> Section:
    """Speed of search against recall, and the shapes of the methods."""
    text = "Up is faster. Joined: the settings that no other of the method beats in both."
    timed = [one.machine for one in revisions if one.machine]
    if machines := sorted({f"{one['processor']}, {one['cores']} cores" for one in timed}):
        text += f" Measured on {' and '.join(machines)}."
    figures, kinds = charts.speed_by_recall(_rows(revisions, "tradeoff"), _legend(revisions))
    return Section("search", "Search: exact and approximate", text, figures, more_legend=kinds)


def _parameters(revisions: Sequence[Figures]) -> Section:
    """Parameters that are not the same in all revisions."""
    values = [flatten(revision.params) for revision in revisions]
    differing = dict.fromkeys(name for other in values[1:] for name in changes(values[0], other))
    cells = [
        [name, *(parameter(of[name]) if name in of else NOTHING for of in values)]
        for name in differing
    ]
    text = "Those that differ; all others are the same." if cells else "No parameter differs."
    header = ["parameter", *(revision.name for revision in revisions)]
    return Section("params", "Parameters", text, table=Table(header, cells))


def _provenance(revisions: Sequence[Figures]) -> Table:
    """Where every figure comes from: commits, hashes, machine and library versions."""
    facts = [
        r.provenance | {f"search ran on: {k}": str(v) for k, v in r.machine.items()}
        for r in revisions
    ]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    cells = [[key, *(fact.get(key, NOTHING) for fact in facts)] for key in keys]
    return Table(["", *(revision.name for revision in revisions)], cells)
