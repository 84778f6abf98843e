"""Nonnegative rows: exact nonnegative least squares, eight rows at a time.

Block principal pivoting (Kim and Park 2011, SIAM J. Sci. Comput. 33) keeps a set of passive
(positive) entries for each row, solves for these alone, and exchanges every entry that has the
wrong sign: negative x among the passive, negative gradient among the others. With no wrong sign
left the Karush-Kuhn-Tucker conditions hold and x is the one minimiser. The previous iteration's
positive entries start the search, so that two or three exchanges are usually enough.
"""

from __future__ import annotations

import numpy as np

from musicrec.als_kernels import SINGULAR, dot, normal_equations
from musicrec.jit import kernel
from musicrec.lane_algebra import factorise, panel, substitute, times_vector
from musicrec.simd import LANES, load, multiply, multiply_add, splat, store

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
    passive = np.empty((LANES, padded), np.int64)
    n_passive = np.zeros(LANES, np.int64)
    state = np.empty((LANES, 2), np.int64)
    for first in range(start, stop, LANES):
        width = min(LANES, stop - first)
        normal_equations(rows, fixed, alpha, unobserved, ws, single, offsets, at, first, width)
        active = np.int64(0)  # a bit a lane that is not solved yet
        for lane in range(LANES):
            n_passive[lane] = 0
            if lane < width:
                n_passive[lane] = first_guess(
                    ws, at, lane, solved[rows.order[first + lane]], passive[lane]
                )
                active |= 1 << lane
            state[lane, 0] = FULL_EXCHANGES
            state[lane, 1] = padded + 1
        for k in range(padded):
            store(ws, at.solution + 8 * k, splat(0.0))
        for _ in range(20 * padded + 20):  # block pivoting ends; the bound is against rounding
            solve_passive(ws, at, passive, n_passive, active, padded)
            gradient(ws, at, padded)
            for lane in range(width):
                if active >> lane & 1:
                    n_passive[lane], done = exchange(
                        ws, at, lane, passive[lane], n_passive[lane], state[lane], padded
                    )
                    if done:
                        active &= ~(1 << lane)
            if active == 0:
                break
        for k in range(rank):
            for lane in range(width):
                value = max(ws[at.solution + 8 * k + lane], 0.0)
                ws[at.solution + 8 * k + lane] = value
                solved[rows.order[first + lane], k] = value
        store(ws, at.weight, dot(ws, at.right, at.solution, padded))
        for lane in range(width):
            gains[rows.order[first + lane]] = ws[at.weight + lane]


@kernel()
def first_guess(ws, at, lane, previous, passive):  # type: ignore[no-untyped-def]
    """List the entries that were positive, or without any those that a step from 0 makes so."""
    count = 0
    for k in range(len(previous)):
        if previous[k] > 0.0:
            passive[count] = k
            count += 1
    if count == 0:
        for k in range(len(previous)):
            if ws[at.right + 8 * k + lane] > 0.0:
                passive[count] = k
                count += 1
    return count


@kernel()
def solve_passive(ws, at, passive, n_passive, active, padded):  # type: ignore[no-untyped-def]
    """Solve each active lane for its passive entries; its others become 0."""
    most = 0
    for lane in range(LANES):
        if active >> lane & 1:
            most = max(most, n_passive[lane])
    tiles = (most + 3) // 4
    for lane in range(LANES):
        count = n_passive[lane] if active >> lane & 1 else 0
        for i in range(4 * tiles):
            row = at.compact + panel(i // 4) + 8 * (i % 4) + lane
            for j in range(4 * (i // 4) + 4):
                ws[row + 32 * j] = 0.0
            if i < count:
                k = passive[lane, i]
                from_row = at.matrix + panel(k // 4) + 8 * (k % 4) + lane
                for j in range(i + 1):
                    ws[row + 32 * j] = ws[from_row + 32 * passive[lane, j]]
                ws[at.weight + 8 * i + lane] = ws[at.right + 8 * k + lane]
            else:
                ws[row + 32 * i] = 1.0
                ws[at.weight + 8 * i + lane] = 0.0
    for i in range(4 * tiles):
        diagonal = load(ws, at.compact + panel(i // 4) + 8 * (i % 4) + 32 * i)
        store(ws, at.floor + 8 * i, multiply(splat(SINGULAR), diagonal))
    factorise(ws, at.compact, at.inverse, at.floor, tiles)
    substitute(ws, at.compact, at.inverse, at.weight, at.scale, tiles)
    for lane in range(LANES):
        if active >> lane & 1:
            for k in range(padded):
                ws[at.solution + 8 * k + lane] = 0.0
            for i in range(n_passive[lane]):
                ws[at.solution + 8 * passive[lane, i] + lane] = ws[at.scale + 8 * i + lane]


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
def exchange(ws, at, lane, passive, count, state, padded):  # type: ignore[no-untyped-def]
    """Exchange the entries of wrong sign; returns the new number of passive ones, and if done.

    `state` holds the full exchanges left and the fewest wrong signs so far. When full exchanges
    stop helping, the last wrong entry alone is exchanged, which cannot cycle (Murty's rule).
    """
    largest_x = 0.0
    largest_b = 0.0
    for k in range(padded):
        largest_x = max(largest_x, abs(ws[at.solution + 8 * k + lane]))
        largest_b = max(largest_b, abs(ws[at.right + 8 * k + lane]))
    wrong = 0
    last = -1
    member = 0
    for k in range(padded):
        if member < count and passive[member] == k:
            member += 1
            bad = ws[at.solution + 8 * k + lane] < -SIGN_TOLERANCE * largest_x
        else:
            bad = ws[at.target + 8 * k + lane] < -SIGN_TOLERANCE * largest_b
        if bad:
            wrong += 1
            last = k
    if wrong == 0:
        return count, True
    if wrong < state[1]:
        state[0] = FULL_EXCHANGES
        state[1] = wrong
        last = -1
    elif state[0] > 0:
        state[0] -= 1
        last = -1
    kept = np.empty(padded, np.int64)
    n_kept = 0
    member = 0
    for k in range(padded):
        inside = member < count and passive[member] == k
        if inside:
            member += 1
            bad = ws[at.solution + 8 * k + lane] < -SIGN_TOLERANCE * largest_x
        else:
            bad = ws[at.target + 8 * k + lane] < -SIGN_TOLERANCE * largest_b
        if inside != (bad and (last == -1 or last == k)):
            kept[n_kept] = k
            n_kept += 1
    passive[:n_kept] = kept[:n_kept]
    return n_kept, False
