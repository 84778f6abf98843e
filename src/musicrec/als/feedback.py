"""What the solver sees of a play count."""

from __future__ import annotations

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions, decay
from musicrec.interactions.portable import log1p
from musicrec.params import FeedbackParams, duration_seconds


def training_ratings(
    plays: Interactions, params: FeedbackParams, ages: np.ndarray | None = None
) -> Interactions:
    """Apply the feedback parameters to training plays; the matrix keeps its shape.

    A user or track that loses all its plays keeps its index and becomes an empty row or column.
    `log1p` damps heavy rotation (Hu, Koren and Volinsky 2008, eq. 6, with epsilon 1).

    Parameters
    ----------
    ages : array (n_plays), optional
        Seconds from the last time of each play to the newest play of training; without them no
        count ages.

    Raises
    ------
    MusicRecError
        No play reaches `min_count`.
    """
    ratings = as_trained(plays, params, ages)
    if not len(ratings.counts):
        raise MusicRecError(
            f"no training play is left at feedback.min_count = {params.min_count}; lower it"
        )
    return ratings


def as_trained(
    plays: Interactions, params: FeedbackParams, ages: np.ndarray | None = None
) -> Interactions:
    """What the solver makes of any plays, as `training_ratings`; no play may be left."""
    keep = plays.counts >= params.min_count
    kept = plays if keep.all() else plays.filtered(keep)
    ratings = kept.counts
    if params.half_life is not None and ages is not None:
        ratings = ratings * decay(ages[keep], duration_seconds(params.half_life))
    if params.transform == "log1p":
        ratings = log1p(ratings)
    return kept._replace(counts=ratings.astype(np.float32))
