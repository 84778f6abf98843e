"""Judge the training by recommendations for the validation users."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.interactions import IndexSizes, Interactions, read_interactions
from musicrec.metrics.ranking import score_lists
from musicrec.search.exact import ExactIndex

K = 100


class ValidationScore:
    """Judges factors by nDCG@100 of the validation users, as the evaluate stage computes it.

    Held-out plays choose the number of iterations (`als.early_stopping`) and nothing else: a final
    figure for a model trained so should come from the test users (`evaluate.split`).
    """

    def __init__(self, indexed: Path, sizes: IndexSizes, plays: Interactions) -> None:
        """Read the validation plays; `plays` are all training plays, before any are dropped.

        Raises
        ------
        MusicRecError
            There are no validation plays.
        """
        truth = read_interactions(indexed / "validation", sizes.n_all_users, sizes.n_all_items)
        users = np.flatnonzero(truth.lengths)
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

    def __call__(self, factors: Factors) -> float:
        """Mean nDCG@100 over the users."""
        lists, _ = ExactIndex(factors.items).search(
            factors.users[self._users], K, (self._seen.indptr, self._seen.indices)
        )
        ndcg = score_lists(lists, self._truth.indptr, self._truth.indices, [K]).ndcg
        return float(ndcg.sum()) / self._n_judged
