"""Factors of the held-out users of a split, by a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicrec.interactions.factors import read_factors, read_trained_with
from musicrec.interactions.held_out import HeldOut
from musicrec.params import ALSParams, FeedbackParams

if TYPE_CHECKING:
    from musicrec.als.fit import Factors


def read_model(folder: Path, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Read the factors of the held-out users and of all items; unknown users have zeros.

    Users who are not in training are folded in with the parameters that stand beside the factors.

    Raises
    ------
    MusicRecError
        The factors do not fit the indexed plays.
    """
    train = held_out.train
    users, items = read_factors(folder, train.n_users, train.n_items)
    if not held_out.folded_in:
        return _of_training(held_out, users), items
    trained_with = read_trained_with(folder)
    als = ALSParams.model_validate(trained_with["als"])
    feedback = FeedbackParams.model_validate(trained_with["feedback"])
    return _folded_in(held_out, items, als, feedback), items


def queries(
    held_out: HeldOut, factors: Factors, als: ALSParams, feedback: FeedbackParams
) -> np.ndarray:
    """Find the factors of the held-out users: from training, or by folding their plays in.

    Parameters
    ----------
    factors : Factors
        Of all training users and items.
    als, feedback : ALSParams, FeedbackParams
        What they were trained with.

    Returns
    -------
    float32 array (n, rank)
        Zeros for a user of whom nothing is known.
    """
    if not held_out.folded_in:
        return _of_training(held_out, factors.users)
    return _folded_in(held_out, factors.items, als, feedback)


def _of_training(held_out: HeldOut, of_users: np.ndarray) -> np.ndarray:
    known = held_out.users < held_out.train.n_users
    found = np.zeros((len(held_out.users), of_users.shape[1]), np.float32)
    found[known] = of_users[held_out.users[known]]
    return found


def _folded_in(
    held_out: HeldOut, items: np.ndarray, als: ALSParams, feedback: FeedbackParams
) -> np.ndarray:
    """Fold in by the half step of training, the item factors held fixed."""
    from musicrec.als.fold_in import FoldIn, as_trained  # the whole solver: few runs need it

    return FoldIn(items, als).many(as_trained(held_out.history, feedback))
