"""EASE, a linear item-item model: the baseline that is hard to beat.

Every column of the 0-1 matrix X of training plays (users x tracks) is predicted from the other
columns by ridge regression,

    min over B of |X - X B|^2 + reg |B|^2,   B_jj = 0,

and a user with history h gets the tracks of the highest h B. With P = (X^T X + reg I)^-1 the
minimum is B_ij = -P_ij / P_jj off the diagonal (Steck, Embarrassingly shallow autoencoders for
sparse data, WWW 2019). Two forms, each a function of the same arguments: `ease_exact` solves this
with one dense inverse, `ease_sparse` predicts each column from its nearest neighbours alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from musicrec.baselines.ease_exact import recommend_exact
from musicrec.baselines.ease_sparse import recommend_sparse
from musicrec.interactions.matrix import Interactions
from musicrec.params import BaselinesParams

Form = Literal["exact", "sparse"]
FORMS = {"exact": recommend_exact, "sparse": recommend_sparse}


def ease_form(train: Interactions, params: BaselinesParams) -> Form:
    """The form that `recommend_ease` takes: exact up to `baselines.ease_exact` users or tracks."""
    return "exact" if min(train.n_users, train.n_items) <= params.ease_exact else "sparse"


def recommend_ease(
    train: Interactions,
    history: Interactions,
    k: int,
    params: BaselinesParams,
    threads: int | None = None,
) -> np.ndarray:
    """Recommend to every user the tracks of the highest h B; counts are ignored.

    Parameters
    ----------
    train, history, k, threads
        As for `musicrec.baselines.popularity.recommend_popular`.
    params : BaselinesParams
        `ease_reg`; `ease_exact`, the most rows of a dense inverse; `neighbours`, how many predict
        a track in the sparse form.

    Returns
    -------
    int32 array (history.n_users, k)
        Item ids, padded with -1; nothing for an empty history. Scores are compared in float32, so
        that tracks with the same listeners tie, the lower id first.

    Raises
    ------
    MusicRecError
        `ease_reg` is so small that the matrix cannot be inverted (exact form).
    """
    return FORMS[ease_form(train, params)](train, history, k, params, threads)
