"""Rows solved exactly: eight at a time, one a vector lane, by Cholesky factorisation.

A row with plays i of weight c_i = 1 + alpha r_i - w (w: the unobserved weight) and fixed factors
y_i minimises a quadratic whose normal equations are

    (w G + Y^T C Y + reg I) x = Y^T (1 + alpha r),        G = sum of y y^T over all fixed rows.

This module forms and factorises that matrix, rank x rank; rows of few plays go to `short_rows`.
"""

from __future__ import annotations

import numpy as np

from musicrec.als.lane_cholesky import add_product, factorise, substitute, times_vector
from musicrec.als.lanes import (
    LANES,
    cast_like,
    from_scalar,
    gather4,
    load,
    multiply,
    multiply_add,
    store,
)
from musicrec.als.panels import (
    TILE_ROWS,
    add4,
    cast_like4,
    cell,
    diagonal,
    full_entry,
    load4,
    panel,
    scale4,
    store4,
    tile,
    vector,
    zeros4,
)
from musicrec.als.problem import CHUNK, SINGULAR, batch_at, longest_short_row, read_plays
from musicrec.als.short_rows import solve_short_rows
from musicrec.jit.kernel import kernel

# How ill-conditioned a system may be for products in float32: each is off by a share of 6e-8, so x
# by at most about 6e-6. The tests hold it to 1e-5.
SINGLE_SPREAD = 100.0


@kernel(allocates=False)
def solve_rows(problem, shared, work, out, start, stop):
    """Solve `problem.order[start:stop]` exactly.

    Parameters
    ----------
    problem : Problem
        `factors` in the coordinates of `shared`.
    shared : SharedTerm
        With a diagonal `gram`.
    work : Workspace
    out : Solution
    start, stop : int
    """
    longest_short = longest_short_row(problem.padded)
    for first in range(start, stop, LANES):
        batch = batch_at(problem, first, stop)
        if batch.longest <= longest_short:
            gain, spread = solve_short_rows(problem, shared, batch, work, work.singles)
            if spread > SINGLE_SPREAD:
                gain, _ = solve_short_rows(problem, shared, batch, work, work.doubles)
        else:
            gain = _solve_long_rows(problem, shared, batch, work)
        _rotate_back(shared.basis, work.solution, work.rotated)
        store(work.scratch, 0, gain)
        for lane in range(batch.width):
            row = problem.order[first + lane]
            if len(out.gains):
                out.gains[row] = work.scratch[lane]
            for k in range(out.factors.shape[1]):
                out.factors[row, k] = work.rotated[vector(k) + lane]


@kernel(allocates=False)
def _solve_long_rows(problem, shared, batch, work):
    """Solve a batch; leaves x in `work.solution` and returns b.x."""
    normal_equations(problem, shared, batch, work)
    tiny = from_scalar(SINGULAR)
    for k in range(problem.padded):
        store(work.floor, vector(k), multiply(tiny, load(work.matrix, diagonal(k))))
    tiles = problem.padded // TILE_ROWS
    factorise(work.matrix, work.inverse, work.floor, tiles)
    substitute(work.matrix, work.inverse, work.right, work.solution, tiles)
    return dot(work.right, work.solution, problem.padded)


@kernel(allocates=False)
def normal_equations(problem, shared, batch, work):
    """Form each lane's matrix in `work.matrix` and its right side in `work.right`.

    Products are summed in float32, `CHUNK` plays at a time, and these sums in float64; where that
    would not do, everything is done again in float64. A float32 product is off by a share of about
    6e-8 at random, so the sum over n plays is by about that share of trace / sqrt(n), and x by
    this over the smallest eigenvalue, which is at least that of w G plus reg.
    """
    _form(problem, shared, batch, work, work.singles.panels)
    of_all = 0.0
    for k in range(problem.padded):
        of_all += shared.gram[k, k]
    for lane in range(batch.width):
        row = problem.order[batch.first + lane]
        trace = -of_all - problem.padded * problem.reg[row]
        for k in range(problem.padded):
            trace += work.matrix[diagonal(k) + lane]
        smallest = shared.least[0] + problem.reg[row]
        n = problem.plays.indptr[row + 1] - problem.plays.indptr[row]
        if trace > SINGLE_SPREAD * smallest * np.sqrt(n):
            _form(problem, shared, batch, work, work.doubles.panels)
            break


@kernel(allocates=False)
def _form(problem, shared, batch, work, panels):
    """Form the systems with products in the precision of `panels`."""
    _start_systems(problem, shared, batch, work)
    for done in range(0, batch.longest, CHUNK):
        n = min(CHUNK, batch.longest - done)
        read_plays(problem, batch, work, done, n)
        _gather_weighted(problem, work, panels, n)
        for i in range(problem.padded // TILE_ROWS):
            left = full_entry(4 * i, 0, CHUNK)
            at = vector(4 * i)
            sums = times_vector(panels, left, n, work.target)
            store4(work.right, at, add4(load4(work.right, at), sums))
            for j in range(i + 1):
                add_product(panels, left, full_entry(4 * j, 0, CHUNK), n, work.matrix, tile(i, j))


@kernel(allocates=False)
def _start_systems(problem, shared, batch, work):
    """Start each lane's matrix with w G + reg I, and its right side with 0."""
    matrix, gram = work.matrix, shared.gram
    for i in range(problem.padded // TILE_ROWS):
        for column in range(4 * i + 4):
            for r in range(TILE_ROWS):
                at = panel(i) + cell(r, column)
                store(matrix, at, from_scalar(gram[4 * i + r, column]))
    for k in range(problem.padded):
        store(work.right, vector(k), from_scalar(0.0))
        for lane in range(batch.width):
            matrix[diagonal(k) + lane] += problem.reg[problem.order[batch.first + lane]]


@kernel(allocates=False)
def _gather_weighted(problem, work, panels, n):
    """Write c^(1/2) y of n plays to `panels`, a full matrix of factors x plays."""
    factors, starts = problem.factors, work.starts
    for p in range(n):
        root = cast_like(panels, load(work.root, vector(p)))
        for i in range(problem.padded // TILE_ROWS):
            y = cast_like4(panels, gather4(factors, starts, vector(p), 4 * i))
            store4(panels, full_entry(4 * i, p, CHUNK), scale4(root, y))


@kernel(allocates=False)
def dot(a, b, n):
    """Inner product of each lane's two vectors of n entries."""
    total = from_scalar(0.0)
    for k in range(n):
        total = multiply_add(load(a, vector(k)), load(b, vector(k)), total)
    return total


@kernel(allocates=False)
def _rotate_back(basis, x, out):
    """Write `basis` times x, for each lane's x: from the shared term's coordinates to their own."""
    n = basis.shape[0]
    for i in range(0, n, 4):
        s0, s1, s2, s3 = zeros4()
        for k in range(n):
            y = load(x, vector(k))
            s0 = multiply_add(from_scalar(basis[i, k]), y, s0)
            s1 = multiply_add(from_scalar(basis[i + 1, k]), y, s1)
            s2 = multiply_add(from_scalar(basis[i + 2, k]), y, s2)
            s3 = multiply_add(from_scalar(basis[i + 3, k]), y, s3)
        store4(out, vector(i), (s0, s1, s2, s3))
