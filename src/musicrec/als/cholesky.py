"""Compiled half steps of alternating least squares: eight rows at a time, one a vector lane.

A row with plays i of weight c_i = 1 + alpha r_i - w (w: the unobserved weight) and fixed factors
y_i minimises a quadratic whose normal equations are

    (w G + Y^T C Y + reg I) x = Y^T (1 + alpha r),        G = sum of y y^T over all fixed rows.

`solve_rows` forms and factorises that matrix, rank x rank, unless the row has few plays: in the
basis where w G is diagonal, D = w G + reg I costs nothing to invert whatever reg is, and with
B = C^(1/2) Y the same x is D^-1 B^T u, where (I + B D^-1 B^T) u = C^(-1/2) (1 + alpha r) is only
as large as the row has plays (the Woodbury identity).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.als.lane_cholesky import (
    add_column,
    factorise,
    multiply_panels,
    panel,
    substitute,
    times_vector,
)
from musicrec.als.lanes import (
    LANES,
    gather4,
    inverse_root,
    like,
    load,
    multiply,
    multiply_add,
    prefetch,
    splat,
    store,
    widen,
)
from musicrec.jit import kernel

CHUNK = 32  # plays gathered at a time: enough work between two passes over the matrix
SINGLE_SPREAD = 100.0  # how ill-conditioned a system may be for float32 products
TINY_WEIGHT = 1e-30  # stands for weight 0 (alpha 0): no effect on the matrix, yet has a root
SINGULAR = 1e-14  # a pivot below this share of its diagonal entry is rounding


class Rows(NamedTuple):
    """The plays of the rows to solve.

    `order` (int64) lists the rows with plays, longest first; `indptr`, `indices` and `counts` are
    their compressed matrix, `reg` (float64) the weight of each row's squared norm.
    """

    order: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    counts: np.ndarray
    reg: np.ndarray


class Fixed(NamedTuple):
    """The other side's factors.

    `factors` is flat float32, rows of `padded` entries in the coordinates of `basis` (columns are
    the new axes); `gram` is w G in these coordinates, both float64 (padded, padded), and
    `least[0]` its smallest eigenvalue.
    """

    factors: np.ndarray
    gram: np.ndarray
    basis: np.ndarray
    least: np.ndarray


class Layout(NamedTuple):
    """Offsets of a workspace's parts, in float64 entries."""

    buffer: int
    matrix: int
    right: int
    solution: int
    inverse: int
    floor: int
    scale: int
    weight: int
    target: int
    compact: int
    size: int


def layout(padded: int, longest_wide: int) -> Layout:
    """Lay out the workspace of one thread for a padded rank."""
    tiles = padded // 4
    plays = max(CHUNK, longest_wide)
    triangle = 64 * tiles * (tiles + 1)
    vector = 8 * max(padded, plays)
    sizes = [8 * padded * (plays + 1), triangle, *(vector,) * 7, triangle]
    return Layout(*np.concatenate(([0], np.cumsum(sizes))).tolist())


@kernel()
def solve_rows(  # type: ignore[no-untyped-def]
    rows, fixed, alpha, unobserved, widest, ws, single, offsets, at, solved, gains, start, stop
):
    """Solve `rows.order[start:stop]` exactly.

    Parameters
    ----------
    rows : Rows
    fixed : Fixed
        In coordinates where `gram` is diagonal.
    alpha, unobserved : float
    widest : int
        Rows of up to this many plays are solved in the space of their plays.
    ws : float64 array (at.size), aligned to 64 bytes
    single : float32 array (at.matrix), aligned to 64 bytes
        Takes the place of the buffer at the start of `ws`.
    offsets : int64 array (8 max(CHUNK, widest))
    at : Layout
    solved : float32 array (n_rows, rank), out
    gains : float64 array (n_rows) or empty, out
        b.x of each row: what the row takes off the loss of the zero factor.
    """
    padded = fixed.gram.shape[0]
    rank = solved.shape[1]
    for first in range(start, stop, LANES):
        width = min(LANES, stop - first)
        longest = longest_row(rows, first, width)
        if longest <= widest:
            gain, spread = _solve_wide(
                rows, fixed, alpha, unobserved, ws, single, 0, offsets, at, first, width
            )
            if spread > SINGLE_SPREAD:
                gain, _ = _solve_wide(
                    rows, fixed, alpha, unobserved, ws, ws, at.buffer, offsets, at, first, width
                )
        else:
            normal_equations(rows, fixed, alpha, unobserved, ws, single, offsets, at, first, width)
            for k in range(padded):
                diagonal = load(ws, at.matrix + panel(k // 4) + 128 * (k // 4) + 40 * (k % 4))
                store(ws, at.floor + 8 * k, multiply(splat(SINGULAR), diagonal))
            factorise(ws, at.matrix, at.inverse, at.floor, padded // 4)
            substitute(ws, at.matrix, at.inverse, at.right, at.solution, padded // 4)
            gain = dot(ws, at.right, at.solution, padded) if len(gains) else splat(0.0)
        store(ws, at.weight, gain)
        rotate(ws, fixed.basis, at.solution, at.right)
        for lane in range(width):
            row = rows.order[first + lane]
            if len(gains):
                gains[row] = ws[at.weight + lane]
            for k in range(rank):
                solved[row, k] = ws[at.right + 8 * k + lane]


@kernel()
def longest_row(rows, first, width):  # type: ignore[no-untyped-def]
    """Most plays of any row of the batch."""
    longest = 0
    for lane in range(width):
        row = rows.order[first + lane]
        longest = max(longest, rows.indptr[row + 1] - rows.indptr[row])
    return longest


@kernel()
def normal_equations(rows, fixed, alpha, unobserved, ws, single, offsets, at, first, width):  # type: ignore[no-untyped-def]
    """Form the lower triangle at `at.matrix` and the right side at `at.right` of each lane.

    Products are summed in float32, `CHUNK` plays at a time, and these sums in float64; where that
    would not do, everything is done again in float64. A float32 product is off by a share of about
    6e-8 at random, so the sum over n plays is by about that share of trace / sqrt(n), and x by
    this over the smallest eigenvalue, which is at least that of w G plus reg.
    """
    padded = fixed.gram.shape[0]
    _form(rows, fixed, alpha, unobserved, ws, single, 0, offsets, at, first, width)
    shared = 0.0
    for k in range(padded):
        shared += fixed.gram[k, k]
    for lane in range(width):
        row = rows.order[first + lane]
        trace = -shared - padded * rows.reg[row]
        for k in range(padded):
            trace += ws[at.matrix + panel(k // 4) + 128 * (k // 4) + 40 * (k % 4) + lane]
        smallest = fixed.least[0] + rows.reg[row]
        if trace > SINGLE_SPREAD * smallest * np.sqrt(rows.indptr[row + 1] - rows.indptr[row]):
            _form(rows, fixed, alpha, unobserved, ws, ws, at.buffer, offsets, at, first, width)
            break


@kernel()
def _form(rows, fixed, alpha, unobserved, ws, buffer, base, offsets, at, first, width):  # type: ignore[no-untyped-def]
    """Form the systems with the plays' weighted factors at `base` of `buffer`."""
    padded = fixed.gram.shape[0]
    tiles = padded // 4
    for i in range(tiles):
        for column in range(4 * i + 4):
            for r in range(4):
                entry = splat(fixed.gram[4 * i + r, column])
                store(ws, at.matrix + panel(i) + 32 * column + 8 * r, entry)
    for k in range(padded):
        store(ws, at.right + 8 * k, splat(0.0))
        diagonal = at.matrix + panel(k // 4) + 128 * (k // 4) + 40 * (k % 4)
        for lane in range(width):
            ws[diagonal + lane] += rows.reg[rows.order[first + lane]]
    longest = longest_row(rows, first, width)
    for done in range(0, longest, CHUNK):
        n = min(CHUNK, longest - done)
        read_plays(
            rows, fixed.factors, padded, alpha, unobserved, ws, offsets, at, first, width, done, n
        )
        for p in range(n):
            weight = like(buffer, load(ws, at.weight + 8 * p))
            for i in range(tiles):
                y0, y1, y2, y3 = gather4(fixed.factors, offsets, 8 * p, 4 * i)
                to = base + 32 * (CHUNK * i + p)
                store(buffer, to, multiply(weight, like(buffer, y0)))
                store(buffer, to + 8, multiply(weight, like(buffer, y1)))
                store(buffer, to + 16, multiply(weight, like(buffer, y2)))
                store(buffer, to + 24, multiply(weight, like(buffer, y3)))
        for i in range(tiles):
            left = base + 32 * CHUNK * i
            s0, s1, s2, s3 = times_vector(buffer, left, n, ws, at.target)
            add_column(ws, at.right + 32 * i, 1.0, s0, s1, s2, s3)
            for j in range(i + 1):
                right = base + 32 * CHUNK * j
                to = at.matrix + panel(i) + 128 * j
                multiply_panels(buffer, left, right, n, ws, to, 1.0)


@kernel()
def read_plays(rows, factors, padded, alpha, unobserved, ws, offsets, at, first, width, done, n):  # type: ignore[no-untyped-def]
    """Fetch plays [done, done + n) of each lane's row.

    For play p the vectors at `at.weight + 8 p` and `at.target + 8 p` get c^(1/2) and
    (1 + alpha r) c^(-1/2), and `offsets[8 p:8 p + 8]` where the plays' factors start. A lane whose
    row has ended gets zeros, which change nothing.
    """
    for lane in range(LANES):
        begin = 0
        left = 0
        if lane < width:
            row = rows.order[first + lane]
            begin = rows.indptr[row] + done
            left = max(0, min(n, rows.indptr[row + 1] - begin))
        for p in range(left):
            confidence = 1.0 + alpha * rows.counts[begin + p]
            root = np.sqrt(max(confidence - unobserved, TINY_WEIGHT))
            ws[at.weight + 8 * p + lane] = root
            ws[at.target + 8 * p + lane] = confidence / root
            start = np.int64(rows.indices[begin + p]) * padded
            offsets[8 * p + lane] = start
            for line in range(0, padded, 16):
                prefetch(factors, start + line)
        for p in range(left, n):
            ws[at.weight + 8 * p + lane] = 0.0
            ws[at.target + 8 * p + lane] = 0.0
            offsets[8 * p + lane] = 0


@kernel()
def _solve_wide(rows, fixed, alpha, unobserved, ws, buffer, base, offsets, at, first, width):  # type: ignore[no-untyped-def]
    """Solve in the space of the plays; leaves x at `at.solution`.

    Returns b.x, and the largest trace of B D^-1 B^T, which bounds the condition of the systems.
    """
    padded = fixed.gram.shape[0]
    n = longest_row(rows, first, width)
    tiles = (n + 3) // 4
    for lane in range(LANES):  # lanes past the batch repeat its last row
        ws[at.inverse + lane] = rows.reg[rows.order[first + min(lane, width - 1)]]
    reg = load(ws, at.inverse)
    one = splat(1.0)
    for k in range(padded):
        pivot = multiply_add(one, reg, splat(fixed.gram[k, k]))
        floor = multiply(splat(SINGULAR), pivot)
        scale = inverse_root(pivot, floor)
        store(ws, at.scale + 8 * k, scale)
        store(buffer, base + 8 * k, scale)
    scales = base
    base += 8 * padded
    read_plays(rows, fixed.factors, padded, alpha, unobserved, ws, offsets, at, first, width, 0, n)
    for p in range(n, 4 * tiles):
        store(ws, at.target + 8 * p, splat(0.0))
        for k in range(padded):
            store(buffer, base + 8 * padded * (p - p % 4) + 8 * (p % 4) + 32 * k, splat(0.0))
    for p in range(n):
        to = base + 8 * padded * (p - p % 4) + 8 * (p % 4)
        weight = like(buffer, load(ws, at.weight + 8 * p))
        for i in range(padded // 4):
            y0, y1, y2, y3 = gather4(fixed.factors, offsets, 8 * p, 4 * i)
            at_scale = scales + 32 * i
            w0 = multiply(weight, load(buffer, at_scale))
            w1 = multiply(weight, load(buffer, at_scale + 8))
            w2 = multiply(weight, load(buffer, at_scale + 16))
            w3 = multiply(weight, load(buffer, at_scale + 24))
            store(buffer, to + 128 * i, multiply(w0, like(buffer, y0)))
            store(buffer, to + 128 * i + 32, multiply(w1, like(buffer, y1)))
            store(buffer, to + 128 * i + 64, multiply(w2, like(buffer, y2)))
            store(buffer, to + 128 * i + 96, multiply(w3, like(buffer, y3)))
    for i in range(tiles):
        for j in range(i + 1):
            to = at.matrix + panel(i) + 128 * j
            for entry in range(16):
                same = i == j and entry % 5 == 0
                store(ws, to + 8 * entry, splat(1.0 if same else 0.0))
            left = base + 32 * padded * i
            right = base + 32 * padded * j
            for k in range(0, padded, CHUNK):
                part = min(CHUNK, padded - k)
                multiply_panels(buffer, left + 32 * k, right + 32 * k, part, ws, to, 1.0)
    trace = splat(-4.0 * tiles)
    for p in range(4 * tiles):
        store(ws, at.floor + 8 * p, splat(0.0))  # pivots are at least 1
        diagonal = at.matrix + panel(p // 4) + 128 * (p // 4) + 40 * (p % 4)
        trace = multiply_add(one, load(ws, diagonal), trace)
    u = at.right
    factorise(ws, at.matrix, at.inverse, at.floor, tiles)
    substitute(ws, at.matrix, at.inverse, at.target, u, tiles)
    # With z = D^-1/2 B^T u and t the right side, b.x = t.(M - I) u = |z|^2 + |t - u|^2.
    gain = splat(0.0)
    for i in range(padded // 4):
        s0 = splat(0.0)
        s1 = splat(0.0)
        s2 = splat(0.0)
        s3 = splat(0.0)
        for p in range(4 * tiles):
            entry = base + 8 * padded * (p - p % 4) + 8 * (p % 4) + 128 * i
            y = load(ws, u + 8 * p)
            s0 = multiply_add(widen(load(buffer, entry)), y, s0)
            s1 = multiply_add(widen(load(buffer, entry + 32)), y, s1)
            s2 = multiply_add(widen(load(buffer, entry + 64)), y, s2)
            s3 = multiply_add(widen(load(buffer, entry + 96)), y, s3)
        to = at.solution + 32 * i
        scale = at.scale + 32 * i
        store(ws, to, multiply(s0, load(ws, scale)))
        store(ws, to + 8, multiply(s1, load(ws, scale + 8)))
        store(ws, to + 16, multiply(s2, load(ws, scale + 16)))
        store(ws, to + 24, multiply(s3, load(ws, scale + 24)))
        gain = multiply_add(s0, s0, multiply_add(s1, s1, gain))
        gain = multiply_add(s2, s2, multiply_add(s3, s3, gain))
    minus = splat(-1.0)
    for p in range(4 * tiles):
        rest = multiply_add(minus, load(ws, u + 8 * p), load(ws, at.target + 8 * p))
        gain = multiply_add(rest, rest, gain)
    store(ws, at.weight, trace)
    largest = 0.0
    for lane in range(LANES):
        largest = max(largest, ws[at.weight + lane])
    return gain, largest


@kernel()
def dot(ws, a, b, n):  # type: ignore[no-untyped-def]
    """Inner product of each lane's two vectors of n entries."""
    total = splat(0.0)
    for k in range(n):
        total = multiply_add(load(ws, a + 8 * k), load(ws, b + 8 * k), total)
    return total


@kernel()
def rotate(ws, basis, x, out):  # type: ignore[no-untyped-def]
    """Write basis times x at `out`, for each lane's x."""
    n = basis.shape[0]
    for i in range(0, n, 4):
        s0 = splat(0.0)
        s1 = splat(0.0)
        s2 = splat(0.0)
        s3 = splat(0.0)
        for k in range(n):
            y = load(ws, x + 8 * k)
            s0 = multiply_add(splat(basis[i, k]), y, s0)
            s1 = multiply_add(splat(basis[i + 1, k]), y, s1)
            s2 = multiply_add(splat(basis[i + 2, k]), y, s2)
            s3 = multiply_add(splat(basis[i + 3, k]), y, s3)
        store(ws, out + 8 * i, s0)
        store(ws, out + 8 * i + 8, s1)
        store(ws, out + 8 * i + 16, s2)
        store(ws, out + 8 * i + 24, s3)
