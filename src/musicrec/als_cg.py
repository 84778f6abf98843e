"""Rows improved by a few steps of conjugate gradients, each from its previous value.

Takács, Pilászy and Tikk 2011 (RecSys, "Applications of the conjugate gradient method for
implicit feedback collaborative filtering"): a step costs two passes over a row's plays and no
rank x rank matrix. In coordinates where the catalogue's Gram matrix is diagonal, that diagonal
plus the regularisation is the preconditioner, and what remains is of the rank of the row's plays.
"""

from __future__ import annotations

import numpy as np

from musicrec.jit import kernel
from musicrec.simd import prefetch

AHEAD = 8  # plays


@kernel(fastmath={"reassoc", "contract", "nsz"})
def improve_rows(rows, fixed, alpha, unobserved, steps, solved, gains, start, stop):  # type: ignore[no-untyped-def]
    """Take `steps` preconditioned steps for each of `rows.order[start:stop]`.

    Parameters are those of `als_kernels.solve_rows`; `gains` gets what each row's x takes off the
    loss of the zero factor, 2 b.x - x.A x.
    """
    padded = fixed.gram.shape[0]
    rank = solved.shape[1]
    factors = fixed.factors.reshape(-1, padded)
    x = np.empty(padded)
    b = np.empty(padded)
    residual = np.empty(padded)
    direction = np.empty(padded)
    image = np.empty(padded)
    diagonal = np.empty(padded)
    for position in range(start, stop):
        row = rows.order[position]
        begin, end = rows.indptr[row], rows.indptr[row + 1]
        for k in range(padded):
            diagonal[k] = fixed.gram[k, k] + rows.reg[row]
        x[:] = 0.0
        for k in range(rank):
            old = np.float64(solved[row, k])
            for j in range(padded):
                x[j] += fixed.basis[k, j] * old
        b[:] = 0.0
        residual[:] = -diagonal * x
        for at in range(begin, end):
            if at + AHEAD < end:
                ahead = np.int64(rows.indices[at + AHEAD]) * padded
                for line in range(0, padded, 16):
                    prefetch(fixed.factors, ahead + line)
            y = factors[rows.indices[at]]
            score = 0.0
            for k in range(padded):
                score += y[k] * x[k]
            confidence = 1.0 + alpha * rows.counts[at]
            short = confidence - (confidence - unobserved) * score
            for k in range(padded):
                b[k] += confidence * y[k]
                residual[k] += short * y[k]
        slope = 0.0
        size = 0.0
        for k in range(padded):
            direction[k] = residual[k] / diagonal[k]
            slope += residual[k] * direction[k]
            size += b[k] * b[k] / diagonal[k]
        for _ in range(steps):
            if slope <= 1e-20 * size:
                break
            image[:] = diagonal * direction
            for at in range(begin, end):
                y = factors[rows.indices[at]]
                score = 0.0
                for k in range(padded):
                    score += y[k] * direction[k]
                score *= 1.0 + alpha * rows.counts[at] - unobserved
                for k in range(padded):
                    image[k] += score * y[k]
            curvature = 0.0
            for k in range(padded):
                curvature += direction[k] * image[k]
            length = slope / curvature
            previous = slope
            slope = 0.0
            for k in range(padded):
                x[k] += length * direction[k]
                residual[k] -= length * image[k]
                slope += residual[k] * residual[k] / diagonal[k]
            for k in range(padded):
                direction[k] = residual[k] / diagonal[k] + slope / previous * direction[k]
        gain = 0.0
        for k in range(padded):
            gain += x[k] * (b[k] + residual[k])
        gains[row] = gain
        for k in range(rank):
            total = 0.0
            for j in range(padded):
                total += fixed.basis[k, j] * x[j]
            solved[row, k] = total
