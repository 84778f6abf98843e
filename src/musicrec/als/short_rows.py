"""Rows of few plays, solved exactly in the space of their plays, eight at a time.

In the basis where w G is diagonal, D = w G + reg I costs nothing to invert whatever reg is, and
with B = C^(1/2) Y the solution of the normal equations (`musicrec.als.cholesky`) is D^-1 B^T u,
where

    (I + B D^-1 B^T) u = C^(-1/2) (1 + alpha r) = t

is only as large as the row has plays (the Woodbury identity; Hager, SIAM Review 31(2), 1989).
"""

from __future__ import annotations

from musicrec.als.lane_cholesky import add_product, factorise, substitute
from musicrec.als.lanes import (
    LANES,
    add,
    cast_like,
    from_scalar,
    gather4,
    inverse_root,
    load,
    multiply,
    multiply_add,
    store,
    subtract,
)
from musicrec.als.panels import (
    TILE_ROWS,
    cast_like4,
    cell,
    diagonal,
    full_entry,
    load4,
    load_row,
    multiply4,
    multiply_add4,
    scale4,
    store4,
    store_row,
    tile,
    vector,
    widen4,
    zeros4,
)
from musicrec.als.problem import CHUNK, SINGULAR, read_plays
from musicrec.jit.kernel import kernel


@kernel(allocates=False)
def solve_short_rows(problem, shared, batch, work, buffers):
    """Solve a batch with products in the precision of `buffers`; leaves x in `work.solution`.

    Returns b.x of each lane, and the largest trace of B D^-1 B^T, which bounds the condition of
    the systems.
    """
    n = batch.longest
    tiles = (n + 3) // TILE_ROWS
    _invert_diagonal(problem, shared, batch, work)
    for k in range(problem.padded):
        store(buffers.scale, vector(k), load(work.doubles.scale, vector(k)))
    read_plays(problem, batch, work, 0, n)
    _gather_scaled(problem, work, buffers, n)
    for p in range(n, 4 * tiles):
        store(work.target, vector(p), from_scalar(0.0))
    _form(work, buffers.panels, problem.padded, tiles)
    spread = _largest_trace(work, tiles)
    for p in range(4 * tiles):
        store(work.floor, vector(p), from_scalar(0.0))  # pivots are at least 1
    factorise(work.matrix, work.inverse, work.floor, tiles)
    substitute(work.matrix, work.inverse, work.target, work.dual, tiles)
    return _recover(work, buffers.panels, problem.padded, tiles), spread


@kernel(allocates=False)
def _invert_diagonal(problem, shared, batch, work):
    """Write D^(-1/2) to `work.doubles.scale`; lanes past the batch repeat its last row."""
    for lane in range(LANES):
        row = problem.order[batch.first + min(lane, batch.width - 1)]
        work.scratch[lane] = problem.reg[row]
    reg = load(work.scratch, 0)
    for k in range(problem.padded):
        pivot = add(reg, from_scalar(shared.gram[k, k]))
        floor = multiply(from_scalar(SINGULAR), pivot)
        store(work.doubles.scale, vector(k), inverse_root(pivot, floor))


@kernel(allocates=False)
def _gather_scaled(problem, work, buffers, n):
    """Write B D^(-1/2), plays x factors, to the panels; rows past the last play are zero."""
    padded, panels = problem.padded, buffers.panels
    factors, starts, scale = problem.factors, work.starts, buffers.scale
    for p in range(n, -(-n // TILE_ROWS) * TILE_ROWS):
        for k in range(padded):
            store(panels, full_entry(p, k, padded), from_scalar(0.0))
    for p in range(n):
        root = cast_like(panels, load(work.root, vector(p)))
        for i in range(padded // TILE_ROWS):
            y = cast_like4(panels, gather4(factors, starts, vector(p), 4 * i))
            weights = scale4(root, load4(scale, vector(4 * i)))
            store_row(panels, full_entry(p, 4 * i, padded), multiply4(weights, y))


@kernel(allocates=False)
def _form(work, panels, padded, tiles):
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


@kernel(allocates=False)
def _largest_trace(work, tiles):
    """Largest trace over the lanes of what `_form` added to I."""
    trace = from_scalar(-4.0 * tiles)
    for p in range(4 * tiles):
        trace = add(load(work.matrix, diagonal(p)), trace)
    store(work.scratch, 0, trace)
    largest = 0.0
    for lane in range(LANES):
        largest = max(largest, work.scratch[lane])
    return largest


@kernel(allocates=False)
def _recover(work, panels, padded, tiles):
    """Write x = D^(-1/2) z to `work.solution`, z = D^(-1/2) B^T u, and return b.x.

    With the right side t, b.x = t.(M - I) u = |z|^2 + |t - u|^2, M the matrix of the system.
    """
    gain = from_scalar(0.0)
    for i in range(padded // TILE_ROWS):
        z = zeros4()
        for p in range(4 * tiles):
            y = widen4(load_row(panels, full_entry(p, 4 * i, padded)))
            z = multiply_add4(y, load(work.dual, vector(p)), z)
        scale = load4(work.doubles.scale, vector(4 * i))
        store4(work.solution, vector(4 * i), multiply4(z, scale))
        gain = multiply_add(z[0], z[0], multiply_add(z[1], z[1], gain))
        gain = multiply_add(z[2], z[2], multiply_add(z[3], z[3], gain))
    for p in range(4 * tiles):
        rest = subtract(load(work.target, vector(p)), load(work.dual, vector(p)))
        gain = multiply_add(rest, rest, gain)
    return gain
