"""Which plays carried a score (Hu, Koren and Volinsky, ICDM 2008, section 5).

A user's factor is x = A^-1 sum_j c_j y_j over the tracks j played, so that the score of track i is
the sum of c_j y_i^T A^-1 y_j: each play's part. A is w G + sum_j (c_j - w) y_j y_j^T + reg I, as in
training. Where factors are nonnegative, the same holds among the entries of x above zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.als.fold_in import as_trained
from musicrec.als.half_step import RIDGE, regularisation
from musicrec.bundle.read import Model
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams


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


def explain(
    model: Model,
    plays: Interactions,
    user: np.ndarray,
    track: int,
    ages: np.ndarray | None = None,
) -> Explanation:
    """Explain the score of a track for one user.

    Parameters
    ----------
    plays : Interactions (1, n_items)
    user : float32 array (rank)
    track : int
        Its index.
    ages : array (n), optional
        Of the plays, for `feedback.half_life`.

    Raises
    ------
    MusicRecError
        The counts are so large that the parts are not finite.
    """
    keep = plays.counts >= model.feedback.min_count
    items, counts = plays.indices[keep], plays.counts[keep]
    vector = model.item_factors[track]
    score = float(np.dot(user.astype(np.float64), vector))
    shares = parts(
        model.item_factors[items],
        as_trained(plays, model.feedback, ages).counts,
        user,
        vector,
        (model.fold_users.gram, len(model.item_factors), model.als),
    )
    if not np.isfinite(shares).all():
        raise MusicRecError("these play counts are too large to be explained")
    order = np.argsort(-shares, kind="stable")
    ids = model.tracks.texts_of(items[order])
    numbers = counts[order].astype(np.int64).tolist(), shares[order].astype(float).tolist()
    contributions = tuple(map(Contribution, ids, *numbers))
    return Explanation(
        model.tracks.text_of(track), score, contributions, score - float(shares.sum())
    )


def parts(
    played: np.ndarray,
    ratings: np.ndarray,
    user: np.ndarray,
    track: np.ndarray,
    model: tuple[np.ndarray, int, ALSParams],
) -> np.ndarray:
    """What each play adds to a score.

    Parameters
    ----------
    played : float32 array (n, rank)
        Factors of the tracks played.
    ratings : float32 array (n)
        What `feedback.apply_feedback` makes of their counts.
    user, track : float32 arrays (rank)
        Factors of the user and of the track explained.
    model : (float64 array (rank, rank), int, ALSParams)
        Gram matrix of all tracks, their number, and what they were trained with.

    Returns
    -------
    float64 array (n)
        Not finite where the counts are too large.
    """
    gram_matrix, n_tracks, params = model
    weight = params.unobserved_weight
    y = played.astype(np.float64)
    confidence = 1.0 + params.alpha * ratings.astype(np.float64)
    shared = weight * gram_matrix
    reg = float(regularisation(np.array([len(ratings)]), n_tracks, params)[0])
    reg = max(reg, RIDGE * float(np.trace(shared)) / len(shared))
    matrix = shared + (y.T * (confidence - weight)) @ y + reg * np.eye(len(shared))
    free = np.flatnonzero(user > 0) if params.nonnegative else np.arange(len(user))
    try:
        solved = np.linalg.solve(matrix[np.ix_(free, free)], track[free].astype(np.float64))
    except np.linalg.LinAlgError:  # beyond what float64 holds
        return np.full(len(ratings), np.nan)
    found: np.ndarray = confidence * (y[:, free] @ solved)
    return found
