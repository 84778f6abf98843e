"""Cholesky factorisation of eight small systems at once, one in each vector lane.

A workspace is one flat float64 array; a "vector" below is eight neighbouring entries of it, one
a lane. Matrices are stored in panels of four rows: entry (4 i + r, p) of the eight matrices is
the vector at `panel(i) + 32 p + 8 r`. A lower triangle of `tiles` panels holds 4 (i + 1) columns
in panel i, so that panel i starts at `64 i (i + 1)`. With four rows by four columns in registers
every vector read from memory is used four times, and the arithmetic units are the limit.
"""

from __future__ import annotations

from musicrec.als.lanes import (
    inverse_root,
    load,
    multiply,
    multiply_add,
    splat,
    store,
    widen,
    zeros_like,
)
from musicrec.jit import kernel


@kernel()
def panel(i):  # type: ignore[no-untyped-def]
    """Offset of panel i in a packed lower triangle; `panel(tiles)` is the triangle's size."""
    return 64 * i * (i + 1)


@kernel()
def multiply_panels(source, left, right, n, ws, out, sign):  # type: ignore[no-untyped-def]
    """Add `sign` times left right^T (4 x n by n x 4) to the four by four tile at `out` of `ws`.

    The panels lie in `source`, float64 or float32; the sum over n is made in that type. As many
    of the sixteen entries are summed at a time as sixteen registers of 256 bits hold: eight in
    float32, four in float64. More would go through memory.
    """
    if source.itemsize == 4:
        for row in range(0, 32, 16):
            c00 = zeros_like(source)
            c01 = zeros_like(source)
            c02 = zeros_like(source)
            c03 = zeros_like(source)
            c10 = zeros_like(source)
            c11 = zeros_like(source)
            c12 = zeros_like(source)
            c13 = zeros_like(source)
            for p in range(n):
                at = left + 32 * p + row
                a0 = load(source, at)
                a1 = load(source, at + 8)
                at = right + 32 * p
                b = load(source, at)
                c00 = multiply_add(a0, b, c00)
                c10 = multiply_add(a1, b, c10)
                b = load(source, at + 8)
                c01 = multiply_add(a0, b, c01)
                c11 = multiply_add(a1, b, c11)
                b = load(source, at + 16)
                c02 = multiply_add(a0, b, c02)
                c12 = multiply_add(a1, b, c12)
                b = load(source, at + 24)
                c03 = multiply_add(a0, b, c03)
                c13 = multiply_add(a1, b, c13)
            _add_pair(ws, out + row, sign, c00, c10)
            _add_pair(ws, out + row + 32, sign, c01, c11)
            _add_pair(ws, out + row + 64, sign, c02, c12)
            _add_pair(ws, out + row + 96, sign, c03, c13)
    else:
        for quarter in range(4):
            row = 16 * (quarter % 2)
            column = 16 * (quarter // 2)
            d00 = zeros_like(source)
            d01 = zeros_like(source)
            d10 = zeros_like(source)
            d11 = zeros_like(source)
            for p in range(n):
                at = left + 32 * p + row
                x0 = load(source, at)
                x1 = load(source, at + 8)
                at = right + 32 * p + column
                y0 = load(source, at)
                y1 = load(source, at + 8)
                d00 = multiply_add(x0, y0, d00)
                d01 = multiply_add(x0, y1, d01)
                d10 = multiply_add(x1, y0, d10)
                d11 = multiply_add(x1, y1, d11)
            at = out + row + 4 * column
            _add_pair(ws, at, sign, d00, d10)
            _add_pair(ws, at + 32, sign, d01, d11)


@kernel()
def _add_pair(ws, at, scale, v0, v1):  # type: ignore[no-untyped-def]
    """Add `scale` times two vectors to the two at `at`."""
    factor = splat(scale)
    store(ws, at, multiply_add(factor, widen(v0), load(ws, at)))
    store(ws, at + 8, multiply_add(factor, widen(v1), load(ws, at + 8)))


@kernel()
def add_column(ws, at, scale, v0, v1, v2, v3):  # type: ignore[no-untyped-def]
    """Add `scale` times four vectors to the four at `at`."""
    factor = splat(scale)
    store(ws, at, multiply_add(factor, widen(v0), load(ws, at)))
    store(ws, at + 8, multiply_add(factor, widen(v1), load(ws, at + 8)))
    store(ws, at + 16, multiply_add(factor, widen(v2), load(ws, at + 16)))
    store(ws, at + 24, multiply_add(factor, widen(v3), load(ws, at + 24)))


@kernel()
def factorise(ws, a, inverse, floor, tiles):  # type: ignore[no-untyped-def]
    """Cholesky factor of the packed lower triangles at `a`, in place, left-looking.

    The factor's diagonal is kept as its reciprocal in the vectors at `inverse`. A pivot that is
    not above its vector at `floor` (a singular system, possible at reg_param 0 alone) counts as
    infinite: its unknown comes out as 0.
    """
    for j in range(tiles):
        row_j = a + panel(j)
        diagonal = row_j + 128 * j
        if j > 0:
            for i in range(j, tiles):
                row_i = a + panel(i)
                multiply_panels(ws, row_i, row_j, 4 * j, ws, row_i + 128 * j, -1.0)
        _factorise_tile(ws, diagonal, inverse + 32 * j, floor + 32 * j)
        for i in range(j + 1, tiles):
            _divide_tile(ws, a + panel(i) + 128 * j, diagonal, inverse + 32 * j)


@kernel()
def _factorise_tile(ws, tile, inverse, floor):  # type: ignore[no-untyped-def]
    minus = splat(-1.0)
    for c in range(4):
        for k in range(c):
            factor = multiply(minus, load(ws, tile + 32 * k + 8 * c))
            for r in range(c, 4):
                at = tile + 32 * c + 8 * r
                store(ws, at, multiply_add(load(ws, tile + 32 * k + 8 * r), factor, load(ws, at)))
        scale = inverse_root(load(ws, tile + 40 * c), load(ws, floor + 8 * c))
        store(ws, inverse + 8 * c, scale)
        for r in range(c + 1, 4):
            at = tile + 32 * c + 8 * r
            store(ws, at, multiply(load(ws, at), scale))


@kernel()
def _divide_tile(ws, tile, diagonal, inverse):  # type: ignore[no-untyped-def]
    """Divide a tile from the right by the transposed triangular tile at `diagonal`."""
    minus = splat(-1.0)
    for c in range(4):
        at = tile + 32 * c
        v0 = load(ws, at)
        v1 = load(ws, at + 8)
        v2 = load(ws, at + 16)
        v3 = load(ws, at + 24)
        for k in range(c):
            factor = multiply(minus, load(ws, diagonal + 32 * k + 8 * c))
            v0 = multiply_add(load(ws, tile + 32 * k), factor, v0)
            v1 = multiply_add(load(ws, tile + 32 * k + 8), factor, v1)
            v2 = multiply_add(load(ws, tile + 32 * k + 16), factor, v2)
            v3 = multiply_add(load(ws, tile + 32 * k + 24), factor, v3)
        scale = load(ws, inverse + 8 * c)
        store(ws, at, multiply(v0, scale))
        store(ws, at + 8, multiply(v1, scale))
        store(ws, at + 16, multiply(v2, scale))
        store(ws, at + 24, multiply(v3, scale))


@kernel()
def substitute(ws, a, inverse, b, x, tiles):  # type: ignore[no-untyped-def]
    """Solve with the factor that `factorise` left: right sides at `b`, solutions at `x`."""
    minus = splat(-1.0)
    for i in range(tiles):
        row = a + panel(i)
        s0, s1, s2, s3 = times_vector(ws, row, 4 * i, ws, x)
        at = row + 128 * i
        bi = b + 32 * i
        xi = x + 32 * i
        scale = inverse + 32 * i
        y = multiply(multiply_add(minus, s0, load(ws, bi)), load(ws, scale))
        store(ws, xi, y)
        s1 = multiply_add(load(ws, at + 8), y, s1)
        s2 = multiply_add(load(ws, at + 16), y, s2)
        s3 = multiply_add(load(ws, at + 24), y, s3)
        y = multiply(multiply_add(minus, s1, load(ws, bi + 8)), load(ws, scale + 8))
        store(ws, xi + 8, y)
        s2 = multiply_add(load(ws, at + 48), y, s2)
        s3 = multiply_add(load(ws, at + 56), y, s3)
        y = multiply(multiply_add(minus, s2, load(ws, bi + 16)), load(ws, scale + 16))
        store(ws, xi + 16, y)
        s3 = multiply_add(load(ws, at + 88), y, s3)
        y = multiply(multiply_add(minus, s3, load(ws, bi + 24)), load(ws, scale + 24))
        store(ws, xi + 24, y)
    for j in range(tiles - 1, -1, -1):
        _substitute_back(ws, a, inverse + 32 * j, x, j, tiles)


@kernel()
def _substitute_back(ws, a, inverse, x, j, tiles):  # type: ignore[no-untyped-def]
    minus = splat(-1.0)
    s0 = splat(0.0)
    s1 = splat(0.0)
    s2 = splat(0.0)
    s3 = splat(0.0)
    for i in range(j + 1, tiles):
        for r in range(4):
            at = a + panel(i) + 128 * j + 8 * r
            y = load(ws, x + 32 * i + 8 * r)
            s0 = multiply_add(load(ws, at), y, s0)
            s1 = multiply_add(load(ws, at + 32), y, s1)
            s2 = multiply_add(load(ws, at + 64), y, s2)
            s3 = multiply_add(load(ws, at + 96), y, s3)
    at = a + panel(j) + 128 * j
    xj = x + 32 * j
    y = multiply(multiply_add(minus, s3, load(ws, xj + 24)), load(ws, inverse + 24))
    store(ws, xj + 24, y)
    s2 = multiply_add(load(ws, at + 88), y, s2)
    s1 = multiply_add(load(ws, at + 56), y, s1)
    s0 = multiply_add(load(ws, at + 24), y, s0)
    y = multiply(multiply_add(minus, s2, load(ws, xj + 16)), load(ws, inverse + 16))
    store(ws, xj + 16, y)
    s1 = multiply_add(load(ws, at + 48), y, s1)
    s0 = multiply_add(load(ws, at + 16), y, s0)
    y = multiply(multiply_add(minus, s1, load(ws, xj + 8)), load(ws, inverse + 8))
    store(ws, xj + 8, y)
    s0 = multiply_add(load(ws, at + 8), y, s0)
    y = multiply(multiply_add(minus, s0, load(ws, xj)), load(ws, inverse))
    store(ws, xj, y)


@kernel()
def times_vector(source, matrix, n, ws, vector):  # type: ignore[no-untyped-def]
    """Four rows of n columns, a panel of `source`, times the n vectors at `vector` of `ws`."""
    s0 = splat(0.0)
    s1 = splat(0.0)
    s2 = splat(0.0)
    s3 = splat(0.0)
    for p in range(n):
        at = matrix + 32 * p
        y = load(ws, vector + 8 * p)
        s0 = multiply_add(widen(load(source, at)), y, s0)
        s1 = multiply_add(widen(load(source, at + 8)), y, s1)
        s2 = multiply_add(widen(load(source, at + 16)), y, s2)
        s3 = multiply_add(widen(load(source, at + 24)), y, s3)
    return s0, s1, s2, s3
