"""Nonnegative rows: exact nonnegative least squares, eight rows at a time.

Block principal pivoting (Kim and Park 2011, SIAM J. Sci. Comput. 33) keeps a set of passive
(positive) entries for each row, solves for these alone, and exchanges every entry that has the
wrong sign: negative x among the passive, negative gradient among the others. With no wrong sign
left the Karush-Kuhn-Tucker conditions hold and x is the one minimiser. The previous iteration's
positive entries start the search, so that two or three exchanges are usually enough.
"""

from __future__ import annotations

import numpy as np

from musicrec.als.cholesky import SINGULAR, dot, normal_equations
from musicrec.als.lane_cholesky import factorise, panel, substitute, times_vector
from musicrec.als.lanes import LANES, load, multiply, multiply_add, splat, store
from musicrec.jit import kernel

FULL_EXCHANGES = 3  # exchanges without progress before going one entry at a time
SIGN_TOLERANCE = 1e-12  # of the largest entry: below this a wrong sign is rounding


@kernel()
def solve_rows_nonnegative(  # type: ignore[no-untyped-def]
    rows, fixed, alpha, unobserved, ws, single, offsets, at, solved, gains, start, stop
):
    """Solve `rows.order[start:stop]` exactly under x >= 0.

    Takes what `als_kernels.solve_rows` takes, with `fixed` in its own coordinates; the positive
    entries of `solved` start the search.
    """
    padded = fixed.gram.shape[0]
    rank = solved.shape[1]
    passive = np.empty((padded, LANES), np.bool_)
    wrong = np.empty((padded, LANES), np.bool_)
    places = np.empty((LANES, padded), np.int64)
    state = np.empty((LANES, 2), np.int64)
    for first in range(start, stop, LANES):
        width = min(LANES, stop - first)
        normal_equations(rows, fixed, alpha, unobserved, ws, single, offsets, at, first, width)
        passive[:] = False
        for lane in range(width):
            first_guess(ws, at, lane, solved[rows.order[first + lane]], passive)
        state[:, 0] = FULL_EXCHANGES
        state[:, 1] = padded + 1
        for k in range(padded):
            store(ws, at.solution + 8 * k, splat(0.0))
        active = np.int64((1 << width) - 1)  # a bit a lane that is not solved yet
        for _ in range(20 * padded + 20):  # block pivoting ends; the bound is against rounding
            solve_passive(ws, at, passive, places, active, padded)
            gradient(ws, at, padded)
            active = exchange(ws, at, passive, wrong, state, active, padded)
            if active == 0:
                break
        for k in range(rank):
            for lane in range(width):
                value = max(ws[at.solution + 8 * k + lane], 0.0)
                ws[at.solution + 8 * k + lane] = value
                solved[rows.order[first + lane], k] = value
        if len(gains):
            store(ws, at.weight, dot(ws, at.right, at.solution, padded))
            for lane in range(width):
                gains[rows.order[first + lane]] = ws[at.weight + lane]


@kernel()
def first_guess(ws, at, lane, previous, passive):  # type: ignore[no-untyped-def]
    """Take the entries that were positive, or without any those that a step from 0 makes so."""
    some = False
    for k in range(len(previous)):
        passive[k, lane] = previous[k] > 0.0
        some |= previous[k] > 0.0
    if not some:
        for k in range(len(previous)):
            passive[k, lane] = ws[at.right + 8 * k + lane] > 0.0


@kernel()
def solve_passive(ws, at, passive, places, active, padded):  # type: ignore[no-untyped-def]
    """Solve each active lane for its passive entries, listed in `places`; its others become 0."""
    counts = np.zeros(LANES, np.int64)
    for lane in range(LANES):
        if active >> lane & 1:
            for k in range(padded):
                places[lane, counts[lane]] = k
                counts[lane] += passive[k, lane]
    tiles = (counts.max() + 3) // 4
    for entry in range(0, panel(tiles), 8):
        store(ws, at.compact + entry, splat(0.0))
    for i in range(4 * tiles):
        store(ws, at.weight + 8 * i, splat(0.0))
    for lane in range(LANES):
        place = places[lane, : counts[lane]]
        for i in range(len(place)):
            row = at.compact + panel(i // 4) + 8 * (i % 4) + lane
            k = place[i]
            from_row = at.matrix + panel(k // 4) + 8 * (k % 4) + lane
            for j in range(i + 1):
                ws[row + 32 * j] = ws[from_row + 32 * place[j]]
            ws[at.weight + 8 * i + lane] = ws[at.right + 8 * k + lane]
        for i in range(len(place), 4 * tiles):
            ws[at.compact + panel(i // 4) + 8 * (i % 4) + 32 * i + lane] = 1.0
    for i in range(4 * tiles):
        diagonal = load(ws, at.compact + panel(i // 4) + 8 * (i % 4) + 32 * i)
        store(ws, at.floor + 8 * i, multiply(splat(SINGULAR), diagonal))
    factorise(ws, at.compact, at.inverse, at.floor, tiles)
    substitute(ws, at.compact, at.inverse, at.weight, at.scale, tiles)
    for lane in range(LANES):
        if active >> lane & 1:
            for k in range(padded):
                ws[at.solution + 8 * k + lane] = 0.0
            for i in range(counts[lane]):
                ws[at.solution + 8 * places[lane, i] + lane] = ws[at.scale + 8 * i + lane]


@kernel()
def gradient(ws, at, padded):  # type: ignore[no-untyped-def]
    """Write A x - b of each lane at `at.target`."""
    minus = splat(-1.0)
    for k in range(padded):
        store(ws, at.target + 8 * k, multiply(minus, load(ws, at.right + 8 * k)))
    for i in range(padded // 4):
        row = at.matrix + panel(i)
        s0, s1, s2, s3 = times_vector(ws, row, 4 * i + 4, ws, at.solution)
        one = splat(1.0)
        to = at.target + 32 * i
        store(ws, to, multiply_add(one, s0, load(ws, to)))
        store(ws, to + 8, multiply_add(one, s1, load(ws, to + 8)))
        store(ws, to + 16, multiply_add(one, s2, load(ws, to + 16)))
        store(ws, to + 24, multiply_add(one, s3, load(ws, to + 24)))
        x0 = load(ws, at.solution + 32 * i)
        x1 = load(ws, at.solution + 32 * i + 8)
        x2 = load(ws, at.solution + 32 * i + 16)
        x3 = load(ws, at.solution + 32 * i + 24)
        for p in range(4 * i):  # the upper triangle, by symmetry
            to = at.target + 8 * p
            total = multiply_add(load(ws, row + 32 * p), x0, load(ws, to))
            total = multiply_add(load(ws, row + 32 * p + 8), x1, total)
            total = multiply_add(load(ws, row + 32 * p + 16), x2, total)
            store(ws, to, multiply_add(load(ws, row + 32 * p + 24), x3, total))


@kernel()
def exchange(ws, at, passive, wrong, state, active, padded):  # type: ignore[no-untyped-def]
    """Exchange the entries of wrong sign; returns which lanes are not solved yet.

    `state` holds for each lane the full exchanges left and the fewest wrong signs so far. When
    full exchanges stop helping, the last wrong entry alone is exchanged, which cannot cycle
    (Murty's rule). `wrong` is overwritten.
    """
    x = ws[at.solution : at.solution + 8 * padded].reshape(padded, LANES)
    slope = ws[at.target : at.target + 8 * padded].reshape(padded, LANES)
    right = ws[at.right : at.right + 8 * padded].reshape(padded, LANES)
    least_x = np.zeros(LANES)
    least_slope = np.zeros(LANES)
    for k in range(padded):
        for lane in range(LANES):
            least_x[lane] = max(least_x[lane], abs(x[k, lane]))
            least_slope[lane] = max(least_slope[lane], abs(right[k, lane]))
    least_x *= -SIGN_TOLERANCE
    least_slope *= -SIGN_TOLERANCE
    count = np.zeros(LANES, np.int64)
    for k in range(padded):
        for lane in range(LANES):
            low_x = x[k, lane] < least_x[lane]
            low_slope = slope[k, lane] < least_slope[lane]
            wrong[k, lane] = low_x if passive[k, lane] else low_slope
            count[lane] += wrong[k, lane]
    for lane in range(LANES):
        if not active >> lane & 1:
            continue
        if count[lane] == 0:
            active &= ~(1 << lane)
            continue
        full = True
        if count[lane] < state[lane, 1]:
            state[lane, 0] = FULL_EXCHANGES
            state[lane, 1] = count[lane]
        elif state[lane, 0] > 0:
            state[lane, 0] -= 1
        else:
            full = False
        for k in range(padded - 1, -1, -1):
            if wrong[k, lane]:
                passive[k, lane] = not passive[k, lane]
                if not full:
                    break
    return active
