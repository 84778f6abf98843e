"""EASE, a linear item-item model: the baseline that is hard to beat.

Every column of the 0-1 matrix X of training plays (users x tracks) is predicted from the other
columns by ridge regression,

    min over B of |X - X B|^2 + reg |B|^2,   B_jj = 0,

and a user with history h gets the tracks of the highest h B. With P = (X^T X + reg I)^-1 the
minimum is B_ij = -P_ij / P_jj off the diagonal (Steck, Embarrassingly shallow autoencoders for
sparse data, WWW 2019).

The exact form has one dense inverse, by users or by tracks, whichever are fewer: by tracks that P;
by users (the Woodbury identity) P = (I - X^T K X) / reg with K = (X X^T + reg I)^-1, so that the
score of a track j outside history h is x_j^T K X h / (1 - x_j^T K x_j), x_j its column.

The sparse form predicts each track from its nearest neighbours by binary cosine alone. For track j
with neighbours S the column of B is zero outside S and minimises the same ridge regression inside:

    (G_SS + reg I) b = G_Sj,   G_ik the number of users who played both i and k.

G never exists: the few entries a track needs are counted from the users of its neighbours. To
choose columns by cosine first is the fsSLIM of Ning and Karypis (SLIM, ICDM 2011), whose regression
has an l1 penalty too and no negative weights.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from musicrec.baselines.neighbours import best_by_sum, nearest_items, write_best_float64
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.params import BaselinesParams

Form = Literal["exact", "sparse"]
_USERS_A_BLOCK = 64  # a fixed number: products of other shapes may be summed in another order
_ITEMS_A_BLOCK = 64
_ITEMS_AT_ONCE = 1 << 15  # whose neighbours, with their cosines, are in memory


def ease_form(train: Interactions, params: BaselinesParams) -> Form:
    """The form that `recommend_ease` takes: exact up to `baselines.ease_exact` users or tracks."""
    return "exact" if min(train.n_users, train.n_items) <= params.ease_exact else "sparse"


def recommend_ease(
    train: Interactions,
    history: Interactions,
    k: int,
    params: BaselinesParams,
    *,
    keep_seen: bool = False,
) -> np.ndarray:
    """Recommend to every user the tracks of the highest h B; counts are ignored.

    Arguments are as for `recommend_popular`; of `params`, `ease_exact` is the most rows of a dense
    inverse, `neighbours` how many tracks predict one in the sparse form.

    Returns
    -------
    int32 array (history.n_users, k)
        Item ids, padded with -1; nothing for an empty history. Scores are compared in float32, so
        that tracks with the same listeners tie, the lower id first. In the sparse form only tracks
        of positive score are recommended, so that a list may be shorter than k.

    Raises
    ------
    MusicRecError
        `ease_reg` is so small that the matrix cannot be inverted (exact form).
    """
    if ease_form(train, params) == "sparse":
        weights = sparse_weights(train, history.indices, params)
        return best_by_sum(weights, history, k, keep_seen=keep_seen)
    solved, listeners = solve(train, params.ease_reg), train.users_of()
    lists = np.full((history.n_users, k), -1, np.int32)

    def fill(start: int, stop: int) -> None:
        sums = np.zeros((len(solved.inverse), stop - start))
        _sum_columns(solved.columns, history, start, sums)
        _rank_exact(solved, solved.inverse @ sums, listeners, (history, start, keep_seen), lists)

    with threadpool_limits(1, user_api="blas"):
        for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK))
    return lists


class Solved(NamedTuple):
    """What scores are made of; float64.

    columns : Interactions (n_items, n), each item's rows of `inverse`: its users, or itself
    inverse : (n, n), K or P
    scale : (n_items), the score of item j is `scale[j]` times the sum over its rows of `inverse`
        times the sum of the history's columns
    own : (n_items), what is added to that where j is in the history, since B_jj = 0
    """

    columns: Interactions
    inverse: np.ndarray
    scale: np.ndarray
    own: np.ndarray


def solve(train: Interactions, reg: float) -> Solved:
    """Invert by users or by tracks, whichever are fewer: n, in n^3 operations and 8 n^2 bytes."""
    ones = np.ones(len(train.indices))
    shape = (train.n_users, train.n_items)
    matrix = csr_array((ones, train.indices, train.indptr), shape=shape)
    if train.n_items < train.n_users:
        each = np.arange(train.n_items, dtype=np.int32)
        ones = np.ones(len(each), np.float32)
        columns = Interactions(np.arange(train.n_items + 1), each, ones, train.n_items)
        inverse = _inverse((matrix.T @ matrix).toarray(), reg)
        return Solved(columns, inverse, -1.0 / np.diag(inverse), np.ones(train.n_items))
    columns = train.transpose()
    inverse = _inverse((matrix @ matrix.T).toarray(), reg)
    leverage = np.empty(train.n_items)
    set_leverage = partial(_set_leverage, columns, inverse, leverage)
    for_blocks(set_leverage, blocks(train.n_items, _ITEMS_A_BLOCK))
    scale = 1.0 / (1.0 - leverage)
    return Solved(columns, inverse, scale, 1.0 - scale)


def _inverse(gram: np.ndarray, reg: float) -> np.ndarray:
    """Inverse of `gram` + reg I, which is overwritten; one thread, so that bits are the same."""
    gram[np.diag_indices_from(gram)] += reg
    with threadpool_limits(1, user_api="blas"):
        factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise MusicRecError(
            f"baselines.ease_reg = {reg:g} is too small to invert the matrix of EASE; raise it"
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
    for position in range(sums.shape[1]):
        user = start + position
        for item in history.indices[history.indptr[user] : history.indptr[user + 1]]:
            for row in columns.indices[columns.indptr[item] : columns.indptr[item + 1]]:
                sums[row, position] += 1.0


@kernel()
def _rank_exact(solved, products, listeners, users, lists):
    """Fill the lists of a block of users with the best items they have not played.

    `users` is (history, first of the block, whether seen items are kept); `products` are the
    inverse times their sums.
    """
    history, start, keep_seen = users
    columns, scale = solved.columns, solved.scale
    best = np.empty(lists.shape[1])
    scores, items = np.empty(len(scale)), np.empty(len(scale), np.int32)
    seen = np.zeros(len(scale), np.bool_)
    for position in range(products.shape[1]):
        user = start + position
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        if len(played) == 0:
            continue
        seen[played] = True
        size = 0
        for item in range(len(scale)):
            if listeners[item] == 0 or (seen[item] and not keep_seen):
                continue
            score = 0.0
            for row in columns.indices[columns.indptr[item] : columns.indptr[item + 1]]:
                score += products[row, position]
            score *= scale[item]
            if seen[item]:
                score += solved.own[item]
            scores[size], items[size] = np.float32(score), item
            size += 1
        write_best_float64(items[:size], scores[:size], lists[user], best)
        seen[played] = False


def sparse_weights(train: Interactions, rows: np.ndarray, params: BaselinesParams) -> Interactions:
    """The entries B_ij of the sparse form, of the given rows i: items, any number of times each.

    Returns
    -------
    Interactions (n_items, n_items)
        B in float32, other rows empty: at most `neighbours` entries a column, 8 bytes each.
    """
    wanted = np.zeros(train.n_items, np.bool_)
    wanted[rows] = True
    by_item = train.transpose()
    lengths, ids, values = [np.zeros(1, np.int64)], [], []
    for first in range(0, train.n_items, _ITEMS_AT_ONCE):
        items = np.arange(first, min(first + _ITEMS_AT_ONCE, train.n_items))
        nearest = nearest_items(train, items, params.neighbours).ids
        found = np.zeros(nearest.shape, np.float32)
        regress = partial(_regress, by_item, (items, nearest), params.ease_reg, found)
        for_blocks(regress, blocks(len(items), _ITEMS_A_BLOCK))
        kept = (found != 0) & wanted[nearest]
        lengths.append(kept.sum(axis=1))
        ids.append(nearest[kept])
        values.append(found[kept])
    indptr, indices, weights = map(np.concatenate, (lengths, ids, values))
    return Interactions(np.cumsum(indptr), indices, weights, train.n_items).transpose()


@kernel()
def _regress(by_item, columns, reg, found, start, stop):
    """Fill rows start to stop of the weights; `columns` are (items, their neighbours)."""
    items, nearest = columns
    most = nearest.shape[1]
    system = np.empty((most, most))
    right = np.empty(most)
    head = np.full(by_item.n_items, -1, np.int32)  # of each user, the last listed neighbour
    for row in range(start, stop):
        size = 0
        while size < most and nearest[row, size] >= 0:
            size += 1
        _count(by_item, (items[row], nearest[row, :size]), head, system, right)
        for a in range(size):
            system[a, a] += reg
        _solve(system, right, size)
        found[row, :size] = right[:size]


@kernel()
def _count(by_item, column, head, system, right):
    """Count the users that pairs of neighbours (upper triangle), or they and the item, share.

    `head` is -1 throughout, before and after.
    """
    item, near = column
    plays = 0
    for a in range(len(near)):
        plays += by_item.indptr[near[a] + 1] - by_item.indptr[near[a]]
    played = np.empty(plays, np.int32)  # of a user, one after the other: a neighbour they played
    before = np.empty(plays, np.int32)  # and where the one before it stands
    system[: len(near), : len(near)] = 0.0
    right[: len(near)] = 0.0
    n = 0
    for a in range(len(near)):
        for user in by_item.indices[by_item.indptr[near[a]] : by_item.indptr[near[a] + 1]]:
            system[a, a] += 1.0
            other = head[user]
            before[n], played[n] = other, a
            head[user] = n
            n += 1
            while other >= 0:
                system[played[other], a] += 1.0
                other = before[other]
    for user in by_item.indices[by_item.indptr[item] : by_item.indptr[item + 1]]:
        other = head[user]
        while other >= 0:
            right[played[other]] += 1.0
            other = before[other]
    for a in range(len(near)):
        for user in by_item.indices[by_item.indptr[near[a]] : by_item.indptr[near[a] + 1]]:
            head[user] = -1


@kernel()
def _solve(system, right, n):
    """Solve n equations by Cholesky factorisation of the upper triangle; x replaces `right`."""
    for k in range(n):
        pivot = np.sqrt(system[k, k])
        for j in range(k, n):
            system[k, j] /= pivot
        right[k] /= pivot
        for i in range(k + 1, n):
            share = system[k, i]
            if share != 0.0:
                for j in range(i, n):
                    system[i, j] -= share * system[k, j]
                right[i] -= share * right[k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            right[k] -= system[k, j] * right[j]
        right[k] /= system[k, k]
