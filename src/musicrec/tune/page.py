"""The page of `musicrec tune`."""

from __future__ import annotations

from musicrec.formatting import Table, number
from musicrec.metrics.definitions import metric_title
from musicrec.page.charts import COLOURS, Axis, Figure, Rows, Series, points
from musicrec.page.layout import Section, render
from musicrec.tune.study import SHOWN, Study, command, notes

OUTCOMES = {
    "COMPLETE": Series("complete", COLOURS[1]),
    "PRUNED": Series("given up early", COLOURS[0]),
    "best": Series("best", COLOURS[2]),
}


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
    every = columns | {parameter: parameter for parameter in study.searched}
    figure = Figure("trials", "Trials in their order", rows, every, series)
    in_order = points(figure, Axis("trial", "trial"), Axis("value", f"{name}, validation users"))
    by_parameter: list[Figure] = []
    for parameter, log in study.searched.items():
        if all(type(row[parameter]) in (int, float) for row in rows):
            # Vega reads a dot in a field's name as a path.
            drawn = [row | {"at": row[parameter]} for row in rows]
            key = f"by_{parameter.replace('.', '_')}"
            shown = columns | {parameter: parameter}
            figure = Figure(key, f"{name} by {parameter}", drawn, shown, series)
            x = Axis("at", parameter + (" (log scale)" if log else ""), log=log)
            by_parameter += points(figure, x, Axis("value", name))
    shares = [[parameter, number(value)] for parameter, value in study.importance.items()]
    commands = [
        [*map(number, trial.user_attrs["figures"].values()), command(study, trial)]
        for _, trial in study.ranked()[:SHOWN]
    ]
    sections = [
        Section(
            "trials",
            "Trials",
            "The first is the setting of params.yaml. One that was given up shows its last value.",
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
