"""What `musicrec tune` prints: a line a trial, and in the end a table, warnings and a command."""

from __future__ import annotations

import json
import shlex
from typing import Any

from musicrec.reporting.markdown import text_table
from musicrec.tune.run import Study
from musicrec.tune.space import ALPHA, TRANSFORM, Setting
from musicrec.tune.study import COMPLETE, FAILED, PRUNED, Trial

SHOWN = 10  # trials of the table


def trial_line(number: int, total: int, trial: Trial, best: Trial | None) -> str:
    """One trial in a line."""
    outcome = {
        COMPLETE: f"{trial.value or 0:.4f}",
        PRUNED: f"given up after {max(trial.steps, default=0)} iterations",
        FAILED: f"failed: {trial.reason}",
    }[trial.state]
    if trial.state == COMPLETE and best is not None and (trial.value or 0) > (best.value or 0):
        outcome += " (best so far)"
    words = ", ".join(f"{_short(name)} {_written(v)}" for name, v in trial.setting.items())
    return f"trial {number + 1}/{total}  {outcome}  {words}  {trial.seconds:.1f} s"


def table(study: Study) -> str:
    """The best trials, and that of params.yaml."""
    complete = [(i, trial) for i, trial in enumerate(study.trials) if trial.state == COMPLETE]
    ranked = sorted(complete, key=lambda pair: -(pair[1].value or 0))
    shown = ranked[:SHOWN] + [pair for pair in ranked[SHOWN:] if pair[0] == 0]
    names = list(study.space.swept)
    metrics = list(study.best.figures)
    header = ["trial", *metrics, *map(_short, names)]
    rows = [
        [
            f"{number + 1}" if number else "params.yaml",
            *(f"{trial.figures[name]:.4f}" for name in metrics),
            *(_written(trial.setting[name]) for name in names),
        ]
        for number, trial in shown
    ]
    return text_table(header, rows, right=range(1, len(header)))


def notes(study: Study) -> list[str]:
    """What a reader must know before believing the best trial."""
    counts = {state: 0 for state in (COMPLETE, PRUNED, FAILED)}
    for trial in study.trials:
        counts[trial.state] += 1
    parts = [f"{len(study.trials)} trials: {counts[COMPLETE]} complete"]
    parts += [f"{counts[PRUNED]} given up early"] if counts[PRUNED] else []
    parts += [f"{counts[FAILED]} failed"] if counts[FAILED] else []
    found = [", ".join(parts) + "."]
    if counts[FAILED]:
        reason = next(trial.reason for trial in study.trials if trial.state == FAILED)
        found.append(f"The first that failed: {reason}.")
    if not study.changes(study.best):
        return [*found, "No trial beats params.yaml: there is nothing to change."]
    for name, end in study.space.on_border(study.best.setting).items():
        side = {"low": "lower", "high": "upper"}[end]
        value = _written(study.best.setting[name])
        found.append(
            f"{name} = {value} lies on the {side} border of the space, so better may lie beyond: "
            "--beyond goes on there."
        )
    found += _alpha_by_transform(study)
    found.append(
        f"The best of {len(study.trials)} on {study.n_users:,} validation users looks better than "
        "it is. Add -S evaluate.split=test to judge it once, on the test users."
    )
    return found


def _alpha_by_transform(study: Study) -> list[str]:
    """Alpha means something else under each transform: the best of each, where both were tried."""
    if ALPHA not in study.space.swept or TRANSFORM not in study.space.swept:
        return []
    best: dict[str, Trial] = {}
    for trial in study.trials:
        if trial.state == COMPLETE:
            known = best.setdefault(trial.setting[TRANSFORM], trial)
            if (trial.value or 0) > (known.value or 0):
                best[trial.setting[TRANSFORM]] = trial
    if len(best) < 2:
        return []
    told = ", ".join(
        f"{_written(trial.setting[ALPHA])} with {name} ({study.metric} {trial.value:.4f})"
        for name, trial in sorted(best.items())
    )
    return [
        f"alpha multiplies what feedback.transform leaves of a count, so each has its own: {told}."
    ]


def command(study: Study, trial: Trial | None = None) -> str:
    """The `dvc exp run` that trains a trial's model, by default the best one's, byte for byte.

    Nothing, where that is the model of params.yaml.
    """
    changes = study.changes(trial or study.best)
    if not changes:
        return ""
    return " ".join(["dvc exp run", *(f"-S {override(changes, name)}" for name in sorted(changes))])


def override(setting: Setting, name: str) -> str:
    """`NAME=VALUE` as a shell takes it."""
    return shlex.quote(f"{name}={_written(setting[name])}")


def _short(name: str) -> str:
    return name.partition(".")[2]


def _written(value: Any) -> str:
    """Write a value as YAML and Hydra do."""
    return value if isinstance(value, str) else json.dumps(value)
