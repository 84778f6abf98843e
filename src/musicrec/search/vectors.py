"""Norms of vectors, and the dimension that turns inner product into distance."""

from __future__ import annotations

import math

import numpy as np

MODERATE = 2.0**30  # norms within this factor of 1 have squares that float32 holds with room


def norms_of(vectors: np.ndarray) -> np.ndarray:
    """Euclidean norm of every row, summed in float64: float64 array (n)."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))


def by_falling_norm(norms: np.ndarray) -> np.ndarray:
    """Rows by falling norm, equal norms by lower row, without those of norm 0: int32 array."""
    return np.argsort(-norms, kind="stable")[: np.count_nonzero(norms)].astype(np.int32)


def moderate(norm: float) -> float:
    """Power of two that brings a norm into [1/2, 1); 1 where it is moderate as it is, or 0.

    Searches by distance square their vectors in float32, whose largest number is 2^128. To scale
    by a power of two changes no digit and no order.
    """
    if norm == 0.0 or 1.0 / MODERATE <= norm <= MODERATE:
        return 1.0
    return math.ldexp(1.0, -math.frexp(norm)[1])


def lift(vectors: np.ndarray, norms: np.ndarray, largest: float) -> np.ndarray:
    """Append sqrt(M^2 - |v|^2), M = `largest`: all vectors get the norm M.

    To a query (s q, 0) the nearest of these is then the one of largest inner product with q
    (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for
    inner-product spaces", RecSys 2014).

    Parameters
    ----------
    vectors : float32 array (n, rank)
    norms : float64 array (n)
        At most `largest`.

    Returns
    -------
    float64 array (n, rank + 1)
    """
    return np.column_stack((vectors, np.sqrt(np.maximum(0.0, largest**2 - norms**2))))
