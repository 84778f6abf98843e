"""The original project's whole report, computed anew on the indexed plays, and kept as it grows.

Figures and settings are those of the report of zhengyangb/music-recsys on the Million Song Dataset.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fold_in import queries
from musicrec.ann_bench.run import dataset_of, describe_machine, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.evaluate.report import metric_rows, spark_rows
from musicrec.interactions.factors import SMALLEST_SCORE, largest_score
from musicrec.params import ALSParams, AnnBenchParams, EvaluateParams, FeedbackParams
from musicrec.storage.files import read_json, write_json
from musicrec.storage.outputs import CHECKSUMS
from musicrec.storage.parquet import SPLITS
from musicrec.tune.trial import Trials, code_digest, digest

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
SEARCH = AnnBenchParams(
    k=KS[-1], methods=("exact_argsort", "exact", "annoy_dot"), n_trees=(1, 5, 10, 30)
)
Figures = dict[str, Any]


class Point(NamedTuple):
    """A model to fit."""

    als: ALSParams
    feedback: FeedbackParams = FeedbackParams()

    def __str__(self) -> str:
        """Name what the grid varies."""
        return f"rank {self.als.rank}, reg_param {self.als.reg_param:g}, alpha {self.als.alpha:.4g}"


def beyond(best: ALSParams) -> dict[str, Point | None]:
    """One step out of the grid along each axis on whose end the best point lies.

    The step is the ratio of the two values at that end. None where no rank is that low.
    """
    steps: dict[str, Point | None] = {}
    for name, values in AXES.items():
        value = getattr(best, name)
        if value in (values[0], values[-1]):
            inner = values[1] if value == values[0] else values[-2]
            further = type(value)(round(value**2 / inner, 12))
            fits = further >= 1 or name != "rank"
            steps[name] = Point(best.replace(**{name: further})) if fits else None
    return steps


class Work:
    """Fits and judges what no earlier run has left in `folder`, one file a result.

    A result's name is a hash of the plays, the code and the setting, so that another table of plays
    or an edit of the solver starts anew. Plays are read only when something is to be computed.

    Attributes
    ----------
    grid : list of Point
        The 27 models of the original's search.
    computed : int
        How many results were computed and not read.
    """

    def __init__(
        self,
        indexed: Path,
        base: ALSParams,
        folder: Path = FOLDER,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        """Take the folder of the index stage, what the grid does not vary, and where to keep."""
        if not (indexed / CHECKSUMS).is_file():
            raise MusicRecError(f"{indexed} holds no indexed plays; run dvc repro index")
        if not all((indexed / split).is_dir() for split in SPLITS):
            raise MusicRecError(
                f"{indexed}: the original project judged validation and test users by one model, "
                "and data.protocol: temporal trains one for each; set it to holdout or given"
            )
        self.folder, self.on_step, self.computed = folder, on_step, 0
        values = itertools.product(*AXES.values())
        self.grid = [Point(base.replace(**dict(zip(AXES, v, strict=True)))) for v in values]
        self._inputs = f"{code_digest()} {digest(indexed.rglob(CHECKSUMS))}"
        self._trials = cache(lambda split: Trials(indexed, EvaluateParams(split=split, k=KS)))
        self._model = lru_cache(3)(lambda point: self._trials("validation").fit(*point))

    @cached_property
    def best(self) -> Point:
        """Of the grid, by MAP@500 in the `spark` protocol; the first of equals."""
        return max(self.grid, key=lambda point: self.judge(point)["spark"]["map"])

    @cached_property
    def variants(self) -> dict[str, Point]:
        """The best point with other feedback, by name."""
        return {name: Point(self.best.als, PUBLISHED[name][0]) for name in PUBLISHED}

    @cached_property
    def matched(self) -> Point:
        """Log compression with alpha scaled so that the mean of alpha r is the best point's."""

        def compute() -> float:
            train = self._trials("validation").held_out.train
            means = [
                float(training_ratings(train, feedback).counts.mean(dtype=np.float64))
                for feedback in (self.best.feedback, LOG_FEEDBACK)
            ]
            return self.best.als.alpha * means[0] / means[1]

        alpha = self._kept(self.best, {"what": "matched alpha"}, compute)
        return Point(self.best.als.replace(alpha=alpha), LOG_FEEDBACK)

    def judge(self, point: Point, split: str = "validation") -> Figures:
        """Rows `spark` and `ranking` at k = 500, as the evaluate stage writes them.

        `zero`: no score is above `SMALLEST_SCORE`: the regularisation outweighs the plays.
        """

        def compute() -> Figures:
            model = self._model(point)
            factors = model.factors
            table = self._trials(split).per_user(model)
            rows = {"spark": spark_rows(table, KS)[-1], "ranking": metric_rows(table, KS)[-1]}
            return rows | {"zero": largest_score(factors.users, factors.items) < SMALLEST_SCORE}

        return self._kept(point, {"split": split}, compute)

    def seen(self) -> dict[str, float]:
        """Share of the best model's unfiltered lists that users have played already, by length."""

        def compute() -> dict[str, float]:
            trials = self._trials("validation")
            lists = trials.lists(self._model(self.best), seen=True)
            history = trials.held_out.history
            known = np.array([np.isin(row, history.row(u)) for u, row in enumerate(lists)])
            filled = lists >= 0
            return {str(k): float(known[:, :k].sum() / max(1, filled[:, :k].sum())) for k in KS}

        return self._kept(self.best, {"what": "seen"}, compute)

    def search(self) -> dict[str, Any]:
        """Rows of ann-bench for the best model, with brute force and Annoy, and the machine."""

        def compute() -> dict[str, Any]:
            held_out, model = self._trials("validation").held_out, self._model(self.best)
            vectors = (queries(held_out, *model), model.factors.items)
            rows = run_benchmark(dataset_of(held_out, *vectors, SEARCH), SEARCH, self.on_step)
            return {"rows": rows, "machine": describe_machine()}

        about = {"what": "search", **SEARCH.model_dump(mode="json")}
        return self._kept(self.best, about, compute)

    def _kept(self, point: Point, about: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Read a result, or compute and write it."""
        about = about | {"als": point.als.model_dump(), "feedback": point.feedback.model_dump()}
        known = {"inputs": self._inputs, "about": about}
        name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{name}.json"
        if not path.exists():
            self.on_step(", ".join(f"{key} {value}" for key, value in about.items()))
            write_json(path, {"about": about, "result": compute()})
            self.computed += 1
        return read_json(path)["result"]
