"""Which plays carried a score (Hu, Koren and Volinsky, ICDM 2008, section 5).

A user's factor is x = A^-1 sum_j c_j y_j over the tracks j played, so that the score of track i is
the sum of c_j y_i^T A^-1 y_j: each play's part. A is w G + sum_j (c_j - w) y_j y_j^T + reg I, as in
training. Where factors are nonnegative, the same holds among the entries of x above zero.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from musicrec.als.fold_in import FoldIn
from musicrec.als.half_step import RIDGE, regularisation
from musicrec.bundle.manifest import NO_TIME
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions


@dataclass(frozen=True)
class Contribution:
    """What one play adds to a score."""

    track_id: str
    count: int
    part: float


@dataclass(frozen=True)
class Explanation:
    """Which plays carried a score: it is the sum of the parts and `remainder`.

    Attributes
    ----------
    score : float
        Inner product of the user's and the track's factors.
    plays : tuple of Contribution
        The largest part first.
    remainder : float
        What the factors hold beside the minimum of the training objective: rounding, for the
        native engine; what MLlib's solver left, for MLlib.
    """

    track_id: str
    score: float
    plays: tuple[Contribution, ...]
    remainder: float


def ages(times: np.ndarray, newest: int) -> np.ndarray:
    """Seconds from each time to the newest one, 0 where it is not known."""
    return np.where(times == NO_TIME, 0, newest - times)


def parts(fold: FoldIn, ratings: Interactions, user: np.ndarray, track: np.ndarray) -> np.ndarray:
    """What each play adds to the score of a track: float64 array (n_plays).

    Parameters
    ----------
    fold : FoldIn
        What folds users in.
    ratings : Interactions (1, n_items)
        The user's plays as the solver sees them (`as_trained`).
    user, track : float32 arrays (rank)
        Their factors.

    Raises
    ------
    MusicRecError
        The counts are so large that the parts are not finite.
    """
    params = fold.params
    y = fold.items[ratings.indices].astype(np.float64)
    confidence = 1.0 + params.alpha * ratings.counts.astype(np.float64)
    shared = params.unobserved_weight * fold.gram
    reg = float(regularisation(np.array([len(y)]), len(fold.items), params)[0])
    reg = max(reg, RIDGE * float(np.trace(shared)) / len(shared))
    matrix = (
        shared + (y.T * (confidence - params.unobserved_weight)) @ y + reg * np.eye(len(shared))
    )
    free = np.flatnonzero(user > 0) if params.nonnegative else np.arange(len(user))
    with suppress(np.linalg.LinAlgError):  # of what is beyond float64
        solved = np.linalg.solve(matrix[np.ix_(free, free)], track[free].astype(np.float64))
        found: np.ndarray = confidence * (y[:, free] @ solved)
        if np.isfinite(found).all():
            return found
    raise MusicRecError("these play counts are too large to be explained")
