"""Vectors that are searched: checked, ordered by norm, augmented for a search by distance."""

from __future__ import annotations

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import LARGEST_NORM, norms_of


def readonly(array: np.ndarray, dtype: type) -> np.ndarray:
    """View an array in C order, copied only where it must be, that cannot be written through.

    Memory-mapped arrays are such already; numba would compile its kernels once for each kind.
    """
    view: np.ndarray = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def checked_factors(factors: np.ndarray, name: str) -> np.ndarray:
    """Return factors as a C-ordered float32 matrix whose norms have squares in float32.

    Raises
    ------
    MusicRecError
        The array is not two-dimensional, or a row holds a NaN or an infinity or has a norm above
        `LARGEST_NORM`.
    """
    factors = readonly(factors, np.float32)
    if factors.ndim != 2 or factors.shape[1] == 0:
        raise MusicRecError(f"{name} have shape {factors.shape}; (rows, rank) is needed")
    norms = norms_of(factors)
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise MusicRecError(f"{name} hold a NaN or an infinity in row {row}; train the model anew")
    if norms.max(initial=0.0) > LARGEST_NORM:
        raise MusicRecError(
            f"{name} have norms of up to {norms.max():.2g}, and float32 does not hold the square "
            f"of what is above {LARGEST_NORM:.2g}; train with a larger als.reg_param"
        )
    return factors


def by_falling_norm(norms: np.ndarray) -> np.ndarray:
    """Rows by falling norm, equal norms by lower row, without those of norm 0: int32 array."""
    return np.argsort(-norms, kind="stable")[: np.count_nonzero(norms)].astype(np.int32)


def augment(vectors: np.ndarray, norms: np.ndarray, largest: float) -> np.ndarray:
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
