"""Rows solved exactly: eight at a time, one a vector lane.

A row with plays i of weight c_i = 1 + alpha r_i - w (w: the unobserved weight) and fixed factors
y_i minimises a quadratic whose normal equations are

    (w G + Y^T C Y + reg I) x = Y^T (1 + alpha r),        G = sum of y y^T over all fixed rows.

A row of many plays forms and factorises that matrix, rank x rank. A row of few is solved in the
space of its plays: in the basis where w G is diagonal, D = w G + reg I costs nothing to invert
whatever reg is, and with B = C^(1/2) Y the solution is D^-1 B^T u, where

    (I + B D^-1 B^T) u = C^(-1/2) (1 + alpha r) = t

is only as large as the row has plays (the Woodbury identity; Hager, SIAM Review 31(2), 1989).
"""

from __future__ import annotations

import numpy as np

from musicrec.als.cholesky import (
    COLUMN,
    SINGULAR,
    TILE_ROWS,
    add_product,
    cell,
    diagonal,
    factorise,
    full_entry,
    panel,
    substitute,
    tile,
    times_vector,
    vector,
    zeros4,
)
from musicrec.als.lanes import (
    LANES,
    add,
    broadcast4,
    cast_like,
    from_scalar,
    gather4,
    inverse_root,
    load,
    load4,
    multiply,
    multiply_add,
    store,
    store_each,
    subtract,
    widen,
)
from musicrec.als.problem import CHUNK, batch_at, longest_short_row, read_plays
from musicrec.jit.kernel import kernel

# How ill-conditioned a system may be for products in float32: each is off by a share of 6e-8, so x
# by at most about 6e-6. The tests hold it to 1e-5.
SINGLE_SPREAD = 100.0


@kernel(allocates=False)
def solve_rows(problem, shared, work, out, start, stop):
    """Solve `problem.order[start:stop]` exactly; `factors` and a diagonal `gram` as of `shared`."""
    longest_short = longest_short_row(problem.padded)
    for first in range(start, stop, LANES):
        batch = batch_at(problem, first, stop)
        if batch.longest <= longest_short:
            gain, spread = _solve_short_rows(problem, shared, batch, work, work.singles)
            if spread > SINGLE_SPREAD:
                gain, _ = _solve_short_rows(problem, shared, batch, work, work.doubles)
        else:
            tiles = problem.padded // TILE_ROWS
            normal_equations(problem, shared, batch, work)
            factorise(work.matrix, work.inverse, tiles)
            substitute(work.matrix, work.inverse, work.right, work.solution, tiles)
            gain = dot(work.right, work.solution, problem.padded)
        _rotate_back(shared.basis, work.solution, work.rotated)
        store(work.scratch, 0, gain)
        for lane in range(batch.width):
            row = problem.order[first + lane]
            out.gains[row] = work.scratch[lane]
            for k in range(out.factors.shape[1]):
                out.factors[row, k] = work.rotated[vector(k) + lane]


@kernel(allocates=False, forceinline=True)
def normal_equations(problem, shared, batch, work):
    """Form each lane's matrix in `work.matrix` and its right side in `work.right`.

    Products are summed in float32, `CHUNK` plays at a time, and these sums in float64; where that
    would not do, everything is done again in float64. A float32 product is off by a share of about
    6e-8 at random, so the sum over n plays is by about that share of trace / sqrt(n), and x by
    this over the smallest eigenvalue, which is at least that of w G plus reg.
    """
    _form(problem, shared, batch, work, work.singles)
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
            _form(problem, shared, batch, work, work.doubles)
            break


@kernel(allocates=False, forceinline=True)
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
            store_each(work.right, at, LANES, add(load4(work.right, at, LANES), sums))
            for j in range(i + 1):
                add_product(panels, left, full_entry(4 * j, 0, CHUNK), n, work.matrix, tile(i, j))


@kernel(allocates=False, forceinline=True)
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


@kernel(allocates=False, forceinline=True)
def _gather_weighted(problem, work, panels, n):
    """Write c^(1/2) y of n plays to `panels`, a full matrix of factors x plays."""
    factors, starts = problem.factors, work.starts
    for p in range(n):
        root = cast_like(panels, load(work.root, vector(p)))
        for i in range(problem.padded // TILE_ROWS):
            y = cast_like(panels, gather4(factors, starts, vector(p), 4 * i))
            store_each(panels, full_entry(4 * i, p, CHUNK), LANES, multiply(y, root))


@kernel(allocates=False, forceinline=True)
def dot(a, b, n):
    """Inner product of each lane's two vectors of n entries."""
    total = from_scalar(0.0)
    for k in range(n):
        total = multiply_add(load(a, vector(k)), load(b, vector(k)), total)
    return total


@kernel(allocates=False, forceinline=True)
def _rotate_back(basis, x, out):
    """Write `basis` times x, for each lane's x: from the shared term's coordinates to their own."""
    n, entries = basis.shape[0], basis.reshape(-1)
    for i in range(0, n, 4):
        sums = zeros4()
        for k in range(n):
            sums = multiply_add(broadcast4(entries, i * n + k, n), load(x, vector(k)), sums)
        store_each(out, vector(i), LANES, sums)


@kernel(allocates=False, forceinline=True)
def _solve_short_rows(problem, shared, batch, work, panels):
    """Solve a batch with products in the precision of `panels`; leaves x in `work.solution`.

    Returns b.x of each lane, and the largest trace of B D^-1 B^T, which bounds the condition of
    the systems.
    """
    n = batch.longest
    tiles = (n + 3) // TILE_ROWS
    _invert_diagonal(problem, shared, batch, work)
    read_plays(problem, batch, work, 0, n)
    _gather_scaled(problem, work, panels, n)
    for p in range(n, 4 * tiles):
        store(work.target, vector(p), from_scalar(0.0))
    _form_dual(work, panels, problem.padded, tiles)
    spread = _largest_trace(work, tiles)
    factorise(work.matrix, work.inverse, tiles)
    substitute(work.matrix, work.inverse, work.target, work.dual, tiles)
    return _recover(work, panels, problem.padded, tiles), spread


@kernel(allocates=False, forceinline=True)
def _invert_diagonal(problem, shared, batch, work):
    """Write D^(-1/2) to `work.scale`; lanes past the batch repeat its last row."""
    for lane in range(LANES):
        row = problem.order[batch.first + min(lane, batch.width - 1)]
        work.scratch[lane] = problem.reg[row]
    reg = load(work.scratch, 0)
    for k in range(problem.padded):
        pivot = add(reg, from_scalar(shared.gram[k, k]))
        floor = multiply(from_scalar(SINGULAR), pivot)
        store(work.scale, vector(k), inverse_root(pivot, floor))


@kernel(allocates=False, forceinline=True)
def _gather_scaled(problem, work, panels, n):
    """Write B D^(-1/2), plays x factors, to the panels; rows past the last play are zero."""
    padded = problem.padded
    factors, starts, scale = problem.factors, work.starts, work.scale
    for p in range(n, -(-n // TILE_ROWS) * TILE_ROWS):
        for k in range(padded):
            store(panels, full_entry(p, k, padded), from_scalar(0.0))
    for p in range(n):
        root = cast_like(panels, load(work.root, vector(p)))
        for i in range(padded // TILE_ROWS):
            y = cast_like(panels, gather4(factors, starts, vector(p), 4 * i))
            weights = multiply(cast_like(panels, load4(scale, vector(4 * i), LANES)), root)
            store_each(panels, full_entry(p, 4 * i, padded), COLUMN, multiply(weights, y))


@kernel(allocates=False, forceinline=True)
def _form_dual(work, panels, padded, tiles):
    """Form I + B D^-1 B^T in `work.matrix`."""
    for i in range(tiles):
        for j in range(i + 1):
            for r in range(TILE_ROWS):
                for c in range(TILE_ROWS):
                    one_or_zero = 1.0 if i == j and r == c else 0.0
                    store(work.matrix, tile(i, j) + cell(r, c), from_scalar(one_or_zero))
            for k in range(0, padded, CHUNK):
                left, right = full_entry(4 * i, k, padded), full_entry(4 * j, k, padded)
                n = min(CHUNK, padded - k)
                add_product(panels, left, right, n, work.matrix, tile(i, j))


@kernel(allocates=False, forceinline=True)
def _largest_trace(work, tiles):
    """Largest trace over the lanes of what `_form_dual` added to I."""
    trace = from_scalar(-4.0 * tiles)
    for p in range(4 * tiles):
        trace = add(load(work.matrix, diagonal(p)), trace)
    store(work.scratch, 0, trace)
    largest = 0.0
    for lane in range(LANES):
        largest = max(largest, work.scratch[lane])
    return largest


@kernel(allocates=False, forceinline=True)
def _recover(work, panels, padded, tiles):
    """Write x = D^(-1/2) z to `work.solution`, z = D^(-1/2) B^T u, and return b.x.

    With the right side t, b.x = t.(M - I) u = |z|^2 + |t - u|^2, M the matrix of the system.
    """
    gain = from_scalar(0.0)
    for i in range(padded // TILE_ROWS):
        z = zeros4()
        for p in range(4 * tiles):
            y = widen(load4(panels, full_entry(p, 4 * i, padded), COLUMN))
            z = multiply_add(y, load(work.dual, vector(p)), z)
        scale = load4(work.scale, vector(4 * i), LANES)
        store_each(work.solution, vector(4 * i), LANES, multiply(z, scale))
        gain = multiply_add(z[0], z[0], multiply_add(z[1], z[1], gain))
        gain = multiply_add(z[2], z[2], multiply_add(z[3], z[3], gain))
    for p in range(4 * tiles):
        rest = subtract(load(work.target, vector(p)), load(work.dual, vector(p)))
        gain = multiply_add(rest, rest, gain)
    return gain
