"""A search: its trials, what is kept of it for other commands, and how it reads on a terminal."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from musicrec.errors import MusicRecError
from musicrec.formatting import Table, parameter
from musicrec.storage.files import write_exact_json

FOLDER = Path("data/tune")
ALPHA, TRANSFORM = "als.alpha", "feedback.transform"
SHOWN = 10  # trials of a table
Setting = dict[str, Any]  # full name of a parameter -> value


@dataclass(frozen=True)
class Study:
    """Trials, the first of them the setting of params.yaml.

    Attributes
    ----------
    base, fixed : dict
        Parameters of als and feedback as params.yaml has them, and those that differ from it in
        every trial, by full name.
    searched : dict of str to bool
        Parameters that are searched, and whether by the logarithm.
    n_users : int
        Validation users.
    trials : list of optuna.trial.FrozenTrial
        With `user_attrs`: `setting`, every parameter that is searched; `seconds`; `figures`, all
        headline metrics of a complete trial; `reason`, why it failed.
    border : dict of str to str
        Parameters whose best value lies on the `lower` or `upper` border of the space.
    importance : dict of str to float
        How much each decides (`run.importance`); empty with too few trials.
    """

    metric: str
    base: Setting
    fixed: Setting
    searched: dict[str, bool]
    n_users: int
    trials: list[FrozenTrial] = field(default_factory=list)
    border: dict[str, str] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> FrozenTrial:
        """The complete trial with the highest value, the first of equal ones.

        Raises
        ------
        MusicRecError
            No trial is complete.
        """
        if ranked := self.ranked():
            return ranked[0][1]
        reasons = [trial.user_attrs.get("reason") for trial in self.trials]
        raise MusicRecError(f"no trial succeeded: {next(filter(None, reasons), 'none was run')}")

    def whole(self, trial: FrozenTrial) -> Setting:
        """Every parameter of a trial."""
        return {**self.base, **self.fixed, **trial.user_attrs["setting"]}

    def changes(self, trial: FrozenTrial) -> Setting:
        """What of a trial differs from params.yaml."""
        setting = self.whole(trial)
        return {name: value for name, value in setting.items() if self.base[name] != value}

    def ranked(self) -> list[tuple[int, FrozenTrial]]:
        """Complete trials with their numbers from 0, the best first."""
        every = enumerate(self.trials)
        complete = [pair for pair in every if pair[1].state == TrialState.COMPLETE]
        return sorted(complete, key=lambda pair: -(pair[1].value or 0))


def write_settings(path: Path, study: Study) -> None:
    """Keep the settings for `musicrec compare`, which knows no Optuna."""
    trials = [trial.user_attrs for trial in study.trials]
    write_exact_json(path, {"base": study.base, "fixed": study.fixed, "trials": trials})


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


def table(study: Study) -> str:
    """The best trials, and that of params.yaml."""
    ranked = study.ranked()
    shown = ranked[:SHOWN] + [pair for pair in ranked[SHOWN:] if pair[0] == 0]
    metrics = list(study.best.user_attrs["figures"])
    header = ["trial", *metrics, *(name.partition(".")[2] for name in study.searched)]
    rows = [
        [
            f"{number + 1}" if number else "params.yaml",
            *(f"{trial.user_attrs['figures'][name]:.4f}" for name in metrics),
            *(parameter(trial.user_attrs["setting"][name]) for name in study.searched),
        ]
        for number, trial in shown
    ]
    return Table(header, rows).text()


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
    for name, end in study.border.items():
        value = parameter(study.best.user_attrs["setting"][name])
        found.append(
            f"{name} = {value} lies on the {end} border of the space; better may lie beyond it: "
            f"search again with a wider range, -S '{name}=...'."
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
