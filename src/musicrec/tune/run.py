"""`musicrec tune`: search for the best parameters of als and feedback on the validation users.

Optuna proposes, prunes and keeps the trials, in a journal file. Every trial is proposed by a
sampler of its own seed that knows all trials before it, so that a search that was stopped goes on
as if it had not been.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages.journal import JournalFileBackend
from optuna.trial import BaseTrial, FrozenTrial, TrialState, create_trial

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import hash_rows, truth_digest
from musicrec.metrics.definitions import headline_metrics
from musicrec.params import B, load_params
from musicrec.project import TRIALS
from musicrec.storage.files import write_exact_json
from musicrec.storage.outputs import CHECKSUMS
from musicrec.tune.space import Setting, Space, read_space
from musicrec.tune.trial import Model, Trials, code_digest, digest

DEFAULT_SPACE = (
    "als.rank=tag(log,int(interval(8,256)))",
    "als.reg_param=tag(log,interval(0.01,16))",
    "als.alpha=tag(log,interval(0.3,30))",
    "als.reg_exponent=interval(0.5,1)",
    "als.nonnegative=true,false",
    "feedback.transform=none,log1p",
)
LOOKS = (2, 4, 8, 16, 32)  # iterations after which a trial may be given up
RANDOM_TRIALS = 12  # before Optuna models what it has seen
Judge = Callable[[BaseTrial, Setting], float]


@dataclass(frozen=True)
class Request:
    """What is asked for: params.yaml, whose setting is the first trial, and the indexed plays.

    `overrides` replace parameters of `DEFAULT_SPACE` (`space.read_space`); `metric` is a headline
    metric of the validation users, by default the first; `folder` keeps the trials.
    """

    params: Path
    indexed: Path
    overrides: Sequence[str] = ()
    n_trials: int = 100
    metric: str = ""
    seed: int = 42
    folder: Path = Path(TRIALS)


@dataclass(frozen=True)
class Study:
    """Trials, the first of them the setting of params.yaml.

    Attributes
    ----------
    base : dict
        Parameters of als and feedback as params.yaml has them, by full name.
    n_users : int
        Validation users.
    trials : list of optuna.trial.FrozenTrial
        With `user_attrs`: `setting`, every parameter that is searched; `seconds`; `figures`, all
        headline metrics of a complete trial; `reason`, why it failed.
    """

    metric: str
    base: Setting
    space: Space
    n_users: int
    trials: list[FrozenTrial] = field(default_factory=list)

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

    def changes(self, trial: FrozenTrial) -> Setting:
        """What of a trial differs from params.yaml."""
        setting = self.space.fixed | trial.user_attrs["setting"]
        return {name: value for name, value in setting.items() if self.base[name] != value}

    def ranked(self) -> list[tuple[int, FrozenTrial]]:
        """Complete trials with their numbers from 0, the best first."""
        every = enumerate(self.trials)
        complete = [pair for pair in every if pair[1].state == TrialState.COMPLETE]
        return sorted(complete, key=lambda pair: -(pair[1].value or 0))


def tune(
    request: Request,
    on_trial: Callable[[int, int, FrozenTrial, FrozenTrial | None], None] = lambda *_: None,
) -> Study:
    """Search; the same request gives the same trials, whatever ran or was stopped before.

    Parameters
    ----------
    on_trial : callable, optional
        Called after each as (number from 0, how many there will be, the trial, the best before).

    Raises
    ------
    MusicRecError
        The request does not fit.
    """
    params = load_params(request.params)
    als, feedback = params.als, params.feedback
    judged = params.evaluate.replace(split="validation")
    metrics = headline_metrics(judged.k)
    metric = request.metric or metrics[0]
    if metric not in metrics:
        raise MusicRecError(f"tune knows no metric {metric}; it has {', '.join(metrics)}")
    base = {f"{one.block}.{key}": value for one in (als, feedback) for key, value in one}
    space = read_space([*DEFAULT_SPACE, *request.overrides])
    if not space.swept:
        raise MusicRecError("there is nothing to search: every parameter has one value")
    trials = Trials(request.indexed, judged)

    def judge(trial: BaseTrial, setting: Setting) -> float:
        """Train and judge a setting, unless Optuna gives it up on the way."""
        since, values = time.perf_counter(), space.fixed | setting
        trial.set_user_attr("setting", setting)
        model = _with(als, values), _with(feedback, values)

        def watch(iteration: int, factors: Factors) -> None:
            if iteration in LOOKS and iteration < model[0].max_iter:
                trial.report(trials.figures(Model(factors, *model))[metric], iteration)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            figures = trials.figures(trials.fit(*model, watch))
        except MusicRecError as error:
            trial.set_user_attr("reason", str(error))
            raise
        finally:
            trial.set_user_attr("seconds", time.perf_counter() - since)
        trial.set_user_attr("figures", figures)
        return figures[metric]

    about = {
        **{"metric": metric, "k": list(judged.k), "seed": request.seed, "base": base},
        **{"fixed": space.fixed, "plays": digest(request.indexed.rglob(CHECKSUMS))},
        "swept": {name: distribution_to_json(kind) for name, kind in space.swept.items()},
        "code": code_digest(),
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    search = _open(request.folder / f"{name}.log")
    study = Study(metric, base, space, len(trials.held_out.users))
    ended = filter(_has_ended, search.get_trials(deepcopy=False))
    try:
        for number in range(request.n_trials):
            first = None if number else {key: base[key] for key in space.swept}
            seed = request.seed + number
            trial = next(ended, None) or _next(search, space, judge, seed, first)
            best = next((best for _, best in study.ranked()), None)
            on_trial(number, request.n_trials, trial, best)
            study.trials.append(trial)
        return study
    finally:
        if study.ranked():  # for `musicrec compare`, which knows no Optuna
            settings = [trial.user_attrs for trial in study.trials]
            kept = {"base": base, "fixed": space.fixed, "trials": settings}
            kept["truth"] = truth_digest(
                hash_rows(trials.held_out.truth, trials.held_out.track_ids)
            )
            write_exact_json(request.folder / f"{name}.json", kept)


def _open(path: Path) -> optuna.Study:
    """Open the journal of a search, or begin it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        search = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS, n_warmup_steps=1),
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError, AssertionError):
        raise MusicRecError(f"{path} is damaged; remove it to start anew") from None
    for left in search.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        search.tell(left.number, state=TrialState.FAIL)  # of a process that was killed
    return search


def _has_ended(trial: FrozenTrial) -> bool:
    """Whether a trial came to an end of its own: one without a reason was killed."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "reason" in trial.user_attrs


def _next(
    search: optuna.Study, space: Space, judge: Judge, seed: int, first: Setting | None
) -> FrozenTrial:
    """Let Optuna propose a setting, or take the `first`, and judge it."""
    search.sampler = optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, n_startup_trials=RANDOM_TRIALS
    )
    inside = first is None or space.holds(first)  # params.yaml's own may lie outside
    if first is not None and inside:
        search.enqueue_trial({space.key(name, first): first[name] for name in space.swept})

    def objective(trial: BaseTrial) -> float:
        suggested = space.suggest(trial) if inside else {}
        return judge(trial, suggested if first is None else first)  # as it is, not rounded

    search.optimize(objective, n_trials=1, catch=(MusicRecError,))
    return search.get_trials(deepcopy=False)[-1]


def _with(block: B, setting: Setting) -> B:
    parts = [(*name.partition("."), value) for name, value in setting.items()]
    return block.replace(**{key: value for of, _, key, value in parts if of == block.block})


def importance(study: Study) -> dict[str, float]:
    """How much each parameter decides whether a trial is among the best tenth: shares of 1.

    PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), against the space and not against the
    trials: a search soon tries the better transform alone, and among those trials it would seem
    to decide nothing. Empty with too few trials or one parameter.
    """
    search = optuna.create_study(direction="maximize")
    kinds: Any = dict(study.space.swept)
    for trial in study.trials:
        setting = trial.user_attrs["setting"]
        if trial.state == TrialState.COMPLETE and study.space.holds(setting):
            params = {name: setting[name] for name in kinds}
            search.add_trial(create_trial(value=trial.value, params=params, distributions=kinds))
    names = [name for name, kind in kinds.items() if not kind.single()]
    if len(search.trials) < RANDOM_TRIALS or len(names) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(evaluate_on_local=False)
    shares = optuna.importance.get_param_importances(search, evaluator=evaluator, params=names)
    return dict(shares)
