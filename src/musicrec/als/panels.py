"""Where the entries of eight small matrices lie, one matrix in each vector lane.

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
    load,
    multiply,
    multiply_add,
    store,
    widen,
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
