"""The original project's whole report, computed anew on the indexed plays, and kept as it grows.

Figures and settings are those of the report of zhengyangb/music-recsys on the Million Song Dataset.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fold_in import queries
from musicrec.ann_bench.run import dataset_of, describe_machine, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.evaluate.report import metric_rows, spark_rows
from musicrec.interactions.factors import SMALLEST_SCORE, largest_score
from musicrec.interactions.id_columns import pair_keys
from musicrec.params import ALSParams, AnnBenchParams, EvaluateParams, FeedbackParams
from musicrec.project import ORIGINAL
from musicrec.runtime import progress
from musicrec.storage.files import read_json, write_json
from musicrec.storage.outputs import CHECKSUMS
from musicrec.storage.parquet import SPLITS
from musicrec.tune.trial import Trials, code_digest, digest

KS = (10, 500)  # lengths of lists; all figures but shares of seen tracks are at the last
AXES: dict[str, tuple[Any, ...]] = {
    "rank": (5, 10, 20),
    "reg_param": (0.1, 1.0, 10.0),
    "alpha": (1.0, 5.0, 10.0),
}
LOG = FeedbackParams(transform="log1p")
# Of the best point by feedback: MAP@500 and precision@500 that it published, of validation users
# and of test users.
PUBLISHED: dict[str, tuple[FeedbackParams, dict[str, tuple[float, float]]]] = {
    "baseline": (FeedbackParams(), {"validation": (0.0305, 0.0079), "test": (0.0305, 0.0079)}),
    "log": (LOG, {"validation": (0.0325, 0.0082), "test": (0.0313, 0.0081)}),
    "drop counts <= 1": (FeedbackParams(min_count=2), {"validation": (0.0233, 0.0068)}),
    "drop counts <= 2": (FeedbackParams(min_count=3), {"validation": (0.0213, 0.0065)}),
    "log, drop counts <= 1": (LOG.replace(min_count=2), {"validation": (0.0219, 0.0071)}),
    "log, drop counts <= 2": (LOG.replace(min_count=3), {"validation": (0.0204, 0.0066)}),
}
SEARCH = AnnBenchParams(
    k=KS[-1], methods=("exact_argsort", "exact", "annoy_dot"), n_trees=(1, 5, 10, 30)
)
EVALUATE = EvaluateParams(k=KS)


class Point(NamedTuple):
    """A model to fit."""

    als: ALSParams
    feedback: FeedbackParams = FeedbackParams()

    def __str__(self) -> str:
        """Name what the grid varies."""
        return f"rank {self.als.rank}, reg_param {self.als.reg_param:g}, alpha {self.als.alpha:.4g}"


def beyond(best: ALSParams) -> dict[str, Point]:
    """One step out of the grid along each axis on whose end the best point lies.

    The step is the ratio of the two values at that end.
    """
    steps = {}
    for name, values in AXES.items():
        value = getattr(best, name)
        if value in (values[0], values[-1]):
            inner = values[1] if value == values[0] else values[-2]
            further = type(value)(round(value**2 / inner, 12))
            steps[name] = Point(best.replace(**{name: further}))
    return steps


class Work:
    """Fits and judges what no earlier run has left in `folder`, one file a result.

    A result's name is a hash of the plays, the code and the setting, so that another table of plays
    or an edit of the solver starts anew. `grid` are the 27 models of the original's search;
    `computed` says how many results were computed and not read.
    """

    def __init__(self, indexed: Path, base: ALSParams, folder: Path = Path(ORIGINAL)) -> None:
        """Take the folder of the index stage, what the grid does not vary, and where to keep."""
        if (indexed / CHECKSUMS).is_file() and not all((indexed / one).is_dir() for one in SPLITS):
            raise MusicRecError(
                f"{indexed}: the original project judged validation and test users by one model, "
                "and data.protocol: temporal trains one for each; set it to holdout or given"
            )
        self.folder, self.computed = folder, 0
        values = itertools.product(*AXES.values())
        self.grid = [Point(base.replace(**dict(zip(AXES, v, strict=True)))) for v in values]
        self._trials = {one: Trials(indexed, EVALUATE.replace(split=one)) for one in SPLITS[1:]}
        self._held_out = self._trials["validation"].held_out
        self._plays = digest(indexed.rglob(CHECKSUMS))
        self._model = lru_cache(3)(lambda point: self._trials["validation"].fit(*point))

    @cached_property
    def best(self) -> Point:
        """Of the grid, by MAP@500 in the `spark` protocol; the first of equals."""
        return max(self.grid, key=lambda point: self.judge(point)["spark"]["map"])

    @cached_property
    def matched(self) -> Point:
        """Log compression with alpha scaled so that the mean of alpha r is the best point's."""
        counts, logs = (
            float(training_ratings(self._held_out.train, feedback).counts.mean(dtype=np.float64))
            for feedback in (self.best.feedback, LOG)
        )
        return Point(self.best.als.replace(alpha=self.best.als.alpha * counts / logs), LOG)

    def judge(self, point: Point, split: str = "validation") -> dict[str, Any]:
        """Rows `spark` and `ranking` at k = 500, as the evaluate stage writes them, and more.

        `zero`: no score is above `SMALLEST_SCORE`: the regularisation outweighs the plays. `seen`:
        the shares of the lists of `KS` that hold what a user has played already, if it may be.
        """

        def compute() -> dict[str, Any]:
            trials = self._trials[split]
            model = self._model(point)
            lists, table = trials.judge(model)
            assert lists.with_seen is not None
            users, at = np.nonzero(lists.with_seen >= 0)
            played = pair_keys(users, lists.with_seen[users, at])
            seen = np.isin(played, trials.held_out.history.keys())
            return {
                "spark": spark_rows(table, KS)[-1],
                "ranking": metric_rows(table, KS)[-1],
                "zero": largest_score(model.factors.users, model.factors.items) < SMALLEST_SCORE,
                "seen": [float(seen[at < k].sum() / max(1, np.sum(at < k))) for k in KS],
            }

        return self._kept(point, {"split": split}, compute)

    def search(self) -> dict[str, Any]:
        """Rows of ann-bench for the best model, with brute force and Annoy, and the machine."""

        def compute() -> dict[str, Any]:
            model = self._model(self.best)
            vectors = (queries(self._held_out, *model), model.factors.items)
            dataset = dataset_of(self._held_out, *vectors, SEARCH)
            rows = run_benchmark(dataset, SEARCH, progress)
            return {"rows": rows, "machine": describe_machine()}

        return self._kept(self.best, {"search": SEARCH.model_dump(mode="json")}, compute)

    def _kept(self, point: Point, about: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Read a result, or compute and write it."""
        about = about | {"als": point.als.model_dump(), "feedback": point.feedback.model_dump()}
        known = json.dumps([code_digest(), self._plays, about], sort_keys=True)
        path = self.folder / f"{hashlib.sha256(known.encode()).hexdigest()[:16]}.json"
        if not path.exists():
            progress(", ".join(f"{key} {value}" for key, value in about.items()))
            write_json(path, {"about": about, "plays": self._plays, "result": compute()})
            self.computed += 1
        return read_json(path)["result"]
