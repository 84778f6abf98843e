"""Compiled half steps of alternating least squares."""

from __future__ import annotations

import numpy as np

from musicrec.jit import kernel


@kernel()
def gram_block(factors, start, stop, out):  # type: ignore[no-untyped-def]
    """Add the outer products of rows [start, stop) to `out`, in float64 and row order."""
    rank = factors.shape[1]
    for row in range(start, stop):
        for i in range(rank):
            a = np.float64(factors[row, i])
            for j in range(rank):
                out[i, j] += a * factors[row, j]


@kernel()
def solve_rows(
    indptr, indices, counts, fixed, gram, alpha, unobserved, reg, solved, gains, start, stop
):  # type: ignore[no-untyped-def]
    """Solve rows [start, stop) exactly by Cholesky; `gains[row]` gets b.x."""
    rank = fixed.shape[1]
    a = np.empty((rank, rank))
    b = np.empty(rank)
    y = np.empty(rank)
    for row in range(start, stop):
        if indptr[row] == indptr[row + 1]:
            solved[row] = 0
            gains[row] = 0.0
            continue
        a[:] = gram
        b[:] = 0
        for k in range(rank):
            a[k, k] += reg[row]
        for at in range(indptr[row], indptr[row + 1]):
            y[:] = fixed[indices[at]]
            confidence = 1.0 + alpha * counts[at]
            weight = confidence - unobserved
            for i in range(rank):
                b[i] += confidence * y[i]
                wy = weight * y[i]
                for j in range(i + 1):
                    a[i, j] += wy * y[j]
        for i in range(rank):
            for j in range(i + 1):
                s = a[i, j]
                for k in range(j):
                    s -= a[i, k] * a[j, k]
                a[i, j] = s / a[j, j] if i > j else np.sqrt(max(s, 1e-300))
        for i in range(rank):
            s = b[i]
            for k in range(i):
                s -= a[i, k] * y[k]
            y[i] = s / a[i, i]
        for i in range(rank - 1, -1, -1):
            s = y[i]
            for k in range(i + 1, rank):
                s -= a[k, i] * y[k]
            y[i] = s / a[i, i]
        gain = 0.0
        for i in range(rank):
            solved[row, i] = y[i]
            gain += b[i] * y[i]
        gains[row] = gain
