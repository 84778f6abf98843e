"""What the solver sees of a play count."""

from __future__ import annotations

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions, decay
from musicrec.params import FeedbackParams, duration_seconds


def apply_feedback(
    counts: np.ndarray, params: FeedbackParams, ages: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Choose and transform play counts.

    Parameters
    ----------
    counts : array (n)
        Play counts of at least 1.
    params : FeedbackParams
        `log1p` damps heavy rotation (Hu, Koren and Volinsky 2008, eq. 6, with epsilon 1).
    ages : array (n), optional
        Seconds from the last time of each play to the newest play of training; without them no
        count ages.

    Returns
    -------
    keep : bool array (n)
    ratings : float32 array (number kept)
        r of the plays kept, in their order.
    """
    keep = counts >= params.min_count
    ratings = counts if keep.all() else counts[keep]
    if params.half_life is not None and ages is not None:
        ratings = ratings * decay(ages[keep], duration_seconds(params.half_life))
    if params.transform == "log1p":
        ratings = np.log1p(ratings.astype(np.float64))
    return keep, ratings.astype(np.float32)


def training_ratings(
    plays: Interactions, params: FeedbackParams, ages: np.ndarray | None = None
) -> Interactions:
    """Apply the feedback parameters to training plays; the matrix keeps its shape.

    A user or track that loses all its plays keeps its index and becomes an empty row or column.
    Held-out plays never pass through here.

    Raises
    ------
    MusicRecError
        No play reaches `min_count`.
    """
    keep, ratings = apply_feedback(plays.counts, params, ages)
    if len(ratings) == 0:
        raise MusicRecError(
            f"no training play is left at feedback.min_count = {params.min_count}; lower it"
        )
    kept = plays if len(ratings) == len(keep) else plays.filtered(keep)
    return kept._replace(counts=ratings)
