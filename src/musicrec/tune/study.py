"""A search and its trials as plain data, what is kept of it, and how it reads on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from musicrec.errors import MusicRecError
from musicrec.formatting import parameter, text_table
from musicrec.storage.files import read_json, write_exact_json

FOLDER = Path("data/tune")
COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAIL"  # as Optuna has them
ALPHA, TRANSFORM = "als.alpha", "feedback.transform"
SHOWN = 10  # trials of a table
Setting = dict[str, Any]  # full name of a parameter -> value


@dataclass(frozen=True)
class Trial:
    """One setting (every parameter that is searched) and what came of it.

    `state` is `COMPLETE`, `PRUNED` or `FAIL`; `value` the metric, of a pruned trial the last that
    was seen, after so many `iterations`; `figures` all headline metrics of a complete trial;
    `reason` why it failed.
    """

    setting: Setting
    state: str
    value: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    iterations: int = 0
    reason: str = ""
    seconds: float = 0.0


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
    trials: list[Trial] = field(default_factory=list)
    border: dict[str, str] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The complete trial with the highest value, the first of equal ones.

        Raises
        ------
        MusicRecError
            No trial is complete.
        """
        if ranked := self.ranked():
            return ranked[0][1]
        reasons = [trial.reason for trial in self.trials if trial.reason] or ["none was run"]
        raise MusicRecError(f"no trial succeeded: {reasons[0]}")

    def changes(self, trial: Trial) -> Setting:
        """What of a trial differs from params.yaml."""
        setting = {**self.fixed, **trial.setting}
        return {name: value for name, value in setting.items() if self.base[name] != value}

    def ranked(self) -> list[tuple[int, Trial]]:
        """Complete trials with their numbers from 0, the best first."""
        complete = [(i, trial) for i, trial in enumerate(self.trials) if trial.state == COMPLETE]
        return sorted(complete, key=lambda pair: -(pair[1].value or 0))


def write_study(path: Path, study: Study) -> None:
    """Keep a search for the pages and for `musicrec compare`, which know no Optuna."""
    write_exact_json(path, asdict(study))


def read_study(path: Path) -> Study:
    """Read what `write_study` wrote."""
    try:
        content = read_json(path)
        trials = [Trial(**trial) for trial in content.pop("trials")]
        return Study(**content, trials=trials)
    except (MusicRecError, ValueError, KeyError, TypeError):
        raise MusicRecError(f"{path} is damaged; remove it and run musicrec tune again") from None


def trial_line(number: int, total: int, trial: Trial, best: Trial | None) -> str:
    """One trial in a line; `best` is the best before it."""
    outcome = {
        COMPLETE: f"{trial.value or 0:.4f}",
        PRUNED: f"given up after {trial.iterations} iterations",
        FAILED: f"failed: {trial.reason}",
    }[trial.state]
    if trial.state == COMPLETE and best is not None and (trial.value or 0) > (best.value or 0):
        outcome += " (best so far)"
    words = ", ".join(
        f"{name.partition('.')[2]} {parameter(v)}" for name, v in trial.setting.items()
    )
    return f"trial {number + 1}/{total}  {outcome}  {words}  {trial.seconds:.1f} s"


def table(study: Study) -> str:
    """The best trials, and that of params.yaml."""
    ranked = study.ranked()
    shown = ranked[:SHOWN] + [pair for pair in ranked[SHOWN:] if pair[0] == 0]
    metrics = list(study.best.figures)
    header = ["trial", *metrics, *(name.partition(".")[2] for name in study.searched)]
    rows = [
        [
            f"{number + 1}" if number else "params.yaml",
            *(f"{trial.figures[name]:.4f}" for name in metrics),
            *(parameter(trial.setting[name]) for name in study.searched),
        ]
        for number, trial in shown
    ]
    return text_table(header, rows, right=range(1, len(header)))


def notes(study: Study) -> list[str]:
    """What a reader must know before believing the best trial."""
    words = {COMPLETE: "complete", PRUNED: "given up early", FAILED: "failed"}
    states = [trial.state for trial in study.trials]
    counts = [f"{states.count(s)} {word}" for s, word in words.items() if s in states]
    found = [f"{len(states)} trials: {', '.join(counts)}."]
    if FAILED in states:
        found.append(f"The first that failed: {study.trials[states.index(FAILED)].reason}.")
    if not study.changes(study.best):
        return [*found, "No trial beats params.yaml: there is nothing to change."]
    for name, end in study.border.items():
        value = parameter(study.best.setting[name])
        found.append(
            f"{name} = {value} lies on the {end} border of the space; better may lie beyond it: "
            f"search again with a wider range, -S '{name}=...'."
        )
    return [
        *found,
        f"The best of {len(states)} on {study.n_users:,} validation users looks better than "
        "it is. Add -S evaluate.split=test to judge it once, on the test users.",
    ]


def command(study: Study, trial: Trial | None = None) -> str:
    """The `dvc exp run` that trains a trial's model, by default the best one's, byte for byte.

    Nothing, where that is the model of params.yaml.
    """
    changes = study.changes(trial or study.best)
    words = [f"-S {shlex.quote(f'{name}={parameter(changes[name])}')}" for name in sorted(changes)]
    return " ".join(["dvc exp run", *words]) if words else ""


def has_setting(study: Study, trial: Trial, params: Mapping[str, Any]) -> bool:
    """Whether a trial's setting is that of some parameters; one left out there may be anything."""
    setting = {**study.base, **study.fixed, **trial.setting}
    blocks = {block: params.get(block) or {} for block in ("als", "feedback")}
    written = {f"{block}.{key}": v for block, keys in blocks.items() for key, v in keys.items()}
    return bool(written) and all(setting.get(name) == value for name, value in written.items())
