"""Gram matrices and their eigenvectors, with the same bits for any number of threads.

LAPACK's eigenvectors may differ in the last bit with the number of BLAS threads; a model trained
through them would too.
"""

from __future__ import annotations

import numpy as np

from musicrec.jit import kernel
from musicrec.parallel import for_blocks

BLOCKS = 16  # partial sums: a fixed number, added in order


def gram(factors: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Sum of the outer products of all rows of float32 `factors`, as float64 (rank, rank)."""
    n, rank = factors.shape
    size = max(1, -(-n // BLOCKS))
    parts = np.zeros((BLOCKS, rank, rank))

    def work(start: int, stop: int) -> None:
        _add_outer_products(factors, parts[start // size], start, stop)

    for_blocks(work, [*range(0, n, size), n], threads)
    lower = parts.sum(axis=0)
    return np.tril(lower) + np.tril(lower, -1).T


@kernel()
def _add_outer_products(factors, out, start, stop):  # type: ignore[no-untyped-def]
    """Add to the lower triangle of `out`, four rows a pass."""
    rank = factors.shape[1]
    rows = np.zeros((4, rank))
    for first in range(start, stop, 4):
        for r in range(4):
            for k in range(rank):
                rows[r, k] = factors[first + r, k] if first + r < stop else 0.0
        for i in range(rank):
            a, b, c, d = rows[0, i], rows[1, i], rows[2, i], rows[3, i]
            for j in range(i + 1):
                out[i, j] += (a * rows[0, j] + b * rows[1, j]) + (c * rows[2, j] + d * rows[3, j])


@kernel()
def eigenbasis(matrix):  # type: ignore[no-untyped-def]
    """Eigenvalues and eigenvectors (columns) of a symmetric matrix by cyclic Jacobi rotations.

    Golub and Van Loan, Matrix Computations, section 8.5. Quadratic convergence: seven or eight
    sweeps reach rounding. The values come in no particular order.
    """
    n = matrix.shape[0]
    a = matrix.copy()
    vectors = np.eye(n)  # a row an eigenvector, so that a rotation runs along memory
    limit = (1e-15 * np.sqrt((a * a).sum())) ** 2
    for _ in range(30):
        off = 0.0
        for p in range(n):
            for q in range(p):
                off += a[p, q] * a[p, q]
        if off <= limit:
            break
        for p in range(n - 1):
            for q in range(p + 1, n):
                if a[p, q] == 0.0:
                    continue
                slope = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
                t = 1.0 / (abs(slope) + np.sqrt(1.0 + slope * slope))
                t = -t if slope < 0.0 else t
                c = 1.0 / np.sqrt(1.0 + t * t)
                s = t * c
                turn(a, p, q, c, s)
                for k in range(n):
                    x, y = a[k, p], a[k, q]
                    a[k, p] = c * x - s * y
                    a[k, q] = s * x + c * y
                turn(vectors, p, q, c, s)
    return np.diag(a).copy(), vectors.T.copy()


@kernel()
def turn(a, p, q, c, s):  # type: ignore[no-untyped-def]
    """Rotate rows p and q of `a`."""
    for k in range(a.shape[1]):
        x, y = a[p, k], a[q, k]
        a[p, k] = c * x - s * y
        a[q, k] = s * x + c * y
