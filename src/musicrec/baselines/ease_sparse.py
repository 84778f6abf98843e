"""The sparse form of EASE: each track is predicted from its nearest neighbours alone.

For track j with neighbours S (by binary cosine, `musicrec.baselines.neighbours`) the column of B is
zero outside S and minimises the same ridge regression inside it:

    (G_SS + reg I) b = G_Sj,   G_ik the number of users who played both i and k.

G never exists: the few entries a track needs are counted from the users of its neighbours. To
choose columns by cosine first is the fsSLIM of Ning and Karypis (SLIM: sparse linear methods for
top-N recommender systems, ICDM 2011), whose regression has an l1 penalty too and no negative
weights. Another sparse form of EASE is that of Spišák et al. (Scalable approximate nonsymmetric
autoencoder for collaborative filtering, RecSys 2023).
"""

from __future__ import annotations

import numpy as np

from musicrec.baselines.best import offer, sort_best_first
from musicrec.baselines.neighbours import nearest_items
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.params import BaselinesParams

_ITEMS_AT_ONCE = 1 << 15  # whose neighbours, with their cosines, are in memory
_ITEMS_A_BLOCK = 64
_USERS_A_BLOCK = 64


def recommend_sparse(
    train: Interactions,
    history: Interactions,
    k: int,
    params: BaselinesParams,
    threads: int | None = None,
) -> np.ndarray:
    """Recommend by the sparse form; see `musicrec.baselines.ease.recommend_ease`.

    Only tracks of positive score are recommended, so that a list may be shorter than k.
    """
    weights = sparse_weights(train, history.indices, params, threads)
    lists = np.full((history.n_users, k), -1, np.int32)

    def fill(start: int, stop: int) -> None:
        _rank(weights, history, start, stop, lists)

    for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK), threads)
    return lists


def sparse_weights(
    train: Interactions, rows: np.ndarray, params: BaselinesParams, threads: int | None = None
) -> Interactions:
    """The entries B_ij above zero or below it of the given rows i.

    Parameters
    ----------
    train : Interactions
    rows : integer array
        Items, any number of times each.
    params : BaselinesParams
        `neighbours`, `ease_reg`.
    threads : int, optional
        The result does not depend on it.

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
        nearest = nearest_items(train, items, params.neighbours, threads).ids
        found = _weights_of(by_item, items, nearest, params.ease_reg, threads)
        kept = (found != 0) & wanted[nearest]
        lengths.append(kept.sum(axis=1))
        ids.append(nearest[kept])
        values.append(found[kept])
    columns = Interactions(
        np.cumsum(np.concatenate(lengths)),
        np.concatenate(ids),
        np.concatenate(values),
        train.n_items,
    )
    return columns.transpose()


def _weights_of(
    by_item: Interactions, items: np.ndarray, nearest: np.ndarray, reg: float, threads: int | None
) -> np.ndarray:
    """Weights of the neighbours of some items: float32, in the shape of `nearest`."""
    found = np.zeros(nearest.shape, np.float32)

    def fill(start: int, stop: int) -> None:
        _regress(by_item, (items[start:stop], nearest[start:stop]), reg, found[start:stop])

    for_blocks(fill, blocks(len(items), _ITEMS_A_BLOCK), threads)
    return found


@kernel()
def _regress(by_item, columns, reg, found):
    """Solve for the weights of some items: `columns` are (items, their neighbours)."""
    items, nearest = columns
    n, most = nearest.shape
    system = np.empty((most, most))
    right = np.empty(most)
    head = np.full(by_item.n_items, -1, np.int32)  # of each user, the last listed neighbour
    for row in range(n):
        size = 0
        while size < most and nearest[row, size] >= 0:
            size += 1
        _count(by_item, (items[row], nearest[row, :size]), head, system, right)
        for a in range(size):
            system[a, a] += reg
        _solve(system, right, size)
        for a in range(size):
            found[row, a] = right[a]


@kernel()
def _count(by_item, column, head, system, right):
    """Count the users that pairs of neighbours (upper triangle), or they and the item, share.

    `head` is -1 throughout, before and after.
    """
    item, near = column
    plays = 0
    for a in range(len(near)):
        plays += by_item.indptr[near[a] + 1] - by_item.indptr[near[a]]
    place = np.empty(plays, np.int32)  # of a user, one after the other: a neighbour they played
    before = np.empty(plays, np.int32)  # and the place of the one before it
    system[: len(near), : len(near)] = 0.0
    right[: len(near)] = 0.0
    n = 0
    for a in range(len(near)):
        for user in by_item.indices[by_item.indptr[near[a]] : by_item.indptr[near[a] + 1]]:
            system[a, a] += 1.0
            other = head[user]
            before[n], place[n] = other, a
            head[user] = n
            n += 1
            while other >= 0:
                system[place[other], a] += 1.0
                other = before[other]
    for user in by_item.indices[by_item.indptr[item] : by_item.indptr[item + 1]]:
        other = head[user]
        while other >= 0:
            right[place[other]] += 1.0
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


@kernel()
def _rank(weights, history, start, stop, lists):
    """Fill lists start to stop with the tracks of the highest positive sum of weights."""
    n_items = len(weights.indptr) - 1
    scores = np.zeros(n_items)
    best = np.empty(lists.shape[1])
    for user in range(start, stop):
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        if len(played) == 0:
            continue
        for item in played:
            for at in range(weights.indptr[item], weights.indptr[item + 1]):
                scores[weights.indices[at]] += np.float64(weights.counts[at])
        for item in played:
            scores[item] = 0.0
        size = 0
        for item in range(n_items):
            score = np.float64(np.float32(scores[item]))
            scores[item] = 0.0
            if score > 0.0 and (size < len(best) or score >= best[0]):
                size = offer(best, lists[user], size, score, item)
        sort_best_first(best, lists[user], size)
