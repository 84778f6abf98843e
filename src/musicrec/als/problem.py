"""What the compiled half steps work on: the rows to solve, and a thread's memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.als.cholesky import TILE_ROWS, vector
from musicrec.als.lanes import LANES, aligned, aligned_parts, prefetch
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel

# Plays gathered at a time: enough work between two passes over the matrix, while the panels of
# eight rows fill 128 KB of float32 at rank 128, less than a second-level cache.
CHUNK = 32
SHORT_ROW = 64  # plays of a row that is solved in their space, up to rank 128
LONGEST_SHORT_ROW = 512  # and at any rank: half the rank, which halves the operations or better
TINY_WEIGHT = 1e-30  # stands for weight 0 (alpha 0): no effect on the matrix, yet has a root
CACHE_LINE = 16  # float32 entries


class Problem(NamedTuple):
    """The rows of one side to solve, given the factors of the other.

    order : int64, the rows with plays, longest first
    plays : Interactions, rows x fixed rows
    reg : float64 by row, the weight of its squared norm
    factors : float32, flat; the fixed rows, of `padded` entries each
    padded : rank, rounded up to whole tiles or vectors
    alpha, unobserved : a play of r weighs 1 + alpha r, a pair without play `unobserved`
    """

    order: np.ndarray
    plays: Interactions
    reg: np.ndarray
    factors: np.ndarray
    padded: int
    alpha: float
    unobserved: float


class SharedTerm(NamedTuple):
    """The quadratic term that all rows share, over every fixed row; float64 (padded, padded).

    gram : unobserved_weight times the sum of the outer products, in the coordinates of `basis`
    basis : its columns are the new axes
    least : (1), the smallest eigenvalue
    """

    gram: np.ndarray
    basis: np.ndarray
    least: np.ndarray


class Solution(NamedTuple):
    """Where kernels write.

    factors : float32 (n_rows, rank)
    gains : float64 by row, what it takes off the loss of the zero factor
    """

    factors: np.ndarray
    gains: np.ndarray


class Batch(NamedTuple):
    """Up to eight rows solved together, `order[first:first + width]`; the longest's plays."""

    first: int
    width: int
    longest: int


class Workspace(NamedTuple):
    """A thread's memory for eight rows; flat arrays of one vector an entry, float64 but for one.

    singles, doubles : a full matrix of the weighted factors of a batch's plays, float32 or float64:
        factors x plays of a chunk, or plays x factors of short rows
    scale : D^(-1/2) of short rows
    starts : int64; by play, where its factors start in each lane
    matrix : a packed triangle; the system, then its Cholesky factor
    inverse : reciprocals of the factor's diagonal
    right, solution : right side; x, in the coordinates of the shared term
    rotated : x in its own coordinates
    root, target : by play, c^(1/2) and (1 + alpha r) c^(-1/2)
    dual : by play, the solution u of a short row's system
    scratch : one vector, to reach its lanes
    """

    singles: np.ndarray
    doubles: np.ndarray
    scale: np.ndarray
    starts: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray
    right: np.ndarray
    solution: np.ndarray
    rotated: np.ndarray
    root: np.ndarray
    target: np.ndarray
    dual: np.ndarray
    scratch: np.ndarray


@kernel(allocates=False)
def longest_short_row(padded):
    """The most plays of a row that is solved in the space of its plays; of whole tiles."""
    half = padded // 2 // TILE_ROWS * TILE_ROWS
    return min(padded, min(LONGEST_SHORT_ROW, max(SHORT_ROW, half)))


def workspace(padded: int) -> Workspace:
    """Allocate a thread's memory for a padded rank: every array starts at a cache line."""
    plays = max(CHUNK, longest_short_row(padded))
    entries = LANES * max(padded, plays)
    triangle = LANES * padded * (padded + 4) // 2
    panels = LANES * padded * plays
    singles = aligned(panels, np.float32)
    starts = np.zeros(LANES * plays, np.int64)
    doubles, scale, *parts = aligned_parts(
        [panels, LANES * padded, triangle, *(entries,) * 7, LANES]
    )
    return Workspace(singles, doubles, scale, starts, *parts)


@kernel(allocates=False, forceinline=True)
def batch_at(problem, first, stop):
    """The batch of up to eight rows before position `stop` that starts at position `first`."""
    width = min(LANES, stop - first)
    longest = 0
    for lane in range(width):
        row = problem.order[first + lane]
        longest = max(longest, problem.plays.indptr[row + 1] - problem.plays.indptr[row])
    return Batch(first, width, longest)


@kernel(allocates=False, forceinline=True)
def read_plays(problem, batch, work, done, n):
    """Fetch plays [done, done + n) of each lane's row.

    For play p the vectors of `work.root` and `work.target` get c^(1/2) and (1 + alpha r) c^(-1/2),
    those of `work.starts` where the plays' factors start. A lane whose row has ended gets zeros,
    which change nothing.
    """
    indptr, indices, counts = problem.plays.indptr, problem.plays.indices, problem.plays.counts
    factors, root, target, starts = problem.factors, work.root, work.target, work.starts
    for lane in range(LANES):
        begin, left = 0, 0
        if lane < batch.width:
            row = problem.order[batch.first + lane]
            begin = indptr[row] + done
            left = max(0, min(n, indptr[row + 1] - begin))
        for p in range(left):
            confidence = 1.0 + problem.alpha * counts[begin + p]
            weight_root = np.sqrt(max(confidence - problem.unobserved, TINY_WEIGHT))
            root[vector(p) + lane] = weight_root
            target[vector(p) + lane] = confidence / weight_root
            start = np.int64(indices[begin + p]) * problem.padded
            starts[vector(p) + lane] = start
            for line in range(0, problem.padded, CACHE_LINE):
                prefetch(factors, start + line)
        for p in range(left, n):
            root[vector(p) + lane] = 0.0
            target[vector(p) + lane] = 0.0
            starts[vector(p) + lane] = 0
