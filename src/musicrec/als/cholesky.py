"""Cholesky factorisation of eight small systems at once, one in each vector lane.

A "vector" is eight neighbouring entries of a flat array, one a lane: vector k of an array starts
at `vector(k)`. Matrices are stored in panels of four rows, each panel column by column; a *full*
matrix has panels of equal width, a packed lower *triangle* holds 4 (i + 1) columns in panel i.
docs/als.md draws it. A tile is four rows by four columns of a panel, and the smallest thing that
fills the registers: every vector of it that is read is used four times.

Operations on four neighbouring vectors, a column of a panel, take and return tuples.
"""

from __future__ import annotations

from musicrec.als.lanes import (
    LANES,
    add,
    cast_like,
    from_scalar,
    inverse_root,
    load,
    multiply,
    multiply_add,
    store,
    subtract,
    widen,
    zeros_like,
)
from musicrec.jit.kernel import kernel

TILE_ROWS = 4
COLUMN = TILE_ROWS * LANES  # entries of one column of a panel
TILE = TILE_ROWS * COLUMN


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
def load4(array, start):
    """Read the four vectors from `start` on: a column of a panel."""
    return (
        load(array, start),
        load(array, start + LANES),
        load(array, start + 2 * LANES),
        load(array, start + 3 * LANES),
    )


@kernel(allocates=False, forceinline=True)
def store4(array, start, four):
    """Write four vectors from `start` on, rounded to the array's type."""
    store(array, start, four[0])
    store(array, start + LANES, four[1])
    store(array, start + 2 * LANES, four[2])
    store(array, start + 3 * LANES, four[3])


@kernel(allocates=False, forceinline=True)
def load_row(array, start):
    """Read one row of a tile: four vectors, a column apart."""
    return (
        load(array, start),
        load(array, start + COLUMN),
        load(array, start + 2 * COLUMN),
        load(array, start + 3 * COLUMN),
    )


@kernel(allocates=False, forceinline=True)
def store_row(array, start, four):
    """Write one row of a tile."""
    store(array, start, four[0])
    store(array, start + COLUMN, four[1])
    store(array, start + 2 * COLUMN, four[2])
    store(array, start + 3 * COLUMN, four[3])


@kernel(allocates=False, forceinline=True)
def zeros4():
    """Four float64 vectors of zeros."""
    zero = from_scalar(0.0)
    return zero, zero, zero, zero


@kernel(allocates=False, forceinline=True)
def add4(a, b):
    """Four sums."""
    return add(a[0], b[0]), add(a[1], b[1]), add(a[2], b[2]), add(a[3], b[3])


@kernel(allocates=False, forceinline=True)
def scale4(a, four):
    """A vector times each of four."""
    return multiply(a, four[0]), multiply(a, four[1]), multiply(a, four[2]), multiply(a, four[3])


@kernel(allocates=False, forceinline=True)
def multiply4(a, b):
    """Four products."""
    return (
        multiply(a[0], b[0]),
        multiply(a[1], b[1]),
        multiply(a[2], b[2]),
        multiply(a[3], b[3]),
    )


@kernel(allocates=False, forceinline=True)
def multiply_add4(four, b, c):
    """Each of four vectors times `b`, plus its one of the four `c`."""
    return (
        multiply_add(four[0], b, c[0]),
        multiply_add(four[1], b, c[1]),
        multiply_add(four[2], b, c[2]),
        multiply_add(four[3], b, c[3]),
    )


@kernel(allocates=False, forceinline=True)
def widen4(four):
    """The same numbers as float64."""
    return widen(four[0]), widen(four[1]), widen(four[2]), widen(four[3])


@kernel(allocates=False, forceinline=True)
def cast_like4(array, four):
    """The same numbers in an array's type."""
    return (
        cast_like(array, four[0]),
        cast_like(array, four[1]),
        cast_like(array, four[2]),
        cast_like(array, four[3]),
    )


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
            store_row(matrix, at, add4(load_row(matrix, at), widen4(upper)))
            at = to + cell(row + 1, 0)
            store_row(matrix, at, add4(load_row(matrix, at), widen4(lower)))
    else:
        for column in range(0, TILE_ROWS, 2):
            for row in range(0, TILE_ROWS, 2):
                square = _two_by_two(source, left + vector(row), right + vector(column), n)
                at = to + cell(row, column)
                store(matrix, at, add(load(matrix, at), widen(square[0])))
                at = to + cell(row + 1, column)
                store(matrix, at, add(load(matrix, at), widen(square[1])))
                at = to + cell(row, column + 1)
                store(matrix, at, add(load(matrix, at), widen(square[2])))
                at = to + cell(row + 1, column + 1)
                store(matrix, at, add(load(matrix, at), widen(square[3])))


@kernel(allocates=False)
def _subtract_product(matrix, left, right, n, to):
    """Subtract the product of two panels of `matrix` from its tile at `to`."""
    for column in range(0, TILE_ROWS, 2):
        for row in range(0, TILE_ROWS, 2):
            square = _two_by_two(matrix, left + vector(row), right + vector(column), n)
            at = to + cell(row, column)
            store(matrix, at, subtract(load(matrix, at), square[0]))
            at = to + cell(row + 1, column)
            store(matrix, at, subtract(load(matrix, at), square[1]))
            at = to + cell(row, column + 1)
            store(matrix, at, subtract(load(matrix, at), square[2]))
            at = to + cell(row + 1, column + 1)
            store(matrix, at, subtract(load(matrix, at), square[3]))


@kernel(allocates=False, forceinline=True)
def _two_rows(source, left, right, n):
    """Products of the first two rows of the panel at `left` with all four of that at `right`."""
    c00 = zeros_like(source)
    c01 = zeros_like(source)
    c02 = zeros_like(source)
    c03 = zeros_like(source)
    c10 = zeros_like(source)
    c11 = zeros_like(source)
    c12 = zeros_like(source)
    c13 = zeros_like(source)
    for p in range(n):
        at = left + COLUMN * p
        a0 = load(source, at)
        a1 = load(source, at + vector(1))
        at = right + COLUMN * p
        b = load(source, at)
        c00 = multiply_add(a0, b, c00)
        c10 = multiply_add(a1, b, c10)
        b = load(source, at + vector(1))
        c01 = multiply_add(a0, b, c01)
        c11 = multiply_add(a1, b, c11)
        b = load(source, at + vector(2))
        c02 = multiply_add(a0, b, c02)
        c12 = multiply_add(a1, b, c12)
        b = load(source, at + vector(3))
        c03 = multiply_add(a0, b, c03)
        c13 = multiply_add(a1, b, c13)
    return (c00, c01, c02, c03), (c10, c11, c12, c13)


@kernel(allocates=False, forceinline=True)
def _two_by_two(source, left, right, n):
    """Products of the first two rows of two panels, column by column."""
    d00 = zeros_like(source)
    d10 = zeros_like(source)
    d01 = zeros_like(source)
    d11 = zeros_like(source)
    for p in range(n):
        at = left + COLUMN * p
        x0 = load(source, at)
        x1 = load(source, at + vector(1))
        at = right + COLUMN * p
        y0 = load(source, at)
        y1 = load(source, at + vector(1))
        d00 = multiply_add(x0, y0, d00)
        d01 = multiply_add(x0, y1, d01)
        d10 = multiply_add(x1, y0, d10)
        d11 = multiply_add(x1, y1, d11)
    return d00, d10, d01, d11


@kernel(allocates=False)
def factorise(matrix, inverse, floor, tiles):
    """Cholesky factors of the packed lower triangles, in place, left-looking.

    The factor's diagonal is kept as its reciprocal in the vectors of `inverse`. A pivot that is
    not above its vector in `floor` (a singular system, possible at reg_param 0 alone) counts as
    infinite: its unknown comes out as 0.
    """
    for j in range(tiles):
        if j > 0:
            for i in range(j, tiles):
                _subtract_product(matrix, panel(i), panel(j), 4 * j, tile(i, j))
        _factorise_tile(matrix, tile(j, j), inverse, floor, 4 * j)
        for i in range(j + 1, tiles):
            _divide_tile(matrix, tile(i, j), tile(j, j), inverse, 4 * j)


@kernel(allocates=False)
def _factorise_tile(matrix, corner, inverse, floor, first):
    """Factorise the diagonal tile at `corner`, that of rows `first` to `first` + 3."""
    minus = from_scalar(-1.0)
    for c in range(TILE_ROWS):
        for k in range(c):
            factor = multiply(minus, load(matrix, corner + cell(c, k)))
            for r in range(c, TILE_ROWS):
                at = corner + cell(r, c)
                left = load(matrix, corner + cell(r, k))
                store(matrix, at, multiply_add(left, factor, load(matrix, at)))
        pivot = load(matrix, corner + cell(c, c))
        scale = inverse_root(pivot, load(floor, vector(first + c)))
        store(inverse, vector(first + c), scale)
        for r in range(c + 1, TILE_ROWS):
            at = corner + cell(r, c)
            store(matrix, at, multiply(load(matrix, at), scale))


@kernel(allocates=False)
def _divide_tile(matrix, to, corner, inverse, first):
    """Divide the tile at `to` from the right by the transposed diagonal tile at `corner`."""
    minus = from_scalar(-1.0)
    for c in range(TILE_ROWS):
        column = load4(matrix, to + cell(0, c))
        for k in range(c):
            factor = multiply(minus, load(matrix, corner + cell(c, k)))
            column = multiply_add4(load4(matrix, to + cell(0, k)), factor, column)
        store4(matrix, to + cell(0, c), scale4(load(inverse, vector(first + c)), column))


@kernel(allocates=False)
def substitute(matrix, inverse, right, solution, tiles):
    """Solve with the factor that `factorise` left; `right` and `solution` are vectors."""
    for i in range(tiles):
        s0, s1, s2, s3 = times_vector(matrix, panel(i), 4 * i, solution)
        b0, b1, b2, b3 = load4(right, vector(4 * i))
        d0, d1, d2, d3 = load4(inverse, vector(4 * i))
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
        store4(solution, vector(4 * i), (x0, x1, x2, x3))
    for j in range(tiles - 1, -1, -1):
        _substitute_back(matrix, inverse, solution, j, tiles)


@kernel(allocates=False)
def _substitute_back(matrix, inverse, solution, j, tiles):
    """Solve for the four unknowns of panel j, those of later panels being known."""
    s0, s1, s2, s3 = zeros4()
    for i in range(j + 1, tiles):
        for r in range(TILE_ROWS):
            at = tile(i, j) + cell(r, 0)
            y = load(solution, vector(4 * i + r))
            s0 = multiply_add(load(matrix, at), y, s0)
            s1 = multiply_add(load(matrix, at + COLUMN), y, s1)
            s2 = multiply_add(load(matrix, at + 2 * COLUMN), y, s2)
            s3 = multiply_add(load(matrix, at + 3 * COLUMN), y, s3)
    x0, x1, x2, x3 = load4(solution, vector(4 * j))
    d0, d1, d2, d3 = load4(inverse, vector(4 * j))
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
    store4(solution, vector(4 * j), (x0, x1, x2, x3))


@kernel(allocates=False)
def times_vector(matrix, start, n, x):
    """The panel of n columns at `start` of `matrix` times n vectors; four vectors, float64."""
    s0, s1, s2, s3 = zeros4()
    for p in range(n):
        y = load(x, vector(p))
        at = start + COLUMN * p
        s0 = multiply_add(widen(load(matrix, at)), y, s0)
        s1 = multiply_add(widen(load(matrix, at + vector(1))), y, s1)
        s2 = multiply_add(widen(load(matrix, at + vector(2))), y, s2)
        s3 = multiply_add(widen(load(matrix, at + vector(3))), y, s3)
    return s0, s1, s2, s3
