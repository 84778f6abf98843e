"""The page of `musicrec tune`, and its sections in `musicrec report`; imports no Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from musicrec.formatting import number
from musicrec.metrics.definitions import metric_title
from musicrec.page.charts import COLOURS, Axis, Figure, Rows, Series, points
from musicrec.page.layout import Section, Table, render
from musicrec.tune.study import (
    COMPLETE,
    PRUNED,
    SHOWN,
    Study,
    command,
    has_setting,
    newest_study,
    notes,
)

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
        "sentence": " ".join(notes(study)),
        "words": [],
        "users": command(study),
    }
    title = f"{len(study.trials)} trials for {metric_title(study.metric)}"
    return render(title, "musicrec tune", sections(study), cards=[card])


def sections(study: Study) -> list[Section]:
    """Trials in their order, what decides, a chart a parameter, and the best."""
    return [_trials(study), *_importance(study), _by_parameter(study), _table(study)]


def found_by(params_by_name: Mapping[str, Mapping[str, Any]]) -> list[Section]:
    """Sections of this workspace's last search, where its best is the setting of a revision."""
    study = newest_study()
    if study is None:
        return []
    names = [
        name for name, params in params_by_name.items() if has_setting(study, study.best, params)
    ]
    if not names:
        return []
    trials, *rest = sections(study)
    text = f"musicrec tune found the setting of {', '.join(names)}. {trials.text}"
    return [replace(trials, title="The search for parameters", text=text), *rest[:-1]]


def _rows(study: Study) -> Rows:
    best = study.best
    return [
        {
            "trial": trial_number,
            "value": trial.value,
            "series": OUTCOMES["best" if trial is best else trial.state].name,
            **trial.setting,
        }
        for trial_number, trial in enumerate(study.trials, start=1)
        if trial.value is not None
    ]


def _outcomes(rows: Rows) -> list[Series]:
    present = {row["series"] for row in rows}
    return [series for series in OUTCOMES.values() if series.name in present]


def _trials(study: Study) -> Section:
    rows, name = _rows(study), metric_title(study.metric)
    columns = {"trial": "trial", "series": "outcome", "value": name}
    columns |= {parameter: parameter for parameter in study.searched}
    figure = Figure("trials", "Trials in their order", rows, columns, _outcomes(rows))
    drawn = points(figure, Axis("trial", "trial"), Axis("value", f"{name}, validation users"))
    text = "The first is the setting of params.yaml. One that was given up shows its last value."
    return Section("trials", "Trials", text, [drawn])


def _importance(study: Study) -> list[Section]:
    if not study.importance:
        return []
    text = (
        "How much a parameter decides whether a setting of the space is among the best tenth "
        "(PED-ANOVA; Watanabe, Bansal and Hutter, IJCAI 2023)."
    )
    cells = [[name, number(value)] for name, value in study.importance.items()]
    table = Table("importance", ["parameter", "importance, shares of 1"], cells)
    return [Section("importance", "Importance", text, table=table)]


def _by_parameter(study: Study) -> Section:
    name, all_rows = metric_title(study.metric), _rows(study)
    figures = []
    for parameter, log in study.searched.items():
        rows = [row for row in all_rows if isinstance(row[parameter], int | float)]
        if not rows or isinstance(rows[0][parameter], bool):
            continue
        columns = {"trial": "trial", "series": "outcome", parameter: parameter, "value": name}
        key = f"by_{parameter.replace('.', '_')}"
        # Vega reads a dot in a field's name as a path.
        drawn = [row | {"at": row[parameter]} for row in rows]
        figure = Figure(key, f"{name} by {parameter}", drawn, columns, _outcomes(rows))
        x = Axis("at", parameter + (" (log scale)" if log else ""), log=log)
        figures.append(points(figure, x, Axis("value", name)))
    return Section("by_parameter", "Metric by parameter", "One point a trial.", figures)


def _table(study: Study) -> Section:
    header = [*map(metric_title, study.best.figures), "command"]
    cells = [
        [*map(number, trial.figures.values()), command(study, trial)]
        for _, trial in study.ranked()[:SHOWN]
    ]
    text = "The best trials, and the command that trains each of them again, byte for byte."
    return Section("best", "The best", text, table=Table("best", header, cells))
