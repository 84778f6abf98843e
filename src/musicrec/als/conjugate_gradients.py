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
    aligned_parts,
    broadcast8,
    cast_like,
    from_scalar,
    load,
    load8,
    multiply,
    multiply_add,
    prefetch,
    reciprocal,
    store,
    sums,
    total_of,
    widen,
    zeros_like,
)
from musicrec.als.problem import CACHE_LINE
from musicrec.jit.kernel import kernel

AHEAD = 16  # plays whose factors are asked for ahead of their use
# Chosen on data: a fixed three steps ended up to 34 % above the exact solver's loss.
ENOUGH = 1e-3  # of what a row can gain at most by its first gradient: what may be left to gain
MOST_STEPS = 30
MOST_HELD = 1 << 24  # entries of copied plays, 64 MB a thread; a longer row copies anew each step
NEGLIGIBLE = 1e-9  # of a row's loss at zero: a step that can gain no more is not taken


class StepWorkspace(NamedTuple):
    """A thread's memory for one row: flat float32 arrays.

    diagonal, inverse : by factor, D = w G + reg I and its reciprocal
    x, residual, direction, image : by factor; of `direction`, what the matrix makes of it
    weight, confidence : by play, 1 + alpha r - w and 1 + alpha r
    score, change, coefficient : by play; what x gives, what `direction` gives, what to add
    plays : (plays held, padded), the factors of the row's plays, or of eight of them at a time
    """

    diagonal: np.ndarray
    inverse: np.ndarray
    x: np.ndarray
    residual: np.ndarray
    direction: np.ndarray
    image: np.ndarray
    weight: np.ndarray
    confidence: np.ndarray
    score: np.ndarray
    change: np.ndarray
    coefficient: np.ndarray
    plays: np.ndarray


class Row(NamedTuple):
    """The plays [begin, begin + n) of a row; `whole` is n rounded up to whole vectors."""

    begin: int
    n: int
    whole: int


def step_workspace(padded: int, longest: int) -> StepWorkspace:
    """Allocate a thread's memory for rows of up to `longest` plays."""
    plays = -(-longest // LANES) * LANES
    held = min(plays, MOST_HELD // padded // LANES * LANES)
    sizes = [*(padded,) * 6, *(plays,) * 5, held * padded]
    return StepWorkspace(*aligned_parts(sizes, np.float32))


@kernel(allocates=False)
def improve_rows(problem, shared, work, out, start, stop):
    """Take up to `MOST_STEPS` preconditioned steps for each of `problem.order[start:stop]`.

    `shared`, float32 (padded), is the diagonal w G of `problem.factors`, `work` for the longest of
    the rows; the rows of `out.factors`, float32 (n_rows, padded), are improved in place.
    """
    order, indptr, padded = problem.order, problem.plays.indptr, problem.padded
    factors, x = out.factors.reshape(-1), work.x
    for position in range(start, stop):
        _prefetch_rows(problem, factors, position, stop)
        index = order[position]
        n = indptr[index + 1] - indptr[index]
        row = Row(indptr[index], n, (n + LANES - 1) // LANES * LANES)
        for k in range(0, padded, LANES):
            store(x, k, load(factors, index * padded + k))
        _set_diagonal(shared, problem.reg[index], work)
        most = _set_confidences(problem, row, work)
        _apply(problem, row, work, x, work.score, work.residual, True)
        slope = _precondition(work, work.direction)
        enough = max(NEGLIGIBLE * most, ENOUGH * slope)
        for _ in range(MOST_STEPS):
            if slope <= enough:
                break
            slope = _step(problem, row, work, slope)
        out.gains[index] = _gain(n, problem.unobserved, work)
        for k in range(0, padded, LANES):
            store(factors, index * padded + k, load(x, k))


@kernel(allocates=False, forceinline=True)
def _set_diagonal(shared, reg, work):
    """Write D and its reciprocal."""
    diagonal, inverse = work.diagonal, work.inverse
    ridge = cast_like(diagonal, from_scalar(reg))
    for k in range(0, len(shared), LANES):
        d = add(load(shared, k), ridge)
        store(diagonal, k, d)
        store(inverse, k, reciprocal(d))


@kernel(allocates=False, forceinline=True)
def _apply(problem, row, work, x, scores, out, first):
    """Write what the row's matrix makes of x to `out`, and the scores of its plays.

    `first`: what is left of the right side without it, and the plays are copied to their place.
    """
    diagonal, coefficients, plays = work.diagonal, work.coefficient, work.plays
    minus = cast_like(x, from_scalar(-1.0))
    sign = cast_like(x, from_scalar(-1.0 if first else 1.0))
    for k in range(0, len(x), LANES):
        store(out, k, multiply(sign, multiply(load(diagonal, k), load(x, k))))
    held = row.whole * problem.padded <= len(plays)
    for p in range(0, row.whole, LANES):
        at = p if held else 0
        if first or not held:
            _copy_plays(problem, row, plays, p, at)
        score = _scores(plays, at, x)
        store(scores, p, score)
        weight = load(work.weight, p)
        if first:
            weight = multiply(minus, weight)
            store(coefficients, p, multiply_add(weight, score, load(work.confidence, p)))
        else:
            store(coefficients, p, multiply(score, weight))
        _add_plays(plays, at, coefficients, p, out)


@kernel(allocates=False, forceinline=True)
def _precondition(work, out):
    """Write D^-1 r of the residual r to `out`, and return r D^-1 r."""
    residual, inverse = work.residual, work.inverse
    total = zeros_like(out)
    for k in range(0, len(out), LANES):
        r = load(residual, k)
        z = multiply(r, load(inverse, k))
        store(out, k, z)
        total = multiply_add(r, z, total)
    return total_of(widen(total))


@kernel(allocates=False, forceinline=True)
def _step(problem, row, work, slope):
    """Go along the direction to its minimum, choose the next one, and return its slope."""
    x, residual, direction, image = work.x, work.residual, work.direction, work.image
    _apply(problem, row, work, direction, work.change, image, False)
    total = zeros_like(x)
    for k in range(0, len(x), LANES):
        total = multiply_add(load(direction, k), load(image, k), total)
    length = slope / total_of(widen(total))
    forward = cast_like(x, from_scalar(length))
    back = cast_like(x, from_scalar(-length))
    for p in range(0, row.whole, LANES):
        score = multiply_add(forward, load(work.change, p), load(work.score, p))
        store(work.score, p, score)
    for k in range(0, len(x), LANES):
        store(x, k, multiply_add(forward, load(direction, k), load(x, k)))
        store(residual, k, multiply_add(back, load(image, k), load(residual, k)))
    following = _precondition(work, image)
    ratio = cast_like(x, from_scalar(following / slope))
    for k in range(0, len(x), LANES):
        store(direction, k, multiply_add(ratio, load(direction, k), load(image, k)))
    return following


@kernel(allocates=False, forceinline=True)
def _set_confidences(problem, row, work):
    """Write confidences and weights of a row's plays, zero past its end; returns their sum."""
    counts, confidences, weights = problem.plays.counts, work.confidence, work.weight
    for p in range(row.n):
        confidence = 1.0 + problem.alpha * counts[row.begin + p]
        confidences[p] = confidence
        weights[p] = confidence - problem.unobserved
    for p in range(row.n, row.whole):
        confidences[p] = 0.0
        weights[p] = 0.0
    total = zeros_like(confidences)
    for p in range(0, row.whole, LANES):
        total = add(total, load(confidences, p))
    return total_of(widen(total))


@kernel(allocates=False, forceinline=True)
def _gain(n, unobserved, work):
    """What `work.x` takes off the loss, by the scores of its `n` plays.

    The sum over plays of c - c (1 - s)^2 + w s^2, less the diagonal's term. Near its maximum it
    hardly depends on rounding of s.
    """
    x, diagonal, scores, confidences = work.x, work.diagonal, work.score, work.confidence
    two = from_scalar(2.0)
    minus = from_scalar(-1.0)
    w = from_scalar(unobserved)
    total = from_scalar(0.0)
    for p in range(0, n, LANES):
        s = widen(load(scores, p))
        c = widen(load(confidences, p))
        rest = multiply_add(minus, s, two)
        total = multiply_add(s, multiply_add(c, rest, multiply(w, s)), total)
    for k in range(0, len(x), LANES):
        y = widen(load(x, k))
        d = widen(load(diagonal, k))
        total = multiply_add(multiply(minus, d), multiply(y, y), total)
    return total_of(total)


@kernel(allocates=False, forceinline=True)
def _prefetch_rows(problem, solved, position, stop):
    """Ask for what the next rows will read: their plays, old values and first factors."""
    order, plays, padded = problem.order, problem.plays, problem.padded
    if position + LANES < stop:
        begin = plays.indptr[order[position + LANES]]
        prefetch(plays.indices, begin)
        prefetch(plays.counts, begin)
    if position + 1 < stop:
        following = order[position + 1]
        begin = plays.indptr[following]
        for q in range(begin, min(begin + AHEAD, plays.indptr[following + 1])):
            start = np.int64(plays.indices[q]) * padded
            for line in range(0, padded, CACHE_LINE):
                prefetch(problem.factors, start + line)
        for line in range(0, padded, CACHE_LINE):
            prefetch(solved, following * padded + line)


@kernel(allocates=False, forceinline=True)
def _copy_plays(problem, row, copies, p, at):
    """Copy the factors of plays [p, p + 8) of a row to position `at`; zeros past its end."""
    factors, indices, padded = problem.factors, problem.plays.indices, problem.padded
    for q in range(p, p + LANES):
        to = (at + q - p) * padded
        if q + AHEAD < row.n:
            ahead = np.int64(indices[row.begin + q + AHEAD]) * padded
            for line in range(0, padded, CACHE_LINE):
                prefetch(factors, ahead + line)
        if q < row.n:
            source = np.int64(indices[row.begin + q]) * padded
            for k in range(0, padded, LANES):
                store(copies, to + k, load(factors, source + k))
        else:
            for k in range(0, padded, LANES):
                store(copies, to + k, zeros_like(copies))


@kernel(allocates=False, forceinline=True)
def _scores(plays, p, x):
    """Products of plays [p, p + 8) with x, as one vector."""
    zero = zeros_like(x)
    products = zero, zero, zero, zero, zero, zero, zero, zero
    padded = len(x)
    for k in range(0, padded, LANES):
        products = multiply_add(load8(plays, p * padded + k, padded), load(x, k), products)
    return sums(products)


@kernel(allocates=False, forceinline=True)
def _add_plays(plays, at, coefficients, p, x):
    """Add the plays at [at, at + 8), times the coefficients at [p, p + 8), to x."""
    c = broadcast8(coefficients, p, 1)
    padded = len(x)
    for k in range(0, padded, LANES):
        y = load8(plays, at * padded + k, padded)
        a = multiply_add(c[0], y[0], load(x, k))
        b = multiply(c[1], y[1])
        a = multiply_add(c[2], y[2], a)
        b = multiply_add(c[3], y[3], b)
        a = multiply_add(c[4], y[4], a)
        b = multiply_add(c[5], y[5], b)
        a = multiply_add(c[6], y[6], a)
        b = multiply_add(c[7], y[7], b)
        store(x, k, add(a, b))
