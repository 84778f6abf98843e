"""Nonnegative rows: exact nonnegative least squares, eight rows at a time.

Block principal pivoting (Kim and Park 2011, SIAM J. Sci. Comput. 33) keeps a set of passive
(positive) entries for each row, solves for these alone, and exchanges every entry that has the
wrong sign: negative x among the passive, negative gradient among the others. With no wrong sign
left the Karush-Kuhn-Tucker conditions hold and x is the one minimiser. The previous iteration's
positive entries start the search, so that two or three exchanges are usually enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.als.cholesky import (
    TILE_ROWS,
    cell,
    diagonal,
    entry,
    factorise,
    panel,
    substitute,
    times_vector,
    vector,
)
from musicrec.als.exact import dot, normal_equations
from musicrec.als.lanes import (
    LANES,
    add,
    aligned_parts,
    from_scalar,
    load,
    load4,
    multiply,
    multiply_add,
    store,
    store_each,
)
from musicrec.als.problem import Workspace, batch_at, workspace
from musicrec.jit.kernel import kernel

FULL_EXCHANGES = 3  # without progress, before going one entry at a time (as the authors' code)
SIGN_TOLERANCE = 1e-12  # of the largest entry: a smaller wrong sign is float64's rounding


class Pivoting(NamedTuple):
    """Where the search for the positive ("passive") entries of eight rows stands.

    passive, wrong : bool (padded, LANES), entries taken to be positive; entries of wrong sign
    positions : int64 (LANES, padded), the passive entries of each row, ascending
    n_passive, n_wrong : int64 (LANES)
    patience : int64 (LANES), full exchanges left without progress
    fewest : int64 (LANES), the fewest wrong signs so far
    matrix, right, solution : float64, the part of the system that belongs to the passive entries
    gradient : float64, A x - b
    least_x, least_gradient : float64 (LANES), what is still rounding of 0
    """

    passive: np.ndarray
    wrong: np.ndarray
    positions: np.ndarray
    n_passive: np.ndarray
    n_wrong: np.ndarray
    patience: np.ndarray
    fewest: np.ndarray
    matrix: np.ndarray
    right: np.ndarray
    solution: np.ndarray
    gradient: np.ndarray
    least_x: np.ndarray
    least_gradient: np.ndarray


def nonnegative_workspace(padded: int) -> tuple[Workspace, Pivoting]:
    """Allocate a thread's memory for a padded rank: that of any exact solver, and the search's."""
    systems = workspace(padded)
    sizes = [systems.matrix.size, *(LANES * padded,) * 3, *(LANES,) * 2]
    passive, wrong = np.empty((2, padded, LANES), np.bool_)
    positions = np.empty((LANES, padded), np.int64)
    counts = np.empty((4, LANES), np.int64)
    return systems, Pivoting(passive, wrong, positions, *counts, *aligned_parts(sizes))


@kernel(allocates=False)
def solve_rows_nonnegative(problem, shared, memory, out, start, stop):
    """Solve `problem.order[start:stop]` exactly under x >= 0.

    Takes what `exact.solve_rows` takes, but the memory of both, and `shared` in its own
    coordinates (`basis` the unit matrix); the positive entries of `out.factors` start the search.
    """
    work, pivoting = memory
    for first in range(start, stop, LANES):
        batch = batch_at(problem, first, stop)
        normal_equations(problem, shared, batch, work)
        pivoting.passive[:] = False
        for lane in range(batch.width):
            previous = out.factors[problem.order[first + lane]]
            _first_guess(work.right, lane, previous, pivoting.passive)
        _search(work, pivoting, batch.width, problem.padded)
        for k in range(out.factors.shape[1]):
            for lane in range(batch.width):
                value = max(work.solution[vector(k) + lane], 0.0)  # without rounding below 0
                work.solution[vector(k) + lane] = value
                out.factors[problem.order[first + lane], k] = value
        store(work.scratch, 0, dot(work.right, work.solution, problem.padded))
        for lane in range(batch.width):
            out.gains[problem.order[first + lane]] = work.scratch[lane]


@kernel(allocates=False, forceinline=True)
def _search(work, pivoting, width, padded):
    """Exchange entries until no sign is wrong; leaves x in `work.solution`."""
    pivoting.patience[:] = FULL_EXCHANGES
    pivoting.fewest[:] = padded + 1
    for k in range(padded):
        store(work.solution, vector(k), from_scalar(0.0))
    active = np.int64((1 << width) - 1)  # a bit a lane that is not solved yet
    for _ in range(20 * padded + 20):  # block pivoting ends; the bound is against rounding
        _solve_passive(work, pivoting, active, padded)
        _gradient(work, pivoting, padded)
        active = _exchange(work, pivoting, active, padded)
        if active == 0:
            break


@kernel(allocates=False, forceinline=True)
def _first_guess(right, lane, previous, passive):
    """Take the entries that were positive, or without any those that a step from 0 makes so."""
    some = False
    for k in range(len(previous)):
        passive[k, lane] = previous[k] > 0.0
        some |= previous[k] > 0.0
    if not some:
        for k in range(len(previous)):
            passive[k, lane] = right[vector(k) + lane] > 0.0


@kernel(allocates=False, forceinline=True)
def _solve_passive(work, pivoting, active, padded):
    """Solve each active lane for its passive entries; its others become 0."""
    passive, positions, n_passive = pivoting.passive, pivoting.positions, pivoting.n_passive
    n_passive[:] = 0
    most = 0
    for lane in range(LANES):
        if active >> lane & 1:
            for k in range(padded):
                positions[lane, n_passive[lane]] = k
                n_passive[lane] += passive[k, lane]
            most = max(most, n_passive[lane])
    tiles = (most + 3) // TILE_ROWS
    _select_passive(work, pivoting, tiles)
    factorise(pivoting.matrix, work.inverse, tiles)
    substitute(pivoting.matrix, work.inverse, pivoting.right, pivoting.solution, tiles)
    for lane in range(LANES):
        if active >> lane & 1:
            for k in range(padded):
                work.solution[vector(k) + lane] = 0.0
            for i in range(n_passive[lane]):
                value = pivoting.solution[vector(i) + lane]
                work.solution[vector(positions[lane, i]) + lane] = value


@kernel(allocates=False, forceinline=True)
def _select_passive(work, pivoting, tiles):
    """Copy the passive rows and columns of each lane's system; the rest is a unit matrix."""
    for start in range(0, panel(tiles), LANES):
        store(pivoting.matrix, start, from_scalar(0.0))
    for i in range(4 * tiles):
        store(pivoting.right, vector(i), from_scalar(0.0))
    for lane in range(LANES):
        n = pivoting.n_passive[lane]
        position = pivoting.positions[lane]
        for i in range(n):
            row = entry(i, 0) + lane
            whole_row = entry(position[i], 0) + lane
            for j in range(i + 1):
                value = work.matrix[whole_row + cell(0, position[j])]
                pivoting.matrix[row + cell(0, j)] = value
            pivoting.right[vector(i) + lane] = work.right[vector(position[i]) + lane]
        for i in range(n, 4 * tiles):
            pivoting.matrix[diagonal(i) + lane] = 1.0


@kernel(allocates=False, forceinline=True)
def _gradient(work, pivoting, padded):
    """Write A x - b of each lane to `pivoting.gradient`."""
    matrix, x, gradient = work.matrix, work.solution, pivoting.gradient
    minus = from_scalar(-1.0)
    for k in range(padded):
        store(gradient, vector(k), multiply(minus, load(work.right, vector(k))))
    for i in range(padded // TILE_ROWS):
        own = vector(4 * i)
        product = times_vector(matrix, panel(i), 4 * i + 4, x)
        store_each(gradient, own, LANES, add(product, load4(gradient, own, LANES)))
        x0, x1, x2, x3 = load4(x, own, LANES)
        for p in range(4 * i):  # the upper triangle, by symmetry
            a0, a1, a2, a3 = load4(matrix, panel(i) + cell(0, p), LANES)
            total = multiply_add(a0, x0, load(gradient, vector(p)))
            total = multiply_add(a1, x1, total)
            total = multiply_add(a2, x2, total)
            store(gradient, vector(p), multiply_add(a3, x3, total))


@kernel(allocates=False, forceinline=True)
def _exchange(work, pivoting, active, padded):
    """Exchange the entries of wrong sign; returns which lanes are not solved yet.

    When full exchanges stop helping, the last wrong entry alone is exchanged, which cannot cycle
    (Murty's rule).
    """
    _find_wrong(work, pivoting, padded)
    n_wrong, patience, fewest = pivoting.n_wrong, pivoting.patience, pivoting.fewest
    for lane in range(LANES):
        if not active >> lane & 1:
            continue
        if n_wrong[lane] == 0:
            active &= ~(1 << lane)
            continue
        full = True
        if n_wrong[lane] < fewest[lane]:
            patience[lane] = FULL_EXCHANGES
            fewest[lane] = n_wrong[lane]
        elif patience[lane] > 0:
            patience[lane] -= 1
        else:
            full = False
        for k in range(padded - 1, -1, -1):
            if pivoting.wrong[k, lane]:
                pivoting.passive[k, lane] = not pivoting.passive[k, lane]
                if not full:
                    break
    return active


@kernel(allocates=False, forceinline=True)
def _find_wrong(work, pivoting, padded):
    """Mark and count the entries of wrong sign, beyond rounding, of every lane."""
    x, right, gradient = work.solution, work.right, pivoting.gradient
    least_x, least_gradient = pivoting.least_x, pivoting.least_gradient
    least_x[:] = 0.0
    least_gradient[:] = 0.0
    for k in range(padded):
        for lane in range(LANES):
            least_x[lane] = max(least_x[lane], abs(x[vector(k) + lane]))
            least_gradient[lane] = max(least_gradient[lane], abs(right[vector(k) + lane]))
    for lane in range(LANES):
        least_x[lane] *= -SIGN_TOLERANCE
        least_gradient[lane] *= -SIGN_TOLERANCE
    passive, wrong, n_wrong = pivoting.passive, pivoting.wrong, pivoting.n_wrong
    n_wrong[:] = 0
    for k in range(padded):
        for lane in range(LANES):
            low_x = x[vector(k) + lane] < least_x[lane]
            low_gradient = gradient[vector(k) + lane] < least_gradient[lane]
            wrong[k, lane] = low_x if passive[k, lane] else low_gradient
            n_wrong[lane] += wrong[k, lane]
