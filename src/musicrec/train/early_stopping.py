"""Stop the training when recommendations for the validation users no longer improve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.interactions import IndexSizes, Interactions, read_interactions
from musicrec.metrics.ranking import score_lists
from musicrec.search.exact import ExactIndex

K = 100


class EarlyStopping:
    """Judges each iteration by nDCG@100 of the validation users and keeps the best factors.

    Held-out plays choose the number of iterations and nothing else: a final figure for a model
    trained so should come from the test users (`evaluate.split`).

    Attributes
    ----------
    scores : list of float
        Mean nDCG@100 after each iteration, as the evaluate stage computes it.
    best : Factors
        The factors of the best iteration so far.
    """

    def __init__(
        self, indexed: Path, sizes: IndexSizes, plays: Interactions, patience: int
    ) -> None:
        """Read the validation plays; `plays` are all training plays, before any are dropped.

        Raises
        ------
        MusicRecError
            There are no validation plays.
        """
        truth = read_interactions(indexed / "validation", sizes.n_all_users, sizes.n_all_items)
        users = np.flatnonzero(np.diff(truth.indptr))
        if len(users) == 0:
            raise MusicRecError(
                f"{indexed / 'validation'} holds no plays to judge iterations by; "
                "set als.early_stopping to 0"
            )
        known = users[users < sizes.n_users]
        self._n_judged = len(users)  # a user unknown to training scores 0 and counts
        self._users = known
        self._truth = truth.rows(known)
        self._seen = plays.rows(known)
        self._patience = patience
        self.scores: list[float] = []
        self.best = Factors(np.empty(0), np.empty(0))

    def __call__(self, factors: Factors) -> bool:
        """Judge; True when `patience` iterations have passed without a better score."""
        lists, _ = ExactIndex(factors.items).search(
            factors.users[self._users], K, (self._seen.indptr, self._seen.indices)
        )
        ndcg = score_lists(lists, self._truth.indptr, self._truth.indices, [K]).ndcg
        score = float(ndcg.sum()) / self._n_judged
        if not self.scores or score > max(self.scores):
            self.best = Factors(factors.users.copy(), factors.items.copy(), list(factors.losses))
        self.scores.append(score)
        return len(self.scores) - 1 - int(np.argmax(self.scores)) >= self._patience
