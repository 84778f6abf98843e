"""Tracks or users alike: the cosine of their factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.interactions.factors import norms_of
from musicrec.jit.kernel import kernel
from musicrec.search.kernels import write_best

PLAIN = 2.0**100  # norms within this factor of 1 are scored roughly in float32
NONE = -4.0  # stands for the cosine of a row that is not to be found
ROUGHNESS = 2.0**-21  # error of a cosine in float32, a factor: a few roundings, and to spare


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
        self._inverse = np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0.0)

    def nearest(
        self, vector: np.ndarray, k: int, leave_out: int = -1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows of the largest cosine with a vector, on the calling thread.

        Returns their ids (int32) and cosines (float32), equal cosines by lower id; neither rows of
        zeros nor the row `leave_out`, such as the vector's own.
        """
        if not vector.any() or k == 0:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        rough = np.empty(len(self.factors), np.float32)
        _rough_cosines(self.factors, self._inverse, vector, rough)
        if leave_out >= 0:
            rough[leave_out] = NONE
        kth = np.partition(rough, -min(k, len(rough)))[-min(k, len(rough))]
        least = max(kth - 2 * ROUGHNESS * self.factors.shape[1], NONE / 2)
        rows = np.flatnonzero(rough >= least).astype(np.int32)
        scores = np.empty(len(rows), np.float32)
        _cosines(self.factors, rows, self._inverse, vector, scores)
        length = min(k, len(rows))
        ids, best = np.empty(length, np.int32), np.empty(length, np.float32)
        write_best(rows, scores, ids, best)
        return ids, best


@kernel()
def _rough_cosines(factors, inverse, query, out):
    """Write each row's cosine with the query, in whatever order is fast; for zeros, `NONE`."""
    norm = np.sqrt((query.astype(np.float64) ** 2).sum())
    unit = (query / norm).astype(np.float32)
    for row in range(len(factors)):
        if 1.0 / PLAIN < inverse[row] < PLAIN:
            out[row] = _rough_product(factors, row, unit) * np.float32(inverse[row])
        else:
            out[row] = _product(factors, row, unit) * inverse[row] if inverse[row] else NONE


@kernel(fastmath={"contract", "reassoc"})
def _rough_product(factors, row, query):
    total = np.float32(0.0)
    for factor in range(len(query)):
        total += factors[row, factor] * query[factor]
    return total


@kernel(allocates=False)
def _product(factors, row, query):
    """Inner product in float64, which float32's factors neither overflow nor underflow."""
    total = 0.0
    for factor in range(len(query)):
        total += np.float64(factors[row, factor]) * np.float64(query[factor])
    return total


@kernel()
def _cosines(factors, rows, inverse, query, scores):
    """Write the cosine of the given rows with the query; neither is of zeros."""
    norm = np.sqrt((query.astype(np.float64) ** 2).sum())
    for i in range(len(rows)):
        cosine = _product(factors, rows[i], query) / norm * inverse[rows[i]]
        scores[i] = min(1.0, max(-1.0, cosine))
