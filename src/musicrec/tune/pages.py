"""What `musicrec tune` and `original` show: lines of a terminal, and a page each.

The original project's report has our figures and its own: every table is rows of models, figures
are theirs, one column after the other.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from musicrec.formatting import NOTHING, Table, number, parameter, share
from musicrec.interactions.factors import SMALLEST_SCORE
from musicrec.metrics.definitions import metric_title
from musicrec.page import charts
from musicrec.page.charts import COLOURS, DASHED, DOTTED, Axis, Figure, Rows, Series
from musicrec.page.layout import Section, render
from musicrec.tune.original import AXES, LOG, PUBLISHED, Point, Work, beyond
from musicrec.tune.run import Study, importance

SHOWN = 10  # trials of a table
OUTCOMES = {
    "COMPLETE": Series("complete", COLOURS[1]),
    "PRUNED": Series("given up early", COLOURS[0]),
    "best": Series("best", COLOURS[2]),
}
MARK = (
    "* Figures that the original project published, measured on other data (the Million Song "
    "Dataset): compare their order, not their size."
)
ZERO = "\N{DAGGER}"
WHY_ZERO = (
    f"{ZERO} No score is above {SMALLEST_SCORE:g}, where 1 stands for played: at this reg_param "
    "and alpha the regularisation outweighs the plays. Lower reg_param or raise alpha."
)
HEADER = ("model", "MAP@500", "its MAP*", "P@500", "its P*", "MAP unseen", "P unseen", "change")
UNSEEN = (
    "Unseen: of lists without what a user has played in training. Change: of MAP@500, against the "
    "first row."
)


def trial_line(number: int, total: int, trial: FrozenTrial, best: FrozenTrial | None) -> str:
    """One trial in a line; `best` is the best before it."""
    outcome = f"{trial.value or 0:.4f}"
    if trial.state == TrialState.PRUNED:
        outcome = f"given up after {trial.last_step} iterations"
    elif trial.state == TrialState.FAIL:
        outcome = f"failed: {trial.user_attrs['reason']}"
    elif best is not None and (trial.value or 0) > (best.value or 0):
        outcome += " (best so far)"
    setting, seconds = trial.user_attrs["setting"], trial.user_attrs["seconds"]
    words = ", ".join(f"{name.partition('.')[2]} {parameter(v)}" for name, v in setting.items())
    return f"trial {number + 1}/{total}  {outcome}  {words}  {seconds:.1f} s"


def trials_table(study: Study) -> Table:
    """The best trials, and that of params.yaml."""
    ranked = study.ranked()
    shown = ranked[:SHOWN] + [pair for pair in ranked[SHOWN:] if pair[0] == 0]
    metrics = list(study.best.user_attrs["figures"])
    header = ["trial", *metrics, *(name.partition(".")[2] for name in study.space.swept)]
    rows = [
        [
            f"{number + 1}" if number else first_name(study),
            *(f"{trial.user_attrs['figures'][name]:.4f}" for name in metrics),
            *(parameter(trial.user_attrs["setting"][name]) for name in study.space.swept),
        ]
        for number, trial in shown
    ]
    return Table(header, rows)


def first_name(study: Study) -> str:
    """The first trial: params.yaml, but for the parameters that have another value throughout."""
    fixed = study.space.fixed.items()
    other = [f"{n.partition('.')[2]} {parameter(v)}" for n, v in fixed if study.base[n] != v]
    return ", ".join(["params.yaml", *other])


def notes(study: Study) -> list[str]:
    """What a reader must know before believing the best trial."""
    words = {"COMPLETE": "complete", "PRUNED": "given up early", "FAIL": "failed"}
    states = [trial.state.name for trial in study.trials]
    counts = [f"{states.count(s)} {word}" for s, word in words.items() if s in states]
    found = [f"{len(states)} trials: {', '.join(counts)}."]
    if "FAIL" in states:
        reason = study.trials[states.index("FAIL")].user_attrs["reason"]
        found.append(f"The first that failed: {reason}.")
    if not study.changes(study.best):
        return [*found, "No trial beats params.yaml: there is nothing to change."]
    if study.best is study.trials[0]:
        found.append(f"No trial beats the first, {first_name(study)}; params.yaml was not tried.")
    best = study.best.user_attrs["setting"]
    for name, end in study.space.on_border(best).items():
        found.append(
            f"{name} = {parameter(best[name])} lies on the {end} border of the space; better may "
            f"lie beyond it: search again with a wider range, -S '{name}=...'."
        )
    return [
        *found,
        f"The best of {len(states)} on {study.n_users:,} validation users looks better than "
        "it is. Add -S evaluate.split=test to judge it once, on the test users.",
    ]


def command(study: Study, trial: FrozenTrial | None = None) -> str:
    """The `dvc exp run` that trains a trial's model, by default the best one's, byte for byte.

    Nothing, where that is the model of params.yaml.
    """
    changes = study.changes(trial or study.best)
    words = [f"-S {shlex.quote(f'{name}={parameter(changes[name])}')}" for name in sorted(changes)]
    return " ".join(["dvc exp run", *words]) if words else ""


def tuning_page(study: Study) -> str:
    """Lay out a search as one HTML file that opens anywhere."""
    name, best = metric_title(study.metric), study.best
    card = {
        "name": f"{name}, the best of the search",
        "colour": OUTCOMES["best"].colour,
        "word": number(best.value),
        "sign": ("▲", "good"),
        "sentence": " ".join(notes(study)),
        "users": command(study),
    }
    rows: Rows = [
        {"trial": i, "value": trial.value, **trial.user_attrs["setting"]}
        | {"series": OUTCOMES["best" if trial is best else trial.state.name].name}
        for i, trial in enumerate(study.trials, start=1)
        if trial.value is not None
    ]
    present = {row["series"] for row in rows}
    series = [one for one in OUTCOMES.values() if one.name in present]
    columns = {"trial": "trial", "series": "outcome", "value": name}
    every = columns | {searched: searched for searched in study.space.swept}
    figure = Figure("trials", "Trials in their order", rows, every, series)
    y = Axis("value", f"{name}, validation users")
    in_order = charts.points(figure, Axis("trial", "trial"), y)
    by_parameter: list[Figure] = []
    for searched, kind in study.space.swept.items():
        if all(type(row[searched]) in (int, float) for row in rows):
            # Vega reads a dot in a field's name as a path.
            drawn = [row | {"at": row[searched]} for row in rows]
            key = f"by_{searched.replace('.', '_')}"
            shown = columns | {searched: searched}
            figure = Figure(key, f"{name} by {searched}", drawn, shown, series)
            log = bool(getattr(kind, "log", False))
            x = Axis("at", searched + (" (log scale)" if log else ""), log=log)
            by_parameter += charts.points(figure, x, Axis("value", name))
    shares = [[searched, number(value)] for searched, value in importance(study).items()]
    commands = [
        [*map(number, trial.user_attrs["figures"].values()), command(study, trial)]
        for _, trial in study.ranked()[:SHOWN]
    ]
    sections = [
        Section(
            "trials",
            "Trials",
            f"The first is {first_name(study)}. One that was given up shows its last value.",
            in_order,
        ),
        Section(
            "importance",
            "Importance",
            "How much a parameter decides whether a setting of the space is among the best tenth "
            "(PED-ANOVA; Watanabe, Bansal and Hutter, IJCAI 2023).",
            table=Table(["parameter", "importance, shares of 1"], shares),
        ),
        Section("by_parameter", "Metric by parameter", "One point a trial.", by_parameter),
        Section(
            "best",
            "The best",
            "The best trials, and the command that trains each of them again, byte for byte.",
            table=Table([*map(metric_title, best.user_attrs["figures"]), "command"], commands),
        ),
    ]
    title = f"{len(study.trials)} trials for {name}"
    shown_sections = [one for one in sections if one.key != "importance" or shares]
    return render(title, "musicrec tune", shown_sections, cards=[card])


class Row(NamedTuple):
    """A model, the users it is judged on, and the MAP and precision published for it."""

    label: str
    point: Point
    published: tuple[float, float] | tuple[None, None] = (None, None)
    split: str = "validation"


def variants(work: Work, *splits: str) -> list[Row]:
    """The best point with every feedback that the original published figures of for all splits."""
    return [
        Row(f"{name}, {split}" if splits[1:] else name, point, published[split], split)
        for name, (feedback, published) in PUBLISHED.items()
        if published.keys() >= set(splits)
        for point in [Point(work.best.als, feedback)]
        for split in splits
    ]


def models_table(work: Work, rows: Sequence[Row]) -> Table:
    """Figures of the `spark` protocol and, as unseen, of `ranking`; no column of nothing."""
    judged = [work.judge(row.point, row.split) for row in rows]
    first = judged[0]["spark"]["map"]
    cells = []
    for row, figures in zip(rows, judged, strict=True):
        own, unseen = figures["spark"], figures["ranking"]
        beside = [own["map"], row.published[0], own["precision"], row.published[1]]
        shown = [number(value) for value in (*beside, unseen["map"], unseen["precision"])]
        shown[0] += ZERO if figures["zero"] else ""
        cells.append([row.label, *shown, share(own["map"] / first - 1) if first else NOTHING])
    kept = [i for i in range(len(HEADER)) if {row[i] for row in cells} != {NOTHING}]
    return Table([HEADER[i] for i in kept], [[row[i] for i in kept] for row in cells])


def summary(work: Work) -> str:
    """The variants as a table for the terminal."""
    rows = variants(work, "validation")
    maps = {row.label: work.judge(row.point)["spark"]["map"] for row in rows}
    best = max(maps, key=maps.__getitem__)
    note = (
        f"Best of the grid: {work.best}. Best of these rows: {best}, MAP@500 {number(maps[best])}."
    )
    text = models_table(work, rows).text()
    return "\n".join([text, "", MARK, note, *([WHY_ZERO] if ZERO in text else [])])


def original_page(work: Work, counts: Rows) -> str:
    """Lay the report out as one HTML file; `counts` are rows of `plots/data/counts.json`."""
    best, matched, steps = work.best, work.matched, beyond(work.best.als)
    short, long = work.judge(best)["seen"]
    where = f"on the end of {' and '.join(steps)}" if steps else "inside on every axis"
    again = "" if counts else " plots/data/counts.json is missing: run dvc repro ingest."
    corner = [Row(f"best of the grid: {best}", best)]
    corner += [Row(f"further in {name}: {point}", point) for name, point in steps.items()]
    of_alpha = [Row(f"counts, alpha {best.als.alpha:g}", best)]
    for alpha in AXES["alpha"]:
        of_alpha.append(Row(f"log, alpha {alpha:g}", Point(best.als.replace(alpha=alpha), LOG)))
    same_mean = f"log, alpha {matched.als.alpha:.4g}: the same mean of alpha r"
    of_alpha.append(Row(same_mean, matched))
    search = work.search()
    speeds = [row | {"series": row["method"]} for row in search["rows"]]
    names = dict.fromkeys(row["method"] for row in speeds)
    methods = [Series(name, colour) for name, colour in zip(names, COLOURS, strict=False)]
    figures, kinds = charts.speed_by_recall(speeds, methods)
    sections = [
        _grid(work),
        Section(
            "variants",
            "Log compression, dropped counts, seen tracks",
            f"The best point ({best}) with log compression, r = log(1 + count), and with training "
            "plays of few counts dropped; validation users. The original did not leave out what a "
            "user has played in training, and no held-out play is such a track. Of the first 10 "
            f"positions of a list {short:.0%} hold one, of 500 {long:.1%}. No hit can be there: "
            "the more of the history stands at the head of a list, the lower its MAP, however good "
            "the rest.",
            table=models_table(work, variants(work, "validation")),
        ),
        Section(
            "tests",
            "Do they generalise?",
            "Chosen on the validation users, then scored once on the test users: the best point of "
            "the grid and the same with log compression. No other setting was.",
            table=models_table(work, variants(work, "validation", "test")),
        ),
        Section(
            "corner",
            "The best point on the edge",
            f"Here the best point lies {where}. The published best, rank 20, reg_param 0.1 and "
            "alpha 10, lies on the end of all three axes, which shows that the grid was too small, "
            "not that a best was found. One step further on each such axis:",
            table=models_table(work, corner),
        ),
        Section(
            "alpha",
            "Alpha and log compression, apart",
            "The confidence of a play is 1 + alpha r. Log compression shrinks r, so that at the "
            "same alpha it is also a weaker alpha: the published gain of log may be either. At "
            f"alpha = {matched.als.alpha:.4g} the mean of alpha r is that of the best point with "
            "counts; the difference that is left there is the transform's own.",
            table=models_table(work, of_alpha),
        ),
        Section(
            "counts",
            "The table of counts",
            f"Play counts of the ingested splits, before downsampling.{again}",
            table=charts.counts_table(counts),
        ),
        Section(
            "search",
            "Recall against speed",
            "Queries of the best point's validation users, one at a time: Annoy with 1, 5, 10 and "
            "30 trees, and brute force. exact_argsort is the original's brute force, exact is "
            "ours, annoy_dot is the metric of Annoy that it used. Measured on "
            f"{search['machine']['processor']}, one thread; other machines give other speeds.",
            figures,
            more_legend=kinds,
        ),
    ]
    card = {
        "name": "MAP@500 of the grid's best point, validation users",
        "colour": COLOURS[1],
        "word": number(work.judge(best)["spark"]["map"]),
        "sign": ("▲", "calm"),
        "sentence": f"{best}; published best: rank 20, reg_param 0.1, alpha 10.",
        "notes": [MARK, UNSEEN, WHY_ZERO],
    }
    return render("The original project's report", "musicrec original", sections, cards=[card])


def _grid(work: Work) -> Section:
    """MAP and precision by alpha: a line a rank and reg_param."""
    rows = [
        {"series": str(point).partition(", alpha")[0], "alpha": point.als.alpha}
        | work.judge(point)["spark"]
        for point in work.grid
    ]
    names = enumerate(dict.fromkeys(row["series"] for row in rows))
    dashes = ([1, 0], DASHED, DOTTED)
    series = [Series(name, COLOURS[1 + i // 3], dashes[i % 3]) for i, name in names]
    drawn: list[Figure] = []
    for metric, title in (("map", "MAP@500"), ("precision", "Precision@500")):
        columns = {"series": "model", "alpha": "alpha", metric: title}
        figure = Figure(f"grid_{metric}", title, rows, columns, series)
        y = Axis(metric, title, zero=True)
        drawn += charts.lines(figure, Axis("alpha", "alpha", each=True), y)
    text = (
        "Validation users, by the original's protocol: tracks that a user has played may be "
        f"recommended. Best by MAP@500: {work.best}."
    )
    return Section("grid", "The grid", text, drawn)
