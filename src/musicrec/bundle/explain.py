"""Which plays carried a score (Hu, Koren and Volinsky, ICDM 2008, section 5).

A user's factor is x = A^-1 sum_j c_j y_j over the tracks j played, so that the score of track i is
the sum of c_j y_i^T A^-1 y_j: each play's part. A is w G + sum_j (c_j - w) y_j y_j^T + reg I, as in
training. Where factors are nonnegative, the same holds among the entries of x above zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from musicrec.als.feedback import as_trained
from musicrec.als.half_step import RIDGE, regularisation
from musicrec.bundle.manifest import NO_TIME
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions

if TYPE_CHECKING:
    from musicrec.bundle.bundle import Bundle


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


def explain(
    model: Bundle,
    plays: Interactions,
    user: np.ndarray,
    track: int,
    ages: np.ndarray | None = None,
) -> Explanation:
    """Explain the score of a track (its index) for one user: plays (1, n_items), their factor.

    `ages` of the plays are for `feedback.half_life`. MusicRecError where the counts are so large
    that the parts are not finite.
    """
    keep = plays.counts >= model.feedback.min_count
    items, counts = plays.indices[keep], plays.counts[keep]
    vector = model.item_factors[track]
    confidence = as_trained(plays, model.feedback, ages).counts.astype(np.float64)
    confidence = 1.0 + model.als.alpha * confidence
    shares = _parts(model, model.item_factors[items].astype(np.float64), confidence, user, vector)
    if not np.isfinite(shares).all():
        raise MusicRecError("these play counts are too large to be explained")
    score = float(np.dot(user.astype(np.float64), vector))
    order = np.argsort(-shares, kind="stable")
    ids = model.tracks.texts_of(items[order])
    plays_of = map(Contribution, ids, map(int, counts[order].tolist()), shares[order].tolist())
    return Explanation(
        model.tracks.text_of(track), score, tuple(plays_of), score - float(shares.sum())
    )


def _parts(
    model: Bundle, y: np.ndarray, confidence: np.ndarray, user: np.ndarray, track: np.ndarray
) -> np.ndarray:
    """What plays of factors y add to the score; not finite where the counts are too large."""
    params = model.als
    shared = params.unobserved_weight * model.fold_users.gram
    reg = float(regularisation(np.array([len(y)]), len(model.item_factors), params)[0])
    reg = max(reg, RIDGE * float(np.trace(shared)) / len(shared))
    matrix = (
        shared + (y.T * (confidence - params.unobserved_weight)) @ y + reg * np.eye(len(shared))
    )
    free = np.flatnonzero(user > 0) if params.nonnegative else np.arange(len(user))
    try:
        solved = np.linalg.solve(matrix[np.ix_(free, free)], track[free].astype(np.float64))
    except np.linalg.LinAlgError:  # beyond what float64 holds
        return np.full(len(y), np.nan)
    found: np.ndarray = confidence * (y[:, free] @ solved)
    return found
