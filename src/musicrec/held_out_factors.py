"""Factors of the held-out users of a split, by a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.als.fit import Factors
from musicrec.als.fold_in import FoldIn, as_trained
from musicrec.factors import read_factors, read_trained_with
from musicrec.held_out import HeldOut
from musicrec.params.als import ALSParams
from musicrec.params.feedback import FeedbackParams


def read_model(folder: Path, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Read the factors of the held-out users and of all items; unknown users have zeros.

    Users who are not in training are folded in with the parameters that stand beside the factors.

    Raises
    ------
    MusicRecError
        The factors do not fit the indexed plays.
    """
    train = held_out.train
    factors = Factors(*read_factors(folder, train.n_users, train.n_items))
    if not held_out.folded_in:
        return _of_training(held_out, factors), factors.items
    trained_with = read_trained_with(folder)
    als = ALSParams.model_validate(trained_with["als"])
    feedback = FeedbackParams.model_validate(trained_with["feedback"])
    return queries(held_out, factors, als, feedback), factors.items


def queries(
    held_out: HeldOut, factors: Factors, als: ALSParams, feedback: FeedbackParams
) -> np.ndarray:
    """Find the factors of the held-out users: from training, or by folding their plays in.

    Folding in is the half step of training, the item factors held fixed.

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
        return _of_training(held_out, factors)
    return FoldIn(factors.items, als).many(as_trained(held_out.history, feedback))


def _of_training(held_out: HeldOut, factors: Factors) -> np.ndarray:
    known = held_out.users < held_out.train.n_users
    found = np.zeros((len(held_out.users), factors.users.shape[1]), np.float32)
    found[known] = factors.users[held_out.users[known]]
    return found
