"""The original project's whole report, computed anew on the indexed plays, and kept as it grows.

Figures and settings are those of the report of zhengyangb/music-recsys on the Million Song Dataset.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fold_in import queries
from musicrec.ann_bench.run import catalogue_of, describe_machine, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, AnnBenchParams, EvaluateParams, FeedbackParams, load_block
from musicrec.storage.files import read_json, write_json
from musicrec.storage.outputs import CHECKSUMS
from musicrec.tune.trial import Model, Trials, code_digest

FOLDER = Path("data/original")  # a file a result
KS = (10, 500)  # lengths of lists; all figures but those of `Work.seen` are at the last
AXES: dict[str, tuple[Any, ...]] = {
    "rank": (5, 10, 20),
    "reg_param": (0.1, 1.0, 10.0),
    "alpha": (1.0, 5.0, 10.0),
}
BASELINE, LOG = "baseline", "log"
LOG_FEEDBACK = FeedbackParams(transform="log1p")
# Feedback by name, and the MAP@500 and precision@500 that it published for it.
PUBLISHED = {
    BASELINE: (FeedbackParams(), (0.0305, 0.0079)),
    LOG: (LOG_FEEDBACK, (0.0325, 0.0082)),
    "drop counts <= 1": (FeedbackParams(min_count=2), (0.0233, 0.0068)),
    "drop counts <= 2": (FeedbackParams(min_count=3), (0.0213, 0.0065)),
    "log, drop counts <= 1": (LOG_FEEDBACK.replace(min_count=2), (0.0219, 0.0071)),
    "log, drop counts <= 2": (LOG_FEEDBACK.replace(min_count=3), (0.0204, 0.0066)),
}
PUBLISHED_TEST = {BASELINE: (0.0305, 0.0079), LOG: (0.0313, 0.0081)}
Figures = dict[str, Any]


class Point(NamedTuple):
    """A model to fit."""

    als: ALSParams
    feedback: FeedbackParams = FeedbackParams()

    def as_json(self) -> dict[str, Any]:
        """Its parameters."""
        return {"als": self.als.model_dump(), "feedback": self.feedback.model_dump()}


def grid(base: ALSParams) -> list[Point]:
    """The 27 models of its search; what it does not vary is as in `base`."""
    values = itertools.product(*AXES.values())
    return [Point(base.replace(**dict(zip(AXES, value, strict=True)))) for value in values]


def on_border(best: ALSParams) -> list[str]:
    """Name the axes on whose end the best point lies."""
    return [name for name, values in AXES.items() if getattr(best, name) in (values[0], values[-1])]


def beyond(best: ALSParams) -> dict[str, Point]:
    """One step out of the grid along each axis on whose end the best point lies.

    The step is the ratio of the two values at that end.
    """
    steps = {}
    for name in on_border(best):
        values = AXES[name] if getattr(best, name) == AXES[name][0] else AXES[name][::-1]
        further = type(values[0])(round(values[0] ** 2 / values[1], 12))
        if further >= 1 or name != "rank":
            steps[name] = Point(best.replace(**{name: further}))
    return steps


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes
    ----------
    validation, test : dict of Point to figures
        As `Work.judge` gives them, on the users of a split.
    grid : list of Point
    best : Point
        Of the grid, by MAP@500 in the `spark` protocol; the first of equals.
    matched : Point
        Log compression with alpha scaled so that the mean confidence is that of the best point.
    seen : dict of str to float
        Share of the best model's lists that users have played already, by length.
    search, counts : list of dict
        Rows of ann-bench, and of the table of play counts.
    machine : dict
    computed : int
        How many results were computed and not read.
    """

    validation: dict[Point, Figures]
    test: dict[Point, Figures]
    grid: list[Point]
    best: Point
    matched: Point
    seen: dict[str, float]
    search: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    machine: dict[str, Any]
    computed: int

    def variants(self) -> dict[str, Point]:
        """The best point with other feedback, by name."""
        return {name: Point(self.best.als, PUBLISHED[name][0]) for name in PUBLISHED}


class Work:
    """Fits and judges what no earlier run has left in `folder`, one file a result.

    A result's name is a hash of the plays, the code and the setting, so that another table of plays
    or an edit of the solver starts anew. Plays are read only when something is to be computed.
    """

    def __init__(
        self, indexed: Path, folder: Path, on_step: Callable[[str], None] = lambda step: None
    ) -> None:
        """Take the folder of the index stage and that of the results."""
        if not (indexed / CHECKSUMS).is_file():
            raise MusicRecError(f"{indexed} holds no indexed plays; run dvc repro index")
        self.indexed, self.folder, self.on_step = indexed, folder, on_step
        self.computed = 0
        self._trials: dict[str, Trials] = {}
        self._last: tuple[Point, Model] | None = None
        inputs = hashlib.sha256(code_digest().encode())
        for path in sorted(indexed.rglob(CHECKSUMS)):
            inputs.update(path.read_bytes())
        self._inputs = inputs.hexdigest()

    def kept(self, setting: Point, about: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Read a result, or compute and write it."""
        about = about | setting.as_json()
        known = {"inputs": self._inputs, "about": about}
        name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{name}.json"
        if not path.exists():
            self.on_step(", ".join(f"{key} {value}" for key, value in about.items()))
            write_json(path, {"about": about, "result": compute()})
            self.computed += 1
        return read_json(path)["result"]

    def trials(self, split: str = "validation") -> Trials:
        """Plays of a split's users, read once."""
        if split not in self._trials:
            params = EvaluateParams(split=split, k=KS)  # type: ignore[arg-type]
            self._trials[split] = Trials(self.indexed, params)
        return self._trials[split]

    def model(self, setting: Point) -> Model:
        """Fit, or take what was fitted last."""
        if self._last is None or self._last[0] != setting:
            self._last = (setting, self.trials().fit(*setting))
        return self._last[1]

    def judge(self, setting: Point, split: str = "validation") -> Figures:
        """Rows `spark` and `ranking` at k = 500, as the evaluate stage writes them.

        `zero`: all factors are 0, so that nothing is recommended to anybody.
        """

        def compute() -> Figures:
            model = self.model(setting)
            ranking, spark = self.trials(split).judge(model)
            zero = not model.factors.users.any() or not model.factors.items.any()
            return {"spark": spark[-1], "ranking": ranking[-1], "zero": zero}

        return self.kept(setting, {"split": split}, compute)

    def seen(self, setting: Point) -> dict[str, float]:
        """Share of the positions of unfiltered lists that hold a track of the user's history."""

        def compute() -> dict[str, float]:
            trials = self.trials()
            lists = trials.lists(self.model(setting), seen=True)
            history = trials.held_out.history
            known = np.array([np.isin(row, history.row(u)) for u, row in enumerate(lists)])
            filled = lists >= 0
            return {str(k): float(known[:, :k].sum() / max(1, filled[:, :k].sum())) for k in KS}

        return self.kept(setting, {"what": "seen"}, compute)

    def search(self, setting: Point) -> dict[str, Any]:
        """Rows of ann-bench for the model, with brute force and Annoy, and the machine."""
        params = AnnBenchParams(
            k=KS[-1], methods=("exact_argsort", "exact", "annoy_dot"), n_trees=(1, 5, 10, 30)
        )

        def compute() -> dict[str, Any]:
            trials, model = self.trials(), self.model(setting)
            vectors = (queries(trials.held_out, *model), model.factors.items)
            catalogue = catalogue_of(trials.held_out, *vectors, params)
            rows = run_benchmark(catalogue, params, self.on_step)
            return {"rows": rows, "machine": describe_machine()}

        about = {"what": "search", **params.model_dump(mode="json")}
        return self.kept(setting, about, compute)

    def matched_alpha(self, setting: Point) -> float:
        """Alpha of log compression that leaves the mean of alpha r as it is with counts."""

        def compute() -> float:
            train = self.trials().held_out.train
            means = [
                float(training_ratings(train, feedback).counts.mean(dtype=np.float64))
                for feedback in (setting.feedback, LOG_FEEDBACK)
            ]
            return setting.als.alpha * means[0] / means[1]

        return self.kept(setting, {"what": "matched alpha"}, compute)


def original(
    indexed: Path,
    params: Path,
    counts: Path,
    folder: Path = FOLDER,
    on_step: Callable[[str], None] = lambda step: None,
) -> Report:
    """Compute the report, or what is missing of it.

    Parameters
    ----------
    indexed : Path
        Folder of the index stage.
    params : Path
        Parameter file of the original's setting; its block `als` is what the grid does not vary.
    counts : Path
        `plots/data/counts.json` of the ingest stage.
    folder : Path
        Where results are kept.
    """
    work, points = Work(indexed, folder, on_step), grid(load_block(params, ALSParams))
    validation = {point: work.judge(point) for point in points}
    best = max(points, key=lambda point: validation[point]["spark"]["map"])
    log = Point(best.als, LOG_FEEDBACK)
    test = {point: work.judge(point, "test") for point in (log, best)}
    seen, search = work.seen(best), work.search(best)
    matched = Point(best.als.replace(alpha=work.matched_alpha(best)), LOG_FEEDBACK)
    more = [
        *(Point(best.als, feedback) for feedback, _ in PUBLISHED.values()),
        *beyond(best.als).values(),
        *(Point(best.als.replace(alpha=alpha), LOG_FEEDBACK) for alpha in AXES["alpha"]),
        matched,
    ]
    return Report(
        validation=validation | {point: work.judge(point) for point in more},
        test=test,
        grid=points,
        best=best,
        matched=matched,
        seen=seen,
        search=search["rows"],
        counts=json.loads(counts.read_text(encoding="utf-8")) if counts.is_file() else [],
        machine=search["machine"],
        computed=work.computed,
    )
