"""Gram matrices, their eigenvectors and rotated factors, the same bits for any number of threads.

BLAS and LAPACK may give other last bits with another number of their threads, and on another
processor. Up to rank `OWN_TO_RANK` our own kernels are as fast or nearly; beyond, where they are
not, one thread of BLAS works on blocks of fixed shape.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from musicrec.als.lanes import (
    LANES,
    aligned,
    broadcast4,
    cast_like,
    load,
    load4,
    multiply_add,
    store,
    store_each,
    zeros_like,
)
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks

OWN_TO_RANK = 128
BLAS_ROWS = 1024  # made float64 at a time for a product of BLAS
FEW_SUMS = 8  # instead of the next, where each is large: 268 MB at rank 2,048
PARTIAL_SUMS = 16  # a fixed number, added in order, whatever the number of threads
ROWS_AT_ONCE = 32  # added to a partial sum: at rank 128 they fill 32 KB, a first-level cache
ROTATION_BLOCKS = 96  # of rows: several a core, so that the last core to finish is not late
FEWEST_ROWS = 64  # of a block: below that, handing it out takes longer than rotating it
AXES_AT_ONCE = 2 * LANES  # with four rows, eight sums of 256 bits if float32
ROTATED_AT_ONCE = 16  # rows: with a panel of axes at most 48 KB


def gram(factors: np.ndarray) -> np.ndarray:
    """Sum of the outer products of all rows of float32 `factors`, as float64 (rank, rank)."""
    n, rank = factors.shape
    own = rank <= OWN_TO_RANK
    size = max(1, -(-n // (PARTIAL_SUMS if own else FEW_SUMS)))
    width = -(-rank // LANES) * LANES if own else rank
    parts = np.zeros((-(-n // size), width, width))

    def work(start: int, stop: int) -> None:
        part = parts[start // size]
        if own:
            _add_outer_products(factors, part.reshape(-1), start, stop)
            return
        for first in range(start, stop, BLAS_ROWS):
            rows = factors[first : min(first + BLAS_ROWS, stop)].astype(np.float64)
            part += rows.T @ rows

    with threadpool_limits(1, user_api="blas"):
        for_blocks(work, blocks(n, size))
    lower = parts.sum(axis=0)[:rank, :rank]
    return np.tril(lower) + np.tril(lower, -1).T


@kernel()
def _add_outer_products(factors, out, start, stop):
    """Add the outer products of rows [start, stop) to the lower triangle of `out`.

    `out` is flat, its rows a multiple of eight wide; entries above the diagonal come out
    incomplete.
    """
    rank = factors.shape[1]
    width = -(-rank // LANES) * LANES
    rows = np.zeros(ROWS_AT_ONCE * width)
    for first in range(start, stop, ROWS_AT_ONCE):
        n = min(ROWS_AT_ONCE, stop - first)
        for r in range(n):
            for k in range(rank):
                rows[r * width + k] = factors[first + r, k]
        for i in range(0, width, 4):
            for j in range(0, i + 1, LANES):
                to = i * width + j
                sums = load4(out, to, width)
                for r in range(0, n * width, width):
                    sums = multiply_add(broadcast4(rows, r + i, 1), load(rows, r + j), sums)
                store_each(out, to, width, sums)


def rotate(rows: np.ndarray, basis: np.ndarray, out: np.ndarray, kind: type = np.float64) -> None:
    """Write every row of `rows` in the coordinates of `basis`, whose columns are the new axes.

    Parameters
    ----------
    rows : float32 array (n, rank)
    basis : float64 array (rank, rank)
    out : float32 array (n, at least rank)
        Contiguous; may be `rows` itself. Columns past the rank are left alone.
    kind : float32 or float64
        What sums are made in. In float64 a row's bits do not depend on what rows are beside it.
    """
    n, rank = rows.shape
    size = max(FEWEST_ROWS, -(-n // ROTATION_BLOCKS))
    if rank > OWN_TO_RANK and kind is np.float32:
        single = basis.astype(np.float32)

        def multiply(start: int, stop: int) -> None:
            out[start:stop, :rank] = rows[start:stop] @ single

        with threadpool_limits(1, user_api="blas"):
            for_blocks(multiply, blocks(n, size))
        return
    panels = -(-rank // AXES_AT_ONCE)
    axes = np.zeros((rank, panels, AXES_AT_ONCE), kind)
    axes.reshape(rank, -1)[:, :rank] = basis
    axes = np.ascontiguousarray(axes.swapaxes(0, 1)).reshape(-1)
    flat, written = rows.reshape(-1), out.reshape(-1)

    def work(start: int, stop: int) -> None:
        scratch = aligned(ROTATED_AT_ONCE * (rank + panels * AXES_AT_ONCE), kind)
        _rotate_rows((flat, rank), axes, scratch, (written, out.shape[1]), (start, stop))

    for_blocks(work, blocks(n, size))


@kernel(allocates=False)
def _rotate_rows(source, axes, scratch, target, block):
    """Write a block of rows times `axes`, one panel of `AXES_AT_ONCE` after the other.

    `source` and `target` are a flat array and the length of its rows. A panel stays in a
    first-level cache for all rows of `scratch`.
    """
    (rows, rank), (out, length), (start, stop) = source, target, block
    width = len(axes) // rank
    rotated = ROTATED_AT_ONCE * rank
    for first in range(start, stop, ROTATED_AT_ONCE):
        n = min(ROTATED_AT_ONCE, stop - first)
        for r in range(n):
            _copy(rows, (first + r) * rank, scratch, r * rank, rank)
        for j in range(0, width, AXES_AT_ONCE):
            for r in range(0, n, 4):
                left, right = _tile(scratch, r * rank, axes, j * rank, rank)
                store_each(scratch, rotated + r * width + j, width, left)
                store_each(scratch, rotated + r * width + j + LANES, width, right)
        for r in range(n):
            _copy(scratch, rotated + r * width, out, (first + r) * length, rank)


@kernel(allocates=False, forceinline=True)
def _tile(rows, x, axes, panel, rank):
    """Four rows from `x` on times both vectors of a panel: sums that fill sixteen registers."""
    zero = zeros_like(rows)
    left = zero, zero, zero, zero
    right = zero, zero, zero, zero
    if rows.itemsize == 4:
        for k in range(rank):
            four = broadcast4(rows, x + k, rank)
            left = multiply_add(four, load(axes, panel + AXES_AT_ONCE * k), left)
            right = multiply_add(four, load(axes, panel + AXES_AT_ONCE * k + LANES), right)
    else:  # half as many at a time, of 256 bits
        for k in range(rank):
            left = multiply_add(
                broadcast4(rows, x + k, rank), load(axes, panel + AXES_AT_ONCE * k), left
            )
        for k in range(rank):
            right = multiply_add(
                broadcast4(rows, x + k, rank), load(axes, panel + AXES_AT_ONCE * k + LANES), right
            )
    return left, right


@kernel(allocates=False, forceinline=True)
def _copy(source, first, target, to, n):
    """Copy n entries of one contiguous array to another, whose type they take."""
    whole = n // LANES * LANES
    for k in range(0, whole, LANES):
        store(target, to + k, cast_like(target, load(source, first + k)))
    for k in range(whole, n):
        target[to + k] = source[first + k]


def eigenbasis(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors (columns) of a symmetric float64 matrix, in no set order."""
    if len(matrix) <= OWN_TO_RANK:
        found: tuple[np.ndarray, np.ndarray] = _jacobi(matrix)
        return found
    used = np.flatnonzero(np.diag(matrix))  # what is padded with zeros stays where it is
    inside = np.ix_(used, used)
    values, vectors = np.zeros(len(matrix)), np.eye(len(matrix))
    with threadpool_limits(1, user_api="blas"):
        values[used], vectors[inside] = np.linalg.eigh(matrix[inside])
    return values, vectors


@kernel()
def _jacobi(matrix):
    """Cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, section 8.5).

    Quadratic convergence: seven or eight sweeps reach rounding.
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
                _rotate_pair(a, p, q, c, s)
                for k in range(n):
                    x, y = a[k, p], a[k, q]
                    a[k, p] = c * x - s * y
                    a[k, q] = s * x + c * y
                _rotate_pair(vectors, p, q, c, s)
    return np.diag(a).copy(), vectors.T.copy()


@kernel()
def _rotate_pair(a, p, q, c, s):
    """Rotate rows p and q of `a`."""
    for k in range(a.shape[1]):
        x, y = a[p, k], a[q, k]
        a[p, k] = c * x - s * y
        a[q, k] = s * x + c * y
