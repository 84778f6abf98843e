"""Tracks or users alike: the cosine of their factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.interactions.factors import norms_of
from musicrec.search.kernels import inner_products, write_best


@dataclass(frozen=True)
class Neighbour:
    """A similar track or user, by the cosine of the factors."""

    id: str
    similarity: float
    name: str | None = None


class CosineIndex:
    """Factors of tracks or of users, prepared for finding the rows nearest a vector by cosine."""

    def __init__(self, factors: np.ndarray) -> None:
        """Take float32 (n, rank), which is kept by reference."""
        self.factors = factors
        norms = norms_of(factors)
        self._rows = np.flatnonzero(norms).astype(np.int32)
        self._inverse = 1.0 / norms[self._rows]

    def nearest(
        self, vector: np.ndarray, k: int, leave_out: int = -1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows of the largest cosine with a vector, on the calling thread.

        Returns their ids (int32) and cosines (float32), equal cosines by lower id; neither rows of
        zeros nor the row `leave_out`, such as the vector's own. Products are summed in float64, in
        which those of float32 neither overflow nor underflow.
        """
        norm = norms_of(vector[np.newaxis])[0]
        if not norm:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        others = self._rows != leave_out
        rows = self._rows[others]
        products = np.empty(len(rows))
        inner_products(self.factors, rows, vector.astype(np.float64), products)
        cosines = np.clip(products / norm * self._inverse[others], -1.0, 1.0).astype(np.float32)
        length = min(k, len(rows))
        ids, best = np.empty(length, np.int32), np.empty(length, np.float32)
        write_best(rows, cosines, ids, best)
        return ids, best
