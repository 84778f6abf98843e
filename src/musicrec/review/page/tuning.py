"""Sections about a search for parameters, and the page of `musicrec tune`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from musicrec.metrics.ranking import metric_title
from musicrec.review.page.charts import COLOURS, Axis, Figure, Rows, Series, bars, points
from musicrec.review.page.figures import Figures
from musicrec.review.page.render import render
from musicrec.review.page.section import Section
from musicrec.review.page.tables import Table
from musicrec.review.page.words import number
from musicrec.tune import tell
from musicrec.tune.run import Study, newest_study
from musicrec.tune.space import MODELS, Setting
from musicrec.tune.study import COMPLETE, PRUNED, importance

OUTCOMES = {
    COMPLETE: Series("complete", COLOURS[1]),
    PRUNED: Series("given up early", COLOURS[0]),
    "best": Series("best", COLOURS[2]),
}


def tuning_page(study: Study) -> str:
    """Lay out a search as one HTML file that opens anywhere."""
    card = {
        "name": f"{metric_title(study.metric)}, the best of the search",
        "colour": OUTCOMES["best"].colour,
        "word": number(study.best.value),
        "sign": ("▲", "good"),
        "sentence": " ".join(tell.notes(study)),
        "words": [],
        "users": tell.command(study),
    }
    title = f"{len(study.trials)} trials for {metric_title(study.metric)}"
    return render(title, "musicrec tune", sections(study), cards=[card])


def sections(study: Study) -> list[Section]:
    """Trials in their order, what decides, and a chart a parameter."""
    return [_trials(study), *_importance(study), _by_parameter(study), _table(study)]


def found_by(revisions: Sequence[Figures]) -> list[Section]:
    """Sections of the last search of this workspace, where its best is a revision's setting."""
    study = newest_study()
    if study is None:
        return []
    best = {**study.base, **study.changes(study.best)}
    names = [revision.name for revision in revisions if _has(revision, best)]
    if not names:
        return []
    trials, *rest = sections(study)
    text = f"musicrec tune found the setting of {', '.join(names)}. {trials.text}"
    return [replace(trials, title="The search for parameters", text=text), *rest[:-1]]


def _has(revision: Figures, setting: Setting) -> bool:
    """Whether a revision's parameters are those of a setting; one left out may be anything."""
    blocks = {block: revision.params.get(block) or {} for block in MODELS}
    written = {f"{block}.{key}": v for block, keys in blocks.items() for key, v in keys.items()}
    return bool(written) and all(setting.get(name) == value for name, value in written.items())


def _rows(study: Study) -> Rows:
    best = study.best
    return [
        {
            "trial": number_of,
            "value": trial.value,
            "series": OUTCOMES["best" if trial is best else trial.state].name,
            **trial.setting,
        }
        for number_of, trial in enumerate(study.trials, start=1)
        if trial.value is not None
    ]


def _outcomes(rows: Rows) -> list[Series]:
    present = {row["series"] for row in rows}
    return [series for series in OUTCOMES.values() if series.name in present]


def _trials(study: Study) -> Section:
    rows, name = _rows(study), metric_title(study.metric)
    columns = {"trial": "trial", "series": "outcome", "value": name}
    columns |= {parameter: parameter for parameter in study.space.swept}
    figure = Figure("trials", "Trials in their order", rows, columns, _outcomes(rows))
    drawn = points(figure, Axis("trial", "trial"), Axis("value", f"{name}, validation users"))
    text = "The first is the setting of params.yaml. One that was given up shows its last value."
    return Section("trials", "Trials", text, [drawn])


def _importance(study: Study) -> list[Section]:
    shares = importance(study.trials, study.space)
    if not shares:
        return []
    rows: Rows = [
        {"series": "importance", "parameter": name, "share": share}
        for name, share in shares.items()
    ]
    columns = {"parameter": "parameter", "share": "share of 1"}
    series = [Series("importance", COLOURS[1])]
    figure = Figure("importance", "What decides", rows, columns, series)
    drawn = bars(figure, "parameter", Axis("share", "importance, shares of 1"))
    text = (
        "How much a parameter decides whether a trial is among the best tenth, within the space "
        "that was searched (PED-ANOVA; Watanabe, Bansal and Hutter, IJCAI 2023)."
    )
    return [Section("importance", "Importance", text, [drawn])]


def _by_parameter(study: Study) -> Section:
    name = metric_title(study.metric)
    figures = []
    for parameter, kind in study.space.swept.items():
        rows = [row for row in _rows(study) if isinstance(row[parameter], int | float)]
        if not rows or isinstance(rows[0][parameter], bool):
            continue
        columns = {"trial": "trial", "series": "outcome", parameter: parameter, "value": name}
        key = f"by_{parameter.replace('.', '_')}"
        # Vega reads a dot in a field's name as a path.
        drawn = [row | {"at": row[parameter]} for row in rows]
        figure = Figure(key, f"{name} by {parameter}", drawn, columns, _outcomes(rows))
        log = bool(getattr(kind, "log", False))
        x = Axis("at", parameter + (" (log scale)" if log else ""), log=log)
        figures.append(points(figure, x, Axis("value", name)))
    return Section("by_parameter", "Metric by parameter", "One point a trial.", figures)


def _table(study: Study) -> Section:
    ranked = sorted(
        (trial for trial in study.trials if trial.state == COMPLETE),
        key=lambda trial: -(trial.value or 0),
    )
    header = [*map(metric_title, study.best.figures), "command"]
    cells = [
        [*map(number, trial.figures.values()), tell.command(study, trial)]
        for trial in ranked[: tell.SHOWN]
    ]
    text = "The best trials, and the command that trains each of them again, byte for byte."
    return Section("best", "The best", text, table=Table("best", header, cells))
