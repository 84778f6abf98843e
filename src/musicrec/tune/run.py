"""`musicrec tune`: search for the best parameters of als and feedback on the validation users."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.jit.parallel import thread_count
from musicrec.metrics.ranking import headline_metrics
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams, load_block
from musicrec.storage.files import read_json, write_exact_json
from musicrec.tune.space import Setting, Space, read_space
from musicrec.tune.study import (
    BATCH,
    COMPLETE,
    FAILED,
    PRUNED,
    Pruned,
    Pruning,
    Trial,
    ask,
    best_of,
    run_batch,
)
from musicrec.tune.trial import Model, Trials

DEFAULT_SPACE = (
    "als.rank=tag(log,int(interval(8,128)))",
    "als.reg_param=tag(log,interval(0.01,3))",
    "als.alpha=tag(log,interval(0.3,30))",
    "als.reg_exponent=interval(0.5,1)",
    "als.nonnegative=true,false",
    "feedback.transform=none,log1p",
)
LOOKS = (2, 4, 8, 16, 32)  # iterations after which a trial may be given up
WIDENINGS = 3
FOLDER = Path("data/tune")
CODE = ("als", "search", "metrics", "tune")  # what a trial's figures depend on


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    params : Path
        params.yaml, whose setting is the first trial.
    indexed : Path
        Folder of the index stage.
    overrides : sequence of str
        On top of `DEFAULT_SPACE`, whose parameters they replace; see `space.read_space`.
    metric : str
        A headline metric of the validation users, such as `ndcg@500`.
    beyond : bool
        Go on with a wider space when the best lies on its border.
    folder : Path
        Where the study is kept, so that a later run goes on from there.
    """

    params: Path
    indexed: Path
    overrides: Sequence[str] = ()
    n_trials: int = 100
    metric: str = ""
    seed: int = 42
    beyond: bool = False
    workers: int | None = None
    folder: Path = FOLDER


@dataclass(frozen=True)
class Study:
    """Trials, the first of them the setting of params.yaml.

    Attributes
    ----------
    space : Space
        As it was in the end.
    base : dict
        Parameters of als and feedback as params.yaml has them, by full name.
    n_users : int
        Validation users.
    """

    metric: str
    space: Space
    base: Setting
    n_users: int
    trials: list[Trial] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Every field as JSON."""
        return {
            "metric": self.metric,
            "space": self.space.as_json(),
            "base": self.base,
            "n_users": self.n_users,
            "trials": [trial.as_json() for trial in self.trials],
        }

    @property
    def best(self) -> Trial:
        """The best trial; MusicRecError if none succeeded."""
        return best_of(self.trials)

    def changes(self, trial: Trial) -> Setting:
        """What of a trial differs from params.yaml."""
        setting = {**self.space.fixed, **trial.setting}
        return {name: value for name, value in setting.items() if self.base[name] != value}


def tune(
    request: Request, on_trial: Callable[[int, int, Trial, Trial | None], None] = lambda *_: None
) -> Study:
    """Search; the same request gives the same trials, whatever ran before and however many at once.

    Parameters
    ----------
    on_trial : callable, optional
        Told (number from 0, how many there will be, the trial, the best before it).

    Raises
    ------
    MusicRecError
        The request does not fit, or no trial succeeded.
    """
    als = load_block(request.params, ALSParams)
    feedback = load_block(request.params, FeedbackParams)
    judged = load_block(request.params, EvaluateParams).replace(split="validation")
    metrics = headline_metrics(judged.k)
    metric = request.metric or metrics[1]
    if metric not in metrics:
        raise MusicRecError(f"tune knows no metric {metric}; it has {', '.join(metrics)}")
    base = {**_named("als", als), **_named("feedback", feedback)}
    space = _space(request.overrides, base)
    runner = _Runner(Trials(request.indexed, judged), als, feedback, space.fixed, metric)
    study = Study(metric, space, base, len(runner.trials.held_out.users))
    store = _Store(request, study, judged.k)
    workers = min(request.workers or thread_count(), BATCH)
    runner.threads = max(1, thread_count() // workers)
    total, widened = request.n_trials, 0
    while True:
        while len(study.trials) < total:
            before = list(study.trials)
            settings = _batch(study, request.seed)[: total - len(before)]
            known = [*before, *store.known]
            for trial in run_batch(settings, before, known, space, runner.run, workers):
                complete = any(t.state == COMPLETE for t in study.trials)
                on_trial(len(study.trials), total, trial, study.best if complete else None)
                study.trials.append(trial)
                store.save(study)
        borders = space.on_border(study.best.setting)
        if not (request.beyond and borders and widened < WIDENINGS):
            return study
        space, widened = space.widened(borders), widened + 1
        study = replace(study, space=space)
        total += max(BATCH, request.n_trials // 4)


def _batch(study: Study, seed: int) -> list[Setting]:
    """Settings of the next batch; the first one is that of params.yaml."""
    first = [] if study.trials else [{name: study.base[name] for name in study.space.swept}]
    return first + ask(study.trials, study.space, seed, BATCH - len(first))


def _space(overrides: Sequence[str], base: Setting) -> Space:
    """Read the overrides, over those of the default space, in which the setting `base` lies."""
    space = read_space(overrides, read_space(DEFAULT_SPACE).around(base))
    if not space.swept:
        raise MusicRecError("there is nothing to search: every parameter has one value")
    return space


def _named(block: str, params: ALSParams | FeedbackParams) -> Setting:
    return {f"{block}.{key}": value for key, value in params.model_dump().items()}


@dataclass
class _Runner:
    """Fits and judges one setting."""

    trials: Trials
    als: ALSParams
    feedback: FeedbackParams
    fixed: Setting
    metric: str
    threads: int = 1

    def run(self, setting: Setting, pruning: Pruning) -> Trial:
        """Train, looking at the metric on the way, and judge."""
        since = time.perf_counter()
        als, feedback = self.params(setting)

        def watch(iteration: int, factors: Factors) -> None:
            pruning.check()
            if iteration in LOOKS and iteration < als.max_iter:
                model = Model(factors, als, feedback)
                pruning.report(iteration, self._figures(model)[self.metric])

        state, value, figures, reason = FAILED, None, {}, ""
        try:
            model = self.trials.fit(als, feedback, on_iteration=watch, threads=self.threads)
            figures = self._figures(model)
            state, value = COMPLETE, figures[self.metric]
        except Pruned:
            state, value = PRUNED, list(pruning.steps.values())[-1]
        except MusicRecError as error:
            reason = str(error)
        seconds = time.perf_counter() - since
        return Trial(setting, state, value, figures, pruning.steps, reason, seconds)

    def params(self, setting: Setting) -> tuple[ALSParams, FeedbackParams]:
        """Both blocks with a setting's values."""
        values = {**self.fixed, **setting}
        blocks = [
            {key.partition(".")[2]: v for key, v in values.items() if key.startswith(f"{block}.")}
            for block in ("als", "feedback")
        ]
        return self.als.replace(**blocks[0]), self.feedback.replace(**blocks[1])

    def _figures(self, model: Model) -> dict[str, float]:
        return self.trials.headline(model, threads=self.threads)


class _Store:
    """The trials of one request in a file, named by all that decides them."""

    def __init__(self, request: Request, study: Study, k: Sequence[int]) -> None:
        rooms = [Path(str(files("musicrec") / room)) for room in CODE]
        about = {
            "k": list(k),
            "seed": request.seed,
            "study": study.as_json(),
            "plays": _digest(path for path in sorted(request.indexed.rglob("*")) if path.is_file()),
            "code": _digest(path for room in rooms for path in sorted(room.rglob("*.py"))),
        }
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        self.path = request.folder / f"{name}.json"
        self.known = _read(self.path).trials if self.path.exists() else []

    def save(self, study: Study) -> None:
        """Write the trials, and apart from them those of a longer run before."""
        tried = [trial.setting for trial in study.trials]
        more = [trial for trial in self.known if trial.setting not in tried]
        shown = {"n_trials": len(study.trials)}
        whole = replace(study, trials=[*study.trials, *more])
        write_exact_json(self.path, whole.as_json() | shown)


def newest_study(folder: Path = FOLDER) -> Study | None:
    """Read the study that a search has written last, as far as it got; None if there is none."""
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return _read(paths[-1], whole=False) if paths else None


def _read(path: Path, whole: bool = True) -> Study:
    try:
        content = read_json(path)
        trials = [Trial.from_json(trial) for trial in content["trials"]]
        return Study(
            metric=content["metric"],
            space=Space.from_json(content["space"]),
            base=content["base"],
            n_users=content["n_users"],
            trials=trials if whole else trials[: content["n_trials"]],
        )
    except (MusicRecError, ValueError, KeyError, TypeError):
        raise MusicRecError(f"{path} is damaged; remove it, and the search starts anew") from None


def _digest(paths: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            whole.update(f"{path.name}:".encode())
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
