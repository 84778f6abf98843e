"""Tracks or users alike: the cosine of their factors."""

from __future__ import annotations

import numpy as np

from musicrec.bundle.kernels import cosines, inverse_norms, nearest
from musicrec.search.kernels import write_best


class Likeness:
    """One side's factors, prepared for finding the rows most like a vector."""

    def __init__(self, factors: np.ndarray) -> None:
        """Take float32 (n, rank), which is kept by reference."""
        self._factors = factors
        self._inverse = np.empty(len(factors))
        self.squared_norms = float(inverse_norms(factors, self._inverse))

    def nearest(
        self, vector: np.ndarray, k: int, leave_out: int = -1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the rows of the largest cosine with a vector, on the calling thread.

        Rows of zeros are like nothing.

        Parameters
        ----------
        vector : float32 array (rank)
        k : int
        leave_out : int
            A row that is not meant, such as the vector's own.

        Returns
        -------
        ids, cosines : int32 and float32 arrays (at most k)
            By falling cosine, equal ones by lower id.
        """
        if not vector.any() or k == 0:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        rows = nearest(self._factors, self._inverse, vector, k + (leave_out >= 0))
        rows = rows[rows != leave_out]
        scores = np.empty(len(rows), np.float32)
        cosines(self._factors, rows, self._inverse, vector, scores)
        length = min(k, len(rows))
        ids, best = np.empty(length, np.int32), np.empty(length, np.float32)
        write_best(rows, scores, ids, best)
        return ids, best
