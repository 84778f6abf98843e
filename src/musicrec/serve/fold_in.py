"""Factors of users by their plays, for serving."""

from __future__ import annotations

import numpy as np

from musicrec.als.half_step import Side, shared_term
from musicrec.interactions import Interactions
from musicrec.params.als import ALSParams


class FoldIn:
    """Factors of users by their plays, the item factors held fixed, for serving.

    A user folded in with their training plays gets the factor that training gave them.
    """

    def __init__(self, item_factors: np.ndarray, params: ALSParams) -> None:
        """Take item factors, float32 (n_items, rank), and the parameters they were trained with.

        This is the slow part, one pass over all items; a call then costs what the user's plays
        cost.
        """
        self._items = item_factors
        self._params = params
        self._catalogue = shared_term(item_factors, params)

    def __call__(self, items: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Fold one user in.

        Parameters
        ----------
        items : int array (n)
            Each item at most once, in any order.
        counts : float array (n)
            What `feedback.apply_feedback` makes of the play counts.

        Returns
        -------
        float32 array (rank)
            Zero without plays.
        """
        n = len(items)
        indptr = np.array([0, n], np.int64)
        order = np.argsort(items)
        ratings = np.asarray(counts, np.float32)[order]
        plays = Interactions(indptr, np.arange(n, dtype=np.int32), ratings, n)
        user = np.zeros((1, self._params.rank), np.float32)
        fixed = np.asarray(self._items[np.asarray(items)[order]], np.float32)
        Side(plays, self._params).solve(fixed, user, catalogue=self._catalogue, threads=1)
        return user[0]


def fold_in(
    item_factors: np.ndarray, items: np.ndarray, counts: np.ndarray, params: ALSParams
) -> np.ndarray:
    """Fold one user in; see `FoldIn`, which is faster for many."""
    return FoldIn(item_factors, params)(items, counts)
