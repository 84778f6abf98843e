"""The exact form of EASE: one dense inverse, of as many rows as there are users or tracks.

Whichever are fewer: by tracks P = (X^T X + reg I)^-1; by users (the Woodbury identity)
P = (I - X^T K X) / reg with K = (X X^T + reg I)^-1, so that the score of a track j outside
history h is x_j^T K X h / (1 - x_j^T K x_j), x_j its column; see `musicrec.baselines.ease`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from musicrec.baselines.best import offer, sort_best_first
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.params import BaselinesParams

_USERS_A_BLOCK = 64  # a fixed number: products of other shapes may be summed in another order
_ITEMS_A_BLOCK = 256


class Solved(NamedTuple):
    """What scores are made of.

    Attributes
    ----------
    columns : Interactions (n_items, n)
        Each item's rows of `inverse`: its users, or by items the item itself.
    inverse : float64 array (n, n)
        K or P.
    scale : float64 array (n_items)
        The score of item j is `scale[j]` times the sum over its rows of `inverse` times the sum
        of the history's columns.
    """

    columns: Interactions
    inverse: np.ndarray
    scale: np.ndarray


def recommend_exact(
    train: Interactions,
    history: Interactions,
    k: int,
    params: BaselinesParams,
    threads: int | None = None,
) -> np.ndarray:
    """Recommend by the exact form; see `musicrec.baselines.ease.recommend_ease`."""
    solved = solve(train, params.ease_reg, threads)
    lists = np.full((history.n_users, k), -1, np.int32)
    listeners = train.users_of()

    def fill(start: int, stop: int) -> None:
        sums = np.zeros((len(solved.inverse), stop - start))
        _sum_columns(solved.columns, history, start, sums)
        _rank(solved, solved.inverse @ sums, listeners, (history, start), lists)

    with threadpool_limits(1, user_api="blas"):
        for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK), threads)
    return lists


def solve(train: Interactions, reg: float, threads: int | None = None) -> Solved:
    """Invert by users or by tracks, whichever are fewer.

    Memory is one float64 matrix of n x n, time n^3 operations for n the smaller number.
    """
    ones = np.ones(len(train.indices))
    shape = (train.n_users, train.n_items)
    matrix = csr_array((ones, train.indices, train.indptr), shape=shape)
    if train.n_items < train.n_users:
        each = np.arange(train.n_items, dtype=np.int32)
        columns = Interactions(
            np.arange(train.n_items + 1), each, np.ones(len(each), np.float32), train.n_items
        )
        inverse = _inverse((matrix.T @ matrix).toarray(), reg)
        return Solved(columns, inverse, -1.0 / np.diag(inverse))
    columns = train.transpose()
    inverse = _inverse((matrix @ matrix.T).toarray(), reg)
    leverage = np.empty(train.n_items)

    def fill(start: int, stop: int) -> None:
        _set_leverage(columns, inverse, leverage, start, stop)

    for_blocks(fill, blocks(train.n_items, _ITEMS_A_BLOCK), threads)
    return Solved(columns, inverse, 1.0 / (1.0 - leverage))


def _inverse(gram: np.ndarray, reg: float) -> np.ndarray:
    """Inverse of `gram` + reg I, which is overwritten; one thread, so that bits are the same."""
    gram[np.diag_indices_from(gram)] += reg
    with threadpool_limits(1, user_api="blas"):
        factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise MusicRecError(
            f"baselines.ease_reg = {reg:g} is too small for these plays: the matrix of EASE cannot "
            "be inverted; raise it"
        )
    whole: np.ndarray = inverse.T
    _mirror(whole)
    return whole


@kernel()
def _mirror(matrix):
    """Copy what is above the diagonal below it."""
    for row in range(len(matrix)):
        for column in range(row):
            matrix[row, column] = matrix[column, row]


@kernel()
def _set_leverage(columns, inverse, leverage, start, stop):
    """Write x_j^T K x_j for items start to stop."""
    for item in range(start, stop):
        users = columns.indices[columns.indptr[item] : columns.indptr[item + 1]]
        total = 0.0
        for user in users:
            for other in users:
                total += inverse[user, other]
        leverage[item] = total


@kernel()
def _sum_columns(columns, history, start, sums):
    """Write the sum of the columns of each user's history, a column a user from `start` on."""
    for place in range(sums.shape[1]):
        user = start + place
        for item in history.indices[history.indptr[user] : history.indptr[user + 1]]:
            for row in columns.indices[columns.indptr[item] : columns.indptr[item + 1]]:
                sums[row, place] += 1.0


@kernel()
def _rank(solved, products, listeners, users, lists):
    """Fill the lists of a block of users with the best items they have not played.

    `users` is (history, first of the block); `products` are the inverse times their sums.
    """
    history, start = users
    columns, scale = solved.columns, solved.scale
    best = np.empty(lists.shape[1])
    seen = np.zeros(len(scale), np.bool_)
    for place in range(products.shape[1]):
        user = start + place
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        if len(played) == 0:
            continue
        seen[played] = True
        size = 0
        for item in range(len(scale)):
            if listeners[item] == 0 or seen[item]:
                continue
            score = 0.0
            for row in columns.indices[columns.indptr[item] : columns.indptr[item + 1]]:
                score += products[row, place]
            rounded = np.float64(np.float32(scale[item] * score))
            if size < len(best) or rounded >= best[0]:
                size = offer(best, lists[user], size, rounded, item)
        sort_best_first(best, lists[user], size)
        seen[played] = False
