"""Factors of users by their plays, or of tracks by their listeners, the other side held fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.als.feedback import as_trained
from musicrec.als.fit import Factors
from musicrec.als.gram import gram
from musicrec.als.half_step import HalfStep, shared_term
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import (
    LARGEST_NORM,
    TRAINED_WITH,
    norms_of,
    read_factors,
    warn_if_zero,
)
from musicrec.interactions.held_out import HeldOut
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams, FeedbackParams, trained_with
from musicrec.storage.files import read_json


class FoldIn:
    """Factors of users by their plays, the item factors held fixed.

    A user folded in with their training plays gets the factor that training gave them. With the
    sides exchanged it folds tracks in.
    """

    def __init__(
        self, item_factors: np.ndarray, params: ALSParams, gram_matrix: np.ndarray | None = None
    ) -> None:
        """Take item factors, float32 (n_items, rank), and the parameters they were trained with.

        Without their Gram matrix, float64 (rank, rank), it is computed: one pass over all items.
        """
        self.items = item_factors
        self.params = params
        self.gram = gram(item_factors) if gram_matrix is None else gram_matrix
        self._shared = shared_term(self.gram, params)

    def many(self, plays: Interactions) -> np.ndarray:
        """Fold many users in; float32 (n_users, rank), zero for those without plays.

        Raises
        ------
        MusicRecError
            The counts are so large that no finite factor comes out.
        """
        used, positions = np.unique(plays.indices, return_inverse=True)
        local = plays._replace(indices=positions.astype(np.int32), n_items=len(used))
        fixed = np.asarray(self.items[used], np.float32)
        users = np.zeros((plays.n_users, self.params.rank), np.float32)
        HalfStep(local, self.params, len(self.items)).solve(fixed, users, self._shared)
        if not (norms_of(users) <= LARGEST_NORM).all():
            raise MusicRecError(
                "these plays give no finite factors, or too long ones; the play counts may be "
                "too large for single precision"
            )
        return users


def read_model(folder: Path, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Read the factors of the held-out users (see `queries`) and of all items.

    Warns of a model whose factors are zero.

    Raises
    ------
    MusicRecError
        The factors do not fit the indexed plays.
    """
    train = held_out.train
    users, items = read_factors(folder, train.n_users, train.n_items)
    blocks = read_json(folder / TRAINED_WITH)
    als = trained_with(blocks["als"], ALSParams)
    feedback = trained_with(blocks["feedback"], FeedbackParams)
    warn_if_zero(users, items, als)
    return queries(held_out, Factors(users, items), als, feedback), items


def queries(
    held_out: HeldOut, factors: Factors, als: ALSParams, feedback: FeedbackParams
) -> np.ndarray:
    """Find the factors of the held-out users: from training, or by folding their plays in.

    `als` and `feedback` are what `factors` were trained with. Returns float32 (n, rank), zeros for
    a user of whom nothing is known.
    """
    users = factors.users
    if held_out.folded_in:
        ages = held_out.history_ages if feedback.half_life else None
        return FoldIn(factors.items, als).many(as_trained(held_out.history, feedback, ages))
    known = held_out.users < held_out.train.n_users
    found = np.zeros((len(held_out.users), users.shape[1]), np.float32)
    found[known] = users[held_out.users[known]]
    return found
