"""Judge the training by recommendations for the validation users."""

from __future__ import annotations

import numpy as np

from musicrec.als.fit import Factors
from musicrec.als.held_out import queries
from musicrec.interactions.held_out import HeldOut
from musicrec.metrics.ranking import score_lists
from musicrec.params import ALSParams, FeedbackParams
from musicrec.search.exact import ExactIndex

K = 100


class ValidationScore:
    """Judges factors by nDCG@100 of the validation users, as the evaluate stage computes it.

    Held-out plays choose the number of iterations (`als.early_stopping`) and nothing else: a final
    figure for a model trained so should come from the test users (`evaluate.split`).
    """

    def __init__(self, held_out: HeldOut, als: ALSParams, feedback: FeedbackParams) -> None:
        """Take the validation users and the parameters of the training."""
        self._held_out = held_out
        self._trained_with = als, feedback
        # A user without history gets no recommendation, scores 0 and counts.
        self._judged = np.flatnonzero(held_out.history.lengths)
        self._truth = held_out.truth.rows(self._judged)
        self._seen = held_out.history.rows(self._judged)

    def __call__(self, factors: Factors) -> float:
        """Mean nDCG@100 over the users."""
        found = queries(self._held_out, factors, *self._trained_with)[self._judged]
        lists, _ = ExactIndex(factors.items).search(
            found, K, (self._seen.indptr, self._seen.indices)
        )
        ndcg = score_lists(lists, self._truth.indptr, self._truth.indices, [K]).ndcg
        return float(ndcg.sum()) / len(self._held_out.users)
