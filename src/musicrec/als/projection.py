"""Starting factors that know the plays: random ones, sent to the tracks and back.

Users who share tracks start alike. Such a start spans much of what the leading singular vectors of
the plays span, which a fit from random factors finds only after some iterations (the randomized
range finder; Halko, Martinsson and Tropp, SIAM Review 53(2), 2011, with rows of unit length in
place of orthonormal columns). Counts play no part, so that no heavy listener decides.
"""

from __future__ import annotations

import numpy as np

from musicrec.als.conjugate_gradients import AHEAD
from musicrec.als.half_step import ROW_BLOCKS
from musicrec.als.lanes import prefetch
from musicrec.als.problem import CACHE_LINE
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.jit.splitmix import STEP, mix

LENGTH = np.float32(0.3)  # of a user's start; see docs/als.md
SIGNS = 64  # of a random number


def projected_users(
    plays: tuple[Interactions, Interactions], rank: int, seed: int, threads: int | None = None
) -> np.ndarray:
    """Sum random signs of the users over each track, and these over each user's tracks.

    Takes as long as two passes over the plays, and memory for the factors of the tracks. The bits
    are the same for any number of threads.

    Parameters
    ----------
    plays : tuple of Interactions
        By user, and the same by track.

    Returns
    -------
    float32 array (n_users, rank)
        Rows of length 0.3; zero for users without plays.
    """
    salt = np.uint64(seed * int(STEP) % 2**64)  # the rows of two seeds lie apart
    by_user, by_item = plays
    users = np.empty((by_user.n_users, rank), np.float32)
    items = np.empty((by_user.n_items, rank), np.float32)

    def fill(start: int, stop: int) -> None:
        _fill_signs(users, salt, start, stop)

    for_blocks(fill, blocks(len(users), _step(len(users))), threads)
    _gather(by_item, users, items, salt, threads)
    _gather(by_user, items, users, salt, threads)
    users *= LENGTH
    return users


def _gather(
    plays: Interactions,
    table: np.ndarray,
    out: np.ndarray,
    salt: np.uint64,
    threads: int | None,
) -> None:
    """Write for every row the sum of its plays' rows of `table`, at unit length."""

    def work(start: int, stop: int) -> None:
        _sum_rows(plays, table, out, salt, (start, stop))

    for_blocks(work, blocks(plays.n_users, _step(plays.n_users)), threads)


def _step(n: int) -> int:
    return max(1, -(-n // ROW_BLOCKS))


@kernel(allocates=False)
def _fill_signs(rows, salt, start, stop):
    """Fill rows [start, stop) with 1 and -1, a random bit each."""
    rank = rows.shape[1]
    for row in range(start, stop):
        state = mix(salt + np.uint64(row) + np.uint64(1))
        for first in range(0, rank, SIGNS):
            bits = mix(state + np.uint64(first))
            for k in range(first, min(first + SIGNS, rank)):
                rows[row, k] = np.float32(1.0) if bits & np.uint64(1) else np.float32(-1.0)
                bits >>= np.uint64(1)


@kernel(allocates=False)
def _sum_rows(plays, table, out, salt, span):
    """Do rows [span[0], span[1]); signs where the plays cancel, since ALS never leaves zero."""
    rank, flat = table.shape[1], table.reshape(-1)
    for row in range(span[0], span[1]):
        for k in range(rank):
            out[row, k] = np.float32(0.0)
        for place in range(plays.indptr[row], plays.indptr[row + 1]):
            if place + AHEAD < len(plays.indices):
                ahead = np.int64(plays.indices[place + AHEAD]) * rank
                for line in range(0, rank, CACHE_LINE):
                    prefetch(flat, ahead + line)
            index = plays.indices[place]
            for k in range(rank):
                out[row, k] += table[index, k]
        squares = np.float64(0.0)
        for k in range(rank):
            squares += np.float64(out[row, k]) * np.float64(out[row, k])
        if squares == 0.0 and plays.indptr[row] < plays.indptr[row + 1]:
            _fill_signs(out, salt, row, row + 1)
            squares = np.float64(rank)
        if squares > 0.0:
            scale = np.float32(1.0) / np.float32(np.sqrt(squares))
            for k in range(rank):
                out[row, k] *= scale
