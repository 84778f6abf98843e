"""Rows improved by a few steps of conjugate gradients, each from its previous value.

Takács, Pilászy and Tikk 2011 (RecSys, "Applications of the conjugate gradient method for
implicit feedback collaborative filtering"): a step costs one pass over a row's plays and no
rank x rank matrix. In coordinates where the catalogue's Gram matrix is diagonal, that diagonal D
plus the regularisation is the preconditioner, and what remains is of the rank of the row's plays.
With gradient g a row can gain no more than g D^-1 g, since its matrix is no smaller than D: the
steps end when this bound has become small.

The plays of a row are copied to one place and read from there eight at a time; vectors run along
the factors. Everything is float32: an error of a share e in the score of a play of weight c costs
c e^2 of the loss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.als.lanes import (
    LANES,
    add,
    broadcast,
    like,
    load,
    multiply,
    multiply_add,
    prefetch,
    reciprocal,
    splat,
    store,
    sums,
    total_of,
    widen,
    zeros_like,
)
from musicrec.jit import kernel

AHEAD = 16  # plays
MOST_STEPS = 30
ENOUGH = 1e-3  # of what a row can gain at most by its first gradient: what may be left to gain
NEGLIGIBLE = 1e-9  # of a row's loss at zero: a step that can gain no more is not taken


class Space(NamedTuple):
    """Offsets of a workspace's parts, in float32 entries."""

    diagonal: int
    inverse: int
    x: int
    residual: int
    direction: int
    image: int
    weight: int
    confidence: int
    score: int
    change: int
    coefficient: int
    plays: int
    size: int


def space(padded: int, longest: int) -> Space:
    """Lay out the workspace for rows of up to `longest` plays."""
    plays = -(-longest // LANES) * LANES
    sizes = [*(padded,) * 6, *(plays,) * 5, plays * padded]
    return Space(*np.concatenate(([0], np.cumsum(sizes))).tolist())


@kernel()
def improve_rows(  # type: ignore[no-untyped-def]
    rows, factors, shared, alpha, unobserved, work, at, solved, gains, start, stop
):
    """Take up to `MOST_STEPS` preconditioned steps for each of `rows.order[start:stop]`.

    Parameters
    ----------
    rows : als_kernels.Rows
    factors : float32 array, flat
        The other side's, rows of `len(shared)` entries.
    shared : float32 array (padded)
        w G of these factors, which is diagonal; padded is a multiple of eight.
    alpha, unobserved : float
    work : float32 array (at.size), aligned to 64 bytes
    at : Space
        For the longest of the rows.
    solved : float32 array (n_rows, padded)
        Improved in place.
    gains : float64 array (n_rows) or empty, out
        What each row's x takes off the loss of the zero factor.
    """
    padded = len(shared)
    flat = solved.reshape(-1)
    for position in range(start, stop):
        if position + LANES < stop:
            begin = rows.indptr[rows.order[position + LANES]]
            prefetch(rows.indices, begin)
            prefetch(rows.counts, begin)
        if position + 1 < stop:
            following = rows.order[position + 1]
            _expect(rows, factors, padded, following)
            for line in range(0, padded, 16):
                prefetch(flat, following * padded + line)
        row = rows.order[position]
        for k in range(0, padded, LANES):
            store(work, at.x + k, load(flat, row * padded + k))
        _improve(rows, factors, shared, row, alpha, unobserved, work, at)
        if len(gains):
            gains[row] = _gain(
                rows.indptr[row + 1] - rows.indptr[row], unobserved, work, at, padded
            )
        for k in range(0, padded, LANES):
            store(flat, row * padded + k, load(work, at.x + k))


@kernel()
def _improve(rows, factors, shared, row, alpha, unobserved, work, at):  # type: ignore[no-untyped-def]
    """Improve the vector at `at.x`; leaves its scores at `at.score`."""
    padded = len(shared)
    begin = rows.indptr[row]
    n = rows.indptr[row + 1] - begin
    groups = (n + LANES - 1) // LANES * LANES
    most = _confidences(rows, begin, n, groups, alpha, unobserved, work, at)
    minus = like(work, splat(-1.0))
    zero = zeros_like(work)
    reg = like(work, splat(rows.reg[row]))
    for k in range(0, padded, LANES):
        d = add(load(shared, k), reg)
        store(work, at.diagonal + k, d)
        store(work, at.inverse + k, reciprocal(d))
        store(work, at.residual + k, multiply(minus, multiply(d, load(work, at.x + k))))
    for p in range(0, groups, LANES):
        _copy_plays(rows, factors, padded, begin, p, n, work, at)
        score = _scores(work, at.plays + p * padded, padded, at.x)
        store(work, at.score + p, score)
        weight = multiply(minus, load(work, at.weight + p))
        short = multiply_add(weight, score, load(work, at.confidence + p))
        store(work, at.coefficient + p, short)
        _add_plays(work, at.plays + p * padded, padded, at.coefficient + p, at.residual)
    total = zero
    for k in range(0, padded, LANES):
        r = load(work, at.residual + k)
        d = multiply(r, load(work, at.inverse + k))
        store(work, at.direction + k, d)
        total = multiply_add(r, d, total)
    slope = total_of(widen(total))
    enough = max(NEGLIGIBLE * most, ENOUGH * slope)
    for _ in range(MOST_STEPS):
        if slope <= enough:
            break
        for k in range(0, padded, LANES):
            d = load(work, at.direction + k)
            store(work, at.image + k, multiply(d, load(work, at.diagonal + k)))
        for p in range(0, groups, LANES):
            change = _scores(work, at.plays + p * padded, padded, at.direction)
            store(work, at.change + p, change)
            store(work, at.coefficient + p, multiply(change, load(work, at.weight + p)))
            _add_plays(work, at.plays + p * padded, padded, at.coefficient + p, at.image)
        total = zero
        for k in range(0, padded, LANES):
            total = multiply_add(load(work, at.direction + k), load(work, at.image + k), total)
        length = slope / total_of(widen(total))
        previous = slope
        forward = like(work, splat(length))
        back = like(work, splat(-length))
        for p in range(0, groups, LANES):
            s = multiply_add(forward, load(work, at.change + p), load(work, at.score + p))
            store(work, at.score + p, s)
        total = zero
        for k in range(0, padded, LANES):
            d = load(work, at.direction + k)
            store(work, at.x + k, multiply_add(forward, d, load(work, at.x + k)))
            r = multiply_add(back, load(work, at.image + k), load(work, at.residual + k))
            store(work, at.residual + k, r)
            z = multiply(r, load(work, at.inverse + k))
            store(work, at.image + k, z)
            total = multiply_add(r, z, total)
        slope = total_of(widen(total))
        ratio = like(work, splat(slope / previous))
        for k in range(0, padded, LANES):
            d = multiply_add(ratio, load(work, at.direction + k), load(work, at.image + k))
            store(work, at.direction + k, d)


@kernel()
def _confidences(rows, begin, n, groups, alpha, unobserved, work, at):  # type: ignore[no-untyped-def]
    """Write confidences and weights of a row's plays, zero past its end; returns their sum."""
    for p in range(n):
        confidence = 1.0 + alpha * rows.counts[begin + p]
        work[at.confidence + p] = confidence
        work[at.weight + p] = confidence - unobserved
    for p in range(n, groups):
        work[at.confidence + p] = 0.0
        work[at.weight + p] = 0.0
    total = zeros_like(work)
    for p in range(0, groups, LANES):
        total = add(total, load(work, at.confidence + p))
    return total_of(widen(total))


@kernel()
def _gain(n, unobserved, work, at, padded):  # type: ignore[no-untyped-def]
    """What the vector at `at.x` takes off the loss, by the scores of its `n` plays.

    The sum over plays of c - c (1 - s)^2 + w s^2, less the diagonal's term. Near its maximum it
    hardly depends on rounding of s.
    """
    two = splat(2.0)
    minus = splat(-1.0)
    w = splat(unobserved)
    total = splat(0.0)
    for p in range(0, n, LANES):
        s = widen(load(work, at.score + p))
        c = widen(load(work, at.confidence + p))
        rest = multiply_add(minus, s, two)
        total = multiply_add(s, multiply_add(c, rest, multiply(w, s)), total)
    for k in range(0, padded, LANES):
        y = widen(load(work, at.x + k))
        d = widen(load(work, at.diagonal + k))
        total = multiply_add(multiply(minus, d), multiply(y, y), total)
    return total_of(total)


@kernel()
def _expect(rows, factors, padded, row):  # type: ignore[no-untyped-def]
    """Ask for the factors of a row's first plays ahead of their use."""
    begin = rows.indptr[row]
    for q in range(begin, min(begin + AHEAD, rows.indptr[row + 1])):
        start = np.int64(rows.indices[q]) * padded
        for line in range(0, padded, 16):
            prefetch(factors, start + line)


@kernel()
def _copy_plays(rows, factors, padded, begin, p, n, work, at):  # type: ignore[no-untyped-def]
    """Copy the factors of plays [p, p + 8) of a row to their place; zeros past its end."""
    for q in range(p, p + LANES):
        to = at.plays + q * padded
        if q + AHEAD < n:
            ahead = np.int64(rows.indices[begin + q + AHEAD]) * padded
            for line in range(0, padded, 16):
                prefetch(factors, ahead + line)
        if q < n:
            source = np.int64(rows.indices[begin + q]) * padded
            for k in range(0, padded, LANES):
                store(work, to + k, load(factors, source + k))
        else:
            for k in range(0, padded, LANES):
                store(work, to + k, zeros_like(work))


@kernel()
def _scores(work, plays, padded, vector):  # type: ignore[no-untyped-def]
    """Products of eight plays with a vector."""
    s0 = zeros_like(work)
    s1 = zeros_like(work)
    s2 = zeros_like(work)
    s3 = zeros_like(work)
    s4 = zeros_like(work)
    s5 = zeros_like(work)
    s6 = zeros_like(work)
    s7 = zeros_like(work)
    for k in range(0, padded, LANES):
        v = load(work, vector + k)
        y = plays + k
        s0 = multiply_add(load(work, y), v, s0)
        s1 = multiply_add(load(work, y + padded), v, s1)
        s2 = multiply_add(load(work, y + 2 * padded), v, s2)
        s3 = multiply_add(load(work, y + 3 * padded), v, s3)
        s4 = multiply_add(load(work, y + 4 * padded), v, s4)
        s5 = multiply_add(load(work, y + 5 * padded), v, s5)
        s6 = multiply_add(load(work, y + 6 * padded), v, s6)
        s7 = multiply_add(load(work, y + 7 * padded), v, s7)
    return sums(s0, s1, s2, s3, s4, s5, s6, s7)


@kernel()
def _add_plays(work, plays, padded, coefficients, vector):  # type: ignore[no-untyped-def]
    """Add eight plays, each times its coefficient, to a vector."""
    c0 = broadcast(work, coefficients)
    c1 = broadcast(work, coefficients + 1)
    c2 = broadcast(work, coefficients + 2)
    c3 = broadcast(work, coefficients + 3)
    c4 = broadcast(work, coefficients + 4)
    c5 = broadcast(work, coefficients + 5)
    c6 = broadcast(work, coefficients + 6)
    c7 = broadcast(work, coefficients + 7)
    for k in range(0, padded, LANES):
        y = plays + k
        a = multiply_add(c0, load(work, y), load(work, vector + k))
        b = multiply(c1, load(work, y + padded))
        a = multiply_add(c2, load(work, y + 2 * padded), a)
        b = multiply_add(c3, load(work, y + 3 * padded), b)
        a = multiply_add(c4, load(work, y + 4 * padded), a)
        b = multiply_add(c5, load(work, y + 5 * padded), b)
        a = multiply_add(c6, load(work, y + 6 * padded), a)
        b = multiply_add(c7, load(work, y + 7 * padded), b)
        store(work, vector + k, add(a, b))
