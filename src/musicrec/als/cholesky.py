"""Cholesky factorisation of eight small systems at once, one in each vector lane.

A "vector" is eight neighbouring entries of a flat array, one a lane: vector k of an array starts
at `vector(k)`. Matrices are stored in panels of four rows, each panel column by column; a *full*
matrix has panels of equal width, a packed lower *triangle* holds 4 (i + 1) columns in panel i, so
that its tile on the diagonal is stored in full. A tile is four rows by four columns of a panel, and
the smallest thing that fills the registers: every vector of it that is read is used four times.

Four neighbouring vectors, a column of a panel (`load4` with step LANES), or a row of a tile (step
COLUMN), are a tuple.
"""

from __future__ import annotations

from musicrec.als.lanes import (
    LANES,
    add,
    from_scalar,
    inverse_root,
    load,
    load2,
    load4,
    multiply,
    multiply_add,
    store,
    store_each,
    subtract,
    widen,
    zeros_like,
)
from musicrec.jit.kernel import kernel

TILE_ROWS = 4
COLUMN = TILE_ROWS * LANES  # entries of one column of a panel
TILE = TILE_ROWS * COLUMN
SINGULAR = 1e-14  # a pivot below this share of its diagonal entry is rounding (90 times 2^-53)


@kernel(allocates=False, forceinline=True)
def vector(k):
    """Offset of vector k."""
    return LANES * k


@kernel(allocates=False, forceinline=True)
def panel(i):
    """Offset of panel i of a triangle; of the panel behind the last: the triangle's size."""
    return TILE // 2 * i * (i + 1)


@kernel(allocates=False, forceinline=True)
def tile(i, j):
    """Offset of the tile in panel i whose columns start at 4 j."""
    return panel(i) + TILE * j


@kernel(allocates=False, forceinline=True)
def cell(row, column):
    """Offset of an entry within its tile."""
    return COLUMN * column + LANES * row


@kernel(allocates=False, forceinline=True)
def entry(row, column):
    """Offset of an entry of a triangle, column <= row."""
    return panel(row // TILE_ROWS) + cell(row % TILE_ROWS, column)


@kernel(allocates=False, forceinline=True)
def diagonal(k):
    """Offset of diagonal entry k of a triangle."""
    return entry(k, k)


@kernel(allocates=False, forceinline=True)
def full_entry(row, column, columns):
    """Offset of an entry of a full matrix of so many columns."""
    return COLUMN * columns * (row // TILE_ROWS) + cell(row % TILE_ROWS, column)


@kernel(allocates=False, forceinline=True)
def zeros4():
    """Four float64 vectors of zeros."""
    zero = from_scalar(0.0)
    return zero, zero, zero, zero


@kernel(allocates=False)
def add_product(source, left, right, n, matrix, to):
    """Add left right^T (4 x n by n x 4) to the tile at `to` of `matrix`.

    `left` and `right` are where panels of `source` start, float64 or float32; the sum over n is
    made in that type. As many of the sixteen entries are summed at a time as sixteen registers of
    256 bits hold: eight in float32, four in float64. More would go through memory.
    """
    if source.itemsize == 4:
        for row in range(0, TILE_ROWS, 2):
            upper, lower = _two_rows(source, left + vector(row), right, n)
            at = to + cell(row, 0)
            store_each(matrix, at, COLUMN, add(load4(matrix, at, COLUMN), widen(upper)))
            at = to + cell(row + 1, 0)
            store_each(matrix, at, COLUMN, add(load4(matrix, at, COLUMN), widen(lower)))
    else:
        for column in range(0, TILE_ROWS, 2):
            for row in range(0, TILE_ROWS, 2):
                ours, next_ones = _two_by_two(source, left + vector(row), right + vector(column), n)
                at = to + cell(row, column)
                store_each(matrix, at, LANES, add(load2(matrix, at, LANES), widen(ours)))
                at += COLUMN
                store_each(matrix, at, LANES, add(load2(matrix, at, LANES), widen(next_ones)))


@kernel(allocates=False)
def _subtract_product(matrix, left, right, n, to):
    """Subtract the product of two panels of `matrix` from its tile at `to`."""
    for column in range(0, TILE_ROWS, 2):
        for row in range(0, TILE_ROWS, 2):
            ours, next_ones = _two_by_two(matrix, left + vector(row), right + vector(column), n)
            at = to + cell(row, column)
            store_each(matrix, at, LANES, subtract(load2(matrix, at, LANES), ours))
            at += COLUMN
            store_each(matrix, at, LANES, subtract(load2(matrix, at, LANES), next_ones))


@kernel(allocates=False, forceinline=True)
def _two_rows(source, left, right, n):
    """Products of the first two rows of the panel at `left` with all four of that at `right`."""
    zero = zeros_like(source)
    upper = zero, zero, zero, zero
    lower = zero, zero, zero, zero
    for p in range(n):
        x, y = load2(source, left + COLUMN * p, LANES)
        columns = load4(source, right + COLUMN * p, LANES)
        upper = multiply_add(columns, x, upper)
        lower = multiply_add(columns, y, lower)
    return upper, lower


@kernel(allocates=False, forceinline=True)
def _two_by_two(source, left, right, n):
    """Products of the first two rows of two panels: the two of each column."""
    zero = zeros_like(source)
    first = zero, zero
    second = zero, zero
    for p in range(n):
        rows = load2(source, left + COLUMN * p, LANES)
        x, y = load2(source, right + COLUMN * p, LANES)
        first = multiply_add(rows, x, first)
        second = multiply_add(rows, y, second)
    return first, second


@kernel(allocates=False)
def factorise(matrix, inverse, tiles):
    """Cholesky factors of the packed lower triangles, in place, left-looking.

    The factor's diagonal is kept as its reciprocal in the vectors of `inverse`. A pivot that is
    rounding (a singular system, possible at reg_param 0 alone) counts as infinite: its unknown
    comes out as 0.
    """
    tiny = from_scalar(SINGULAR)
    for j in range(tiles):
        floors = multiply(load4(matrix, tile(j, j), COLUMN + LANES), tiny)
        store_each(inverse, vector(4 * j), LANES, floors)
        if j > 0:
            for i in range(j, tiles):
                _subtract_product(matrix, panel(i), panel(j), 4 * j, tile(i, j))
        _factorise_tile(matrix, tile(j, j), inverse, 4 * j)
        for i in range(j + 1, tiles):
            _divide_tile(matrix, tile(i, j), tile(j, j), inverse, 4 * j)


@kernel(allocates=False)
def _factorise_tile(matrix, corner, inverse, first):
    """Factorise the diagonal tile at `corner`, of rows `first` on, given floors in `inverse`."""
    minus = from_scalar(-1.0)
    for c in range(TILE_ROWS):
        for k in range(c):
            factor = multiply(minus, load(matrix, corner + cell(c, k)))
            for r in range(c, TILE_ROWS):
                at = corner + cell(r, c)
                left = load(matrix, corner + cell(r, k))
                store(matrix, at, multiply_add(left, factor, load(matrix, at)))
        pivot = load(matrix, corner + cell(c, c))
        scale = inverse_root(pivot, load(inverse, vector(first + c)))
        store(inverse, vector(first + c), scale)
        for r in range(c + 1, TILE_ROWS):
            at = corner + cell(r, c)
            store(matrix, at, multiply(load(matrix, at), scale))


@kernel(allocates=False)
def _divide_tile(matrix, to, corner, inverse, first):
    """Divide the tile at `to` from the right by the transposed diagonal tile at `corner`."""
    minus = from_scalar(-1.0)
    for c in range(TILE_ROWS):
        column = load4(matrix, to + cell(0, c), LANES)
        for k in range(c):
            factor = multiply(minus, load(matrix, corner + cell(c, k)))
            column = multiply_add(load4(matrix, to + cell(0, k), LANES), factor, column)
        column = multiply(column, load(inverse, vector(first + c)))
        store_each(matrix, to + cell(0, c), LANES, column)


@kernel(allocates=False)
def substitute(matrix, inverse, right, solution, tiles):
    """Solve with the factor that `factorise` left; `right` and `solution` are vectors."""
    for i in range(tiles):
        s0, s1, s2, s3 = times_vector(matrix, panel(i), 4 * i, solution)
        b0, b1, b2, b3 = load4(right, vector(4 * i), LANES)
        d0, d1, d2, d3 = load4(inverse, vector(4 * i), LANES)
        corner = tile(i, i)
        x0 = multiply(subtract(b0, s0), d0)
        s1 = multiply_add(load(matrix, corner + cell(1, 0)), x0, s1)
        s2 = multiply_add(load(matrix, corner + cell(2, 0)), x0, s2)
        s3 = multiply_add(load(matrix, corner + cell(3, 0)), x0, s3)
        x1 = multiply(subtract(b1, s1), d1)
        s2 = multiply_add(load(matrix, corner + cell(2, 1)), x1, s2)
        s3 = multiply_add(load(matrix, corner + cell(3, 1)), x1, s3)
        x2 = multiply(subtract(b2, s2), d2)
        s3 = multiply_add(load(matrix, corner + cell(3, 2)), x2, s3)
        x3 = multiply(subtract(b3, s3), d3)
        store_each(solution, vector(4 * i), LANES, (x0, x1, x2, x3))
    for j in range(tiles - 1, -1, -1):
        _substitute_back(matrix, inverse, solution, j, tiles)


@kernel(allocates=False)
def _substitute_back(matrix, inverse, solution, j, tiles):
    """Solve for the four unknowns of panel j, those of later panels being known."""
    sums = zeros4()
    for i in range(j + 1, tiles):
        for r in range(TILE_ROWS):
            row = load4(matrix, tile(i, j) + cell(r, 0), COLUMN)
            sums = multiply_add(row, load(solution, vector(4 * i + r)), sums)
    s0, s1, s2, s3 = sums
    x0, x1, x2, x3 = load4(solution, vector(4 * j), LANES)
    d0, d1, d2, d3 = load4(inverse, vector(4 * j), LANES)
    corner = tile(j, j)
    x3 = multiply(subtract(x3, s3), d3)
    s2 = multiply_add(load(matrix, corner + cell(3, 2)), x3, s2)
    s1 = multiply_add(load(matrix, corner + cell(3, 1)), x3, s1)
    s0 = multiply_add(load(matrix, corner + cell(3, 0)), x3, s0)
    x2 = multiply(subtract(x2, s2), d2)
    s1 = multiply_add(load(matrix, corner + cell(2, 1)), x2, s1)
    s0 = multiply_add(load(matrix, corner + cell(2, 0)), x2, s0)
    x1 = multiply(subtract(x1, s1), d1)
    s0 = multiply_add(load(matrix, corner + cell(1, 0)), x1, s0)
    x0 = multiply(subtract(x0, s0), d0)
    store_each(solution, vector(4 * j), LANES, (x0, x1, x2, x3))


@kernel(allocates=False)
def times_vector(matrix, start, n, x):
    """The panel of n columns at `start` of `matrix` times n vectors; four vectors, float64."""
    sums = zeros4()
    for p in range(n):
        column = load4(matrix, start + COLUMN * p, LANES)
        sums = multiply_add(widen(column), load(x, vector(p)), sums)
    return sums
