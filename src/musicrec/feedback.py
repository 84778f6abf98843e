"""What the solver sees of a play count."""

from __future__ import annotations

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions import Interactions
from musicrec.params import FeedbackParams


def apply_feedback(plays: Interactions, params: FeedbackParams) -> Interactions:
    """Drop rare training plays and transform the counts of the rest; the shape stays.

    A user or item that loses all its plays keeps its index and becomes an empty row.

    Parameters
    ----------
    plays : Interactions
        Training plays, counts as the listener made them.
    params : FeedbackParams
        `min_count`: plays counted less often are dropped. `transform`: `none` leaves r = count,
        `log1p` gives r = log(1 + count), which damps heavy rotation (Hu, Koren and Volinsky
        2008, eq. 6, with epsilon 1).

    Raises
    ------
    MusicRecError
        No play reaches `min_count`.
    """
    if params.min_count > 1:
        plays = _drop_below(plays, params.min_count)
    if len(plays.indices) == 0:
        raise MusicRecError(
            f"no training play is left at feedback.min_count = {params.min_count}; lower it"
        )
    if params.transform == "log1p":
        counts = np.log1p(plays.counts.astype(np.float64)).astype(np.float32)
        plays = Interactions(plays.indptr, plays.indices, counts, plays.n_items)
    return plays


def _drop_below(plays: Interactions, min_count: int) -> Interactions:
    keep = plays.counts >= min_count
    kept_before = np.concatenate(([0], np.cumsum(keep, dtype=np.int64)))
    return Interactions(
        kept_before[plays.indptr], plays.indices[keep], plays.counts[keep], plays.n_items
    )
