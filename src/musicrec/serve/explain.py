"""Which plays carried a score (Hu, Koren and Volinsky, ICDM 2008, section 5).

A user's factor is x = A^-1 sum_j c_j y_j over the tracks j played, so that the score of track i is
the sum of c_j y_i^T A^-1 y_j: each play's part. A is w G + sum_j (c_j - w) y_j y_j^T + reg I, as in
training. Where factors are nonnegative, the same holds among the entries of x above zero.
"""

from __future__ import annotations

import numpy as np

from musicrec.als.half_step import RIDGE, regularisation
from musicrec.params.als import ALSParams


def parts(
    played: np.ndarray,
    ratings: np.ndarray,
    user: np.ndarray,
    track: np.ndarray,
    model: tuple[np.ndarray, ALSParams],
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
    model : (float64 array (rank, rank), ALSParams)
        Gram matrix of all tracks, and what they were trained with.

    Returns
    -------
    float64 array (n)
    """
    gram_matrix, params = model
    weight = params.unobserved_weight
    y = played.astype(np.float64)
    confidence = 1.0 + params.alpha * ratings.astype(np.float64)
    shared = weight * gram_matrix
    reg = float(regularisation(np.array([len(ratings)]), params)[0])
    reg = max(reg, RIDGE * float(np.trace(shared)) / len(shared))
    matrix = shared + (y.T * (confidence - weight)) @ y + reg * np.eye(len(shared))
    free = np.flatnonzero(user > 0) if params.nonnegative else np.arange(len(user))
    solved = np.linalg.solve(matrix[np.ix_(free, free)], track[free].astype(np.float64))
    found: np.ndarray = confidence * (y[:, free] @ solved)
    return found
