"""One setting after another, fitted and judged in one process on plays that are read once.

The figures are those that the stages train and evaluate give for the same parameters, to the last
digit: the same functions make them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import Factors
from musicrec.als.fold_in import queries
from musicrec.errors import MusicRecError
from musicrec.evaluate.judge import Evaluation, Lists, judge, recommend
from musicrec.evaluate.report import metric_rows, spark_rows
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.metrics.ranking import headline_metrics, score_lists
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams
from musicrec.search.exact import ExactIndex
from musicrec.train.run import ValidationScore, fit_native


class Model(NamedTuple):
    """Factors and what they were trained with."""

    factors: Factors
    als: ALSParams
    feedback: FeedbackParams


@dataclass(frozen=True)
class Judged:
    """What the evaluate stage says of a model, without the baselines.

    Attributes
    ----------
    evaluation : Evaluation
        The per-user table.
    ranking, spark : list of dict
        Rows a k, as in `plots/evaluate/metrics.json` and `spark_protocol.json`.
    """

    evaluation: Evaluation
    ranking: list[dict[str, Any]]
    spark: list[dict[str, Any]]


class Trials:
    """Fits and judges models on indexed plays.

    Attributes
    ----------
    held_out : HeldOut
        The users of `evaluate.split`, the training plays with them.
    """

    def __init__(self, indexed: Path, evaluate: EvaluateParams) -> None:
        """Read the folder of the index stage.

        Raises
        ------
        MusicRecError
            As `held_out.read_held_out` does.
        """
        self._indexed = indexed
        self._evaluate = evaluate
        self.held_out = read_held_out(indexed, evaluate.split, evaluate.seen)

    @cached_property
    def _validation(self) -> HeldOut:
        if self.held_out.split == "validation":
            return self.held_out
        return read_held_out(self._indexed, "validation", self._evaluate.seen)

    @cached_property
    def _by_id(self) -> np.ndarray:
        """Places of the users by their ids, the order in which the evaluate stage sums."""
        return pc.sort_indices(self.held_out.user_ids).to_numpy()

    def fit(
        self,
        als: ALSParams,
        feedback: FeedbackParams,
        *,
        on_iteration: Callable[[int, Factors], None] | None = None,
        threads: int | None = None,
    ) -> Model:
        """Train as the train stage does: with early stopping and a warm start, if asked for.

        Parameters
        ----------
        on_iteration : callable, optional
            Called after each iteration as (iteration from 1, factors); what it raises ends the
            training. By default progress is shown on a terminal.
        threads : int, optional
            The result does not depend on it.

        Raises
        ------
        MusicRecError
            The parameters do not go together, or `als.engine` is mllib.
        """
        if als.engine != "native":
            raise MusicRecError(
                f"als.engine = {als.engine} does not run in this process; use als.engine = native"
            )
        ages = self.held_out.train_ages if feedback.half_life else None
        ratings = training_ratings(self.held_out.train, feedback, ages)
        score = ValidationScore(self._validation, als, feedback) if als.early_stopping else None
        factors = fit_native(
            self._indexed, ratings, als, score=score, on_iteration=on_iteration, threads=threads
        )
        return Model(factors, als, feedback)

    def queries(self, model: Model) -> np.ndarray:
        """Factors of the held-out users: float32 array (n, rank)."""
        return queries(self.held_out, *model)

    def lists_with_seen(self, model: Model) -> np.ndarray:
        """Lists that may hold tracks of a user's history: int32 array (n, max(evaluate.k))."""
        index = ExactIndex(model.factors.items)
        return index.search(self.queries(model), max(self._evaluate.k))[0]

    def headline(self, model: Model, *, threads: int | None = None) -> dict[str, float]:
        """The model's figures of `metrics/evaluate.json`, and no more work than they take."""
        params, held_out = self._evaluate, self.held_out
        history = held_out.history
        lists, _ = ExactIndex(model.factors.items).search(
            queries(held_out, *model),
            max(params.k),
            exclude=None if params.seen == "keep" else (history.indptr, history.indices),
            threads=threads,
        )
        truth = held_out.truth
        columns = score_lists(lists, truth.indptr, truth.indices, params.k, threads).columns()
        shown = headline_metrics(params.k, held_out.folded_in)
        return {name: float(columns[name][self._by_id].mean()) for name in shown}

    def judge(self, model: Model) -> Judged:
        """Judge the model in both protocols at every k, as the evaluate stage does."""
        unseen, with_seen = recommend(
            self.held_out,
            queries(self.held_out, *model),
            model.factors.items,
            max(self._evaluate.k),
        )
        evaluation = judge(self.held_out, Lists(unseen, with_seen, {}), self._evaluate)
        return Judged(
            evaluation,
            metric_rows(evaluation.table, self._evaluate.k),
            spark_rows(evaluation.table, self._evaluate.k),
        )


def code_digest() -> str:
    """Hash of the package: a figure is kept for the code that made it."""
    return digest(Path(str(files("musicrec"))).rglob("*.py"))


def digest(paths: Iterable[Path]) -> str:
    """Hash of the names and contents of some files."""
    whole = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        with path.open("rb") as stream:
            whole.update(f"{path.name}:".encode())
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
