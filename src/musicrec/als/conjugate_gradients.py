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
    broadcast,
    cast_like,
    from_scalar,
    load,
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
# The next two are chosen on data, see docs/als.md: a thousandth among a hundredth, a thousandth
# and a ten-thousandth; a fixed three steps ended up to 34 % above the exact solver's loss.
ENOUGH = 1e-3  # of what a row can gain at most by its first gradient: what may be left to gain
MOST_STEPS = 30
MOST_HELD = 1 << 24  # entries of copied plays, 64 MB a thread; a longer row copies anew each step
NEGLIGIBLE = 1e-9  # of a row's loss at zero: a step that can gain no more is not taken


class StepWorkspace(NamedTuple):
    """A thread's memory for one row: flat float32 arrays.

    Attributes
    ----------
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

    Parameters
    ----------
    problem : Problem
        `padded` is a multiple of eight.
    shared : float32 array (padded)
        w G of `problem.factors`, which is diagonal.
    work : StepWorkspace
        For the longest of the rows.
    out : Solution
        `factors`, float32 (n_rows, padded), are improved in place.
    start, stop : int
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
        _improve(problem, row, work)
        if len(out.gains):
            out.gains[index] = _gain(n, problem.unobserved, work)
        for k in range(0, padded, LANES):
            store(factors, index * padded + k, load(x, k))


@kernel(allocates=False)
def _set_diagonal(shared, reg, work):
    """Write D and its reciprocal."""
    diagonal, inverse = work.diagonal, work.inverse
    ridge = cast_like(diagonal, from_scalar(reg))
    for k in range(0, len(shared), LANES):
        d = add(load(shared, k), ridge)
        store(diagonal, k, d)
        store(inverse, k, reciprocal(d))


@kernel(allocates=False)
def _improve(problem, row, work):
    """Improve `work.x`; leaves its scores in `work.score`."""
    most = _set_confidences(problem, row, work)
    slope = _first_direction(problem, row, work)
    enough = max(NEGLIGIBLE * most, ENOUGH * slope)
    for _ in range(MOST_STEPS):
        if slope <= enough:
            break
        slope = _step(problem, row, work, slope)


@kernel(allocates=False)
def _first_direction(problem, row, work):
    """Copy the plays, and write their scores, the residual and the preconditioned direction.

    Returns g D^-1 g of the gradient g.
    """
    x, residual, direction, diagonal = work.x, work.residual, work.direction, work.diagonal
    plays, scores, coefficients = work.plays, work.score, work.coefficient
    weights, confidences, inverse = work.weight, work.confidence, work.inverse
    padded = problem.padded
    minus = cast_like(x, from_scalar(-1.0))
    for k in range(0, padded, LANES):
        store(residual, k, multiply(minus, multiply(load(diagonal, k), load(x, k))))
    held = row.whole * padded <= len(plays)
    for p in range(0, row.whole, LANES):
        at = p if held else 0
        _copy_plays(problem, row, plays, p, at)
        score = _scores(plays, at, x)
        store(scores, p, score)
        weight = multiply(minus, load(weights, p))
        store(coefficients, p, multiply_add(weight, score, load(confidences, p)))
        _add_plays(plays, at, coefficients, p, residual)
    total = zeros_like(x)
    for k in range(0, padded, LANES):
        r = load(residual, k)
        d = multiply(r, load(inverse, k))
        store(direction, k, d)
        total = multiply_add(r, d, total)
    return total_of(widen(total))


@kernel(allocates=False)
def _step(problem, row, work, slope):
    """Go along the direction to its minimum, choose the next one, and return its slope."""
    x, residual, direction, image = work.x, work.residual, work.direction, work.image
    diagonal, inverse, scores, changes = work.diagonal, work.inverse, work.score, work.change
    plays, weights, coefficients = work.plays, work.weight, work.coefficient
    for k in range(0, len(x), LANES):
        store(image, k, multiply(load(direction, k), load(diagonal, k)))
    held = row.whole * problem.padded <= len(plays)
    for p in range(0, row.whole, LANES):
        at = p
        if not held:
            at = 0
            _copy_plays(problem, row, plays, p, at)
        change = _scores(plays, at, direction)
        store(changes, p, change)
        store(coefficients, p, multiply(change, load(weights, p)))
        _add_plays(plays, at, coefficients, p, image)
    total = zeros_like(x)
    for k in range(0, len(x), LANES):
        total = multiply_add(load(direction, k), load(image, k), total)
    length = slope / total_of(widen(total))
    forward = cast_like(x, from_scalar(length))
    back = cast_like(x, from_scalar(-length))
    for p in range(0, row.whole, LANES):
        store(scores, p, multiply_add(forward, load(changes, p), load(scores, p)))
    total = zeros_like(x)
    for k in range(0, len(x), LANES):
        store(x, k, multiply_add(forward, load(direction, k), load(x, k)))
        r = multiply_add(back, load(image, k), load(residual, k))
        store(residual, k, r)
        z = multiply(r, load(inverse, k))
        store(image, k, z)
        total = multiply_add(r, z, total)
    following = total_of(widen(total))
    ratio = cast_like(x, from_scalar(following / slope))
    for k in range(0, len(x), LANES):
        store(direction, k, multiply_add(ratio, load(direction, k), load(image, k)))
    return following


@kernel(allocates=False)
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


@kernel(allocates=False)
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


@kernel(allocates=False)
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


@kernel(allocates=False)
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


@kernel(allocates=False)
def _scores(plays, p, x):
    """Products of plays [p, p + 8) with x, as one vector."""
    s0 = zeros_like(x)
    s1 = zeros_like(x)
    s2 = zeros_like(x)
    s3 = zeros_like(x)
    s4 = zeros_like(x)
    s5 = zeros_like(x)
    s6 = zeros_like(x)
    s7 = zeros_like(x)
    padded = len(x)
    for k in range(0, padded, LANES):
        v = load(x, k)
        y = p * padded + k
        s0 = multiply_add(load(plays, y), v, s0)
        s1 = multiply_add(load(plays, y + padded), v, s1)
        s2 = multiply_add(load(plays, y + 2 * padded), v, s2)
        s3 = multiply_add(load(plays, y + 3 * padded), v, s3)
        s4 = multiply_add(load(plays, y + 4 * padded), v, s4)
        s5 = multiply_add(load(plays, y + 5 * padded), v, s5)
        s6 = multiply_add(load(plays, y + 6 * padded), v, s6)
        s7 = multiply_add(load(plays, y + 7 * padded), v, s7)
    return sums((s0, s1, s2, s3, s4, s5, s6, s7))


@kernel(allocates=False)
def _add_plays(plays, at, coefficients, p, x):
    """Add the plays at [at, at + 8), times the coefficients at [p, p + 8), to x."""
    c0 = broadcast(coefficients, p)
    c1 = broadcast(coefficients, p + 1)
    c2 = broadcast(coefficients, p + 2)
    c3 = broadcast(coefficients, p + 3)
    c4 = broadcast(coefficients, p + 4)
    c5 = broadcast(coefficients, p + 5)
    c6 = broadcast(coefficients, p + 6)
    c7 = broadcast(coefficients, p + 7)
    padded = len(x)
    for k in range(0, padded, LANES):
        y = at * padded + k
        a = multiply_add(c0, load(plays, y), load(x, k))
        b = multiply(c1, load(plays, y + padded))
        a = multiply_add(c2, load(plays, y + 2 * padded), a)
        b = multiply_add(c3, load(plays, y + 3 * padded), b)
        a = multiply_add(c4, load(plays, y + 4 * padded), a)
        b = multiply_add(c5, load(plays, y + 5 * padded), b)
        a = multiply_add(c6, load(plays, y + 6 * padded), a)
        b = multiply_add(c7, load(plays, y + 7 * padded), b)
        store(x, k, add(a, b))
