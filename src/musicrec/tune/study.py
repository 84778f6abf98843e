"""A search that gives the same trials every time: Optuna proposes, batches keep the order.

Settings are asked for a batch at a time, and every batch from a sampler of its own seed that has
been told of all trials before it. So the trials do not depend on how many run side by side, nor on
which of them ends first, nor on a kill between two of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from musicrec.errors import MusicRecError
from musicrec.tune.space import Setting, Space

BATCH = 4
RANDOM_TRIALS = 12  # before Optuna models what it has seen
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}


@dataclass(frozen=True)
class Trial:
    """One setting and what came of it.

    Attributes
    ----------
    setting : dict
        Full name -> value of every parameter that is swept.
    state : str
        `complete`, `pruned` or `failed`.
    value : float, optional
        The metric; of a pruned trial the last that was seen.
    figures : dict
        All headline metrics of a complete trial.
    steps : dict
        Iteration -> metric, as the training went.
    reason : str
        Why it failed.
    seconds : float
    """

    setting: Setting
    state: str
    value: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """JSON, for `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Trial:
        """Read what `as_json` gave."""
        steps = {int(step): value for step, value in content["steps"].items()}
        return Trial(**{**content, "steps": steps})


class Pruned(Exception):
    """Raised by a trial that `Pruning` has given up."""


@dataclass
class Pruning:
    """Optuna's median rule against the trials before a batch, for one trial of it.

    Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, section 3.2.2.
    """

    study: optuna.Study
    steps: dict[int, float] = field(default_factory=dict)
    stopped: Event = field(default_factory=Event)

    def report(self, iteration: int, value: float) -> None:
        """Note the metric after an iteration; ends a hopeless trial.

        Raises
        ------
        Pruned
            The metric is below the median of the trials before at this iteration.
        """
        self.steps[iteration] = value
        trial = create_trial(state=TrialState.RUNNING, intermediate_values=self.steps)
        if self.study.pruner.prune(self.study, trial):
            raise Pruned

    def check(self) -> None:
        """End the trial if the whole search is ending."""
        if self.stopped.is_set():
            raise KeyboardInterrupt


optuna.logging.set_verbosity(optuna.logging.ERROR)  # no line for every study in memory

Objective = Callable[[Setting, Pruning], Trial]


def known_study(trials: Sequence[Trial], space: Space, seed: int) -> optuna.Study:
    """Optuna's study in memory that knows some trials, all of them as of the present space."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=RANDOM_TRIALS
        )
    study = optuna.create_study(
        direction="maximize",
        sampler=sampler,
        pruner=MedianPruner(n_startup_trials=RANDOM_TRIALS, n_warmup_steps=1),
    )
    for trial in trials:
        if not space.holds(trial.setting):  # params.yaml's own setting may lie outside
            continue
        values, distributions = space.keyed(trial.setting)
        study.add_trial(
            create_trial(
                state=STATES[trial.state],
                value=trial.value if trial.state != FAILED else None,
                params=values,
                distributions=distributions,
                intermediate_values=trial.steps,
            )
        )
    return study


def ask(trials: Sequence[Trial], space: Space, seed: int, count: int) -> list[Setting]:
    """Propose the settings of the next batch.

    Parameters
    ----------
    trials : sequence of Trial
        All before this batch.
    """
    study = known_study(trials, space, seed + len(trials))
    return [space.suggest(study.ask()) for _ in range(count)]


def run_batch(
    settings: Sequence[Setting],
    before: Sequence[Trial],
    known: Sequence[Trial],
    space: Space,
    objective: Objective,
    workers: int,
) -> Iterator[Trial]:
    """Run the trials of a batch side by side; yields them in their order.

    Ctrl-C ends all trials.

    Parameters
    ----------
    before : sequence of Trial
        The trials of this search so far, against which hopeless ones are given up.
    known : sequence of Trial
        These and others: what stands there is not computed again.

    Raises
    ------
    MusicRecError
        As `objective` does for what is no matter of a setting.
    """
    results = {_key(trial.setting): trial for trial in known}
    study = known_study(before, space, 0)
    stopped = Event()

    def run(setting: Setting) -> Trial:
        if (same := results.get(_key(setting))) is not None:
            return same
        return objective(setting, Pruning(study, stopped=stopped))

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, setting) for setting in settings]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _key(setting: Setting) -> str:
    return repr(sorted(setting.items()))


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the complete trial with the highest value; the first of equal ones.

    Raises
    ------
    MusicRecError
        No trial is complete.
    """
    complete = [trial for trial in trials if trial.state == COMPLETE]
    if not complete:
        reasons = list(dict.fromkeys(trial.reason for trial in trials if trial.reason))
        raise MusicRecError(f"no trial succeeded: {reasons[0] if reasons else 'none was run'}")
    return max(complete, key=lambda trial: trial.value or 0.0)


def importance(trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """How much each parameter decides whether a trial is among the best tenth: shares of 1.

    PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023). Empty with too few trials or one parameter.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    study = optuna.create_study(direction="maximize")
    for trial in trials:
        if trial.state == COMPLETE and space.holds(trial.setting):
            params = {name: trial.setting[name] for name in space.swept}
            kinds = dict(space.swept)
            study.add_trial(create_trial(value=trial.value, params=params, distributions=kinds))
    names = [name for name, kind in space.swept.items() if not kind.single()]
    if len(study.trials) < RANDOM_TRIALS or len(names) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = PedAnovaImportanceEvaluator()
    return dict(get_param_importances(study, evaluator=evaluator, params=names))
