"""One setting after another, fitted and judged in one process on plays that are read once.

The figures are those that the stages train and evaluate give for the same parameters, to the last
digit: the same functions make them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import Factors
from musicrec.als.fold_in import queries
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import Lists, judge, recommend
from musicrec.interactions.held_out import read_held_out
from musicrec.metrics.definitions import headline_metrics
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams
from musicrec.search.exact import ExactIndex
from musicrec.train.run import ValidationScore, fit_native


class Model(NamedTuple):
    """Factors and what they were trained with."""

    factors: Factors
    als: ALSParams
    feedback: FeedbackParams


class Trials:
    """Fits and judges models on indexed plays; `held_out` are the users of `evaluate.split`."""

    def __init__(self, indexed: Path, evaluate: EvaluateParams) -> None:
        """Read the folder of the index stage; raises as `held_out.read_held_out` does."""
        self._indexed = indexed
        self._evaluate = evaluate
        self.held_out = read_held_out(indexed, evaluate.split, evaluate.seen)

    def fit(
        self,
        als: ALSParams,
        feedback: FeedbackParams,
        on_iteration: Callable[[int, Factors], None] | None = None,
    ) -> Model:
        """Train as the train stage does; what `on_iteration` raises ends the training."""
        if als.engine != "native":
            raise MusicRecError(
                f"als.engine = {als.engine} does not run in this process; use als.engine = native"
            )
        ages = self.held_out.train_ages if feedback.half_life else None
        ratings = training_ratings(self.held_out.train, feedback, ages)
        score = None
        if als.early_stopping:
            users = self.held_out
            if (users.split, self._evaluate.seen) != ("validation", "exclude"):
                users = read_held_out(self._indexed, "validation")
            score = ValidationScore(users, als, feedback)
        factors = fit_native(self._indexed, ratings, als, score=score, on_iteration=on_iteration)
        return Model(factors, als, feedback)

    def judge(self, model: Model) -> tuple[Lists, pa.Table]:
        """The lists and the per-user table of the evaluate stage, without the baselines."""
        vectors = queries(self.held_out, *model)
        lists = recommend(self.held_out, vectors, model.factors.items, self._evaluate)
        return lists, judge(self.held_out, lists, self._evaluate).table

    def figures(self, model: Model) -> dict[str, float]:
        """The model's figures of `metrics/evaluate.json`, and no more work than they take."""
        held_out, k = self.held_out, self._evaluate.k
        history = None
        if self._evaluate.seen == "exclude":
            history = (held_out.history.indptr, held_out.history.indices)
        index = ExactIndex(model.factors.items)
        lists, _ = index.search(queries(held_out, *model), max(k), exclude=history)
        columns = score_lists(lists, held_out.truth, k)
        by_id = pc.sort_indices(held_out.user_ids).to_numpy()  # the order of the stage's sums
        shown = headline_metrics(k, held_out.folded_in)
        return {name: float(columns[name][by_id].mean()) for name in shown}


def code_digest() -> str:
    """Hash of the package: a figure is kept for the code that made it."""
    return digest(Path(str(files("musicrec"))).rglob("*.py"))


def digest(paths: Iterable[Path]) -> str:
    """Hash of the names and contents of some small files."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        whole.update(f"{path.name}:".encode() + path.read_bytes())
    return whole.hexdigest()
