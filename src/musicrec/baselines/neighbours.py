"""Item-based nearest neighbours by asymmetric cosine, a baseline that any model has to beat.

It recommends from the training plays as they are (each play once, counts ignored) and breaks ties
by the lower item id.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from musicrec.interactions.matrix import Interactions
from musicrec.interactions.portable import power
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks

_USERS_A_BLOCK = 256
_ITEMS_A_BLOCK = 256  # few: the first items, the most played, take most of the work
COSINE = 0.5


class Nearest(NamedTuple):
    """Neighbours of some items, a row an item, the nearest first.

    Attributes
    ----------
    ids : int32 array (n, neighbours)
        Padded with -1.
    similarities : float64 array (n, neighbours)
        0 where padded.
    """

    ids: np.ndarray
    similarities: np.ndarray


def recommend_neighbours(
    train: Interactions,
    history: Interactions,
    k: int,
    neighbours: int,
    *,
    alpha: float = COSINE,
    locality: float = 1.0,
    keep_seen: bool = False,
) -> np.ndarray:
    """Recommend to every user the tracks most similar to those the user has played.

    Each track of the history nominates its `neighbours` most similar tracks; a candidate's score
    is the sum of the similarities of its nominations. A user with a short history may get a list
    shorter than k.

    Parameters
    ----------
    train, history, k, keep_seen
        As for `recommend_popular`.
    neighbours, alpha, locality
        As for `nearest_items`, of a candidate and a track of the history.

    Returns
    -------
    int32 array (history.n_users, k)
        Item ids, padded with -1.

    References
    ----------
    Deshpande and Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004.
    Aiolli, Efficient top-N recommendation for very large scale binary rated datasets, RecSys 2013.
    """
    items = np.unique(history.indices)
    nearest = nearest_items(train, items, neighbours, alpha, locality)
    kept, lengths = nearest.ids >= 0, np.zeros(train.n_items + 1, np.int64)
    lengths[items + 1] = kept.sum(axis=1)
    rows = (np.cumsum(lengths), nearest.ids[kept], nearest.similarities[kept], train.n_items)
    return best_by_sum(Interactions(*rows), history, k, keep_seen=keep_seen)


def best_by_sum(
    weights: Interactions, history: Interactions, k: int, *, keep_seen: bool
) -> np.ndarray:
    """Recommend to every user the tracks of the highest positive sum of weights.

    Parameters
    ----------
    weights : Interactions (n_items, n_items)
        Row i is what a play of track i adds to the scores of others. With float32 weights scores
        are compared in float32.
    history, k, keep_seen
        As for `recommend_popular`.
    """
    lists = np.full((history.n_users, k), -1, np.int32)
    fill = partial(_rank_sums, weights, history, keep_seen, lists)
    for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK))
    return lists


def nearest_items(
    train: Interactions,
    items: np.ndarray,
    neighbours: int,
    alpha: float = COSINE,
    locality: float = 1.0,
) -> Nearest:
    """Find the nearest neighbours of the given items by Aiolli's asymmetric cosine.

    With c users of the neighbour, t of the item and n of both it is
    (n / (c^alpha t^(1 - alpha)))^locality: at alpha 1/2 and locality 1 the cosine of the binary
    columns. Below 1/2 popular neighbours are nearer; a locality above 1 favours the nearest.

    The similarity matrix never exists: a row at a time is counted through the users of an item
    into one array of n_items a thread, and only its top is kept.

    Parameters
    ----------
    items : integer array (n)
        Whose neighbours to find, ascending.
    neighbours : int
        Neighbours kept an item.

    Returns
    -------
    Nearest
        By falling similarity, ties by the lower id; never the item itself, and only items that
        share a user with it.
    """
    items = np.ascontiguousarray(items, dtype=np.int32)
    by_item = train.transpose()
    nearest = Nearest(
        np.full((len(items), neighbours), -1, np.int32), np.zeros((len(items), neighbours))
    )

    cosine = alpha == COSINE
    lengths = by_item.lengths.astype(np.float64)
    plays = train, by_item, lengths if cosine else power(lengths, alpha)
    count = partial(_count_together, items, plays, cosine, nearest)
    for_blocks(count, blocks(len(items), _ITEMS_A_BLOCK))
    own = np.maximum(lengths[items], 1)[:, None]
    if cosine:
        nearest.similarities[:] = np.sqrt(nearest.similarities / own)
    else:
        nearest.similarities[:] /= power(own, 1.0 - alpha)
    if locality != 1.0:
        nearest.similarities[:] = power(nearest.similarities, locality)
    return nearest


@kernel()
def _count_together(items, plays, cosine, nearest, start, stop):
    """Fill rows start to stop of `nearest`, but for the factor that a row has in common.

    `plays` are (by user, by item, |U|^alpha of each item, or |U| for the cosine).
    """
    train, by_item, sizes = plays
    n_items = len(by_item.indptr) - 1
    together = np.zeros(n_items, np.int32)
    touched = np.empty(n_items, np.int32)
    scores = np.empty(n_items)
    for row in range(start, stop):
        item = items[row]
        n_touched = 0
        users = by_item.indices[by_item.indptr[item] : by_item.indptr[item + 1]]
        for user in users:
            for other in train.indices[train.indptr[user] : train.indptr[user + 1]]:
                if together[other] == 0:
                    touched[n_touched] = other
                    n_touched += 1
                together[other] += 1
        together[item] = 0
        size = 0
        for other in touched[:n_touched]:
            count = float(together[other])
            together[other] = 0
            if count > 0:
                # Cosines by count^2 / n_other, one rounding: equal ones stay equal to the last bit.
                scores[size] = (count * count if cosine else count) / sizes[other]
                touched[size] = other
                size += 1
        write_best_float64(
            touched[:size], scores[:size], nearest.ids[row], nearest.similarities[row]
        )


@kernel()
def _rank_sums(weights, history, keep_seen, lists, start, stop):
    """Fill rows start to stop of `lists`."""
    scores = np.zeros(weights.n_items)
    listed = np.zeros(weights.n_items, np.bool_)
    touched = np.empty(weights.n_items, np.int32)
    found = np.empty(weights.n_items)
    best = np.empty(lists.shape[1])
    for user in range(start, stop):
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        n_touched = 0
        for item in played:
            for at in range(weights.indptr[item], weights.indptr[item + 1]):
                candidate = weights.indices[at]
                if not listed[candidate]:
                    listed[candidate] = True
                    touched[n_touched] = candidate
                    n_touched += 1
                scores[candidate] += np.float64(weights.counts[at])
        if not keep_seen:
            for item in played:
                scores[item] = 0.0
        size = 0
        for candidate in touched[:n_touched]:
            score = weights.counts.dtype.type(scores[candidate])
            if score > 0:
                found[size], touched[size] = score, candidate
                size += 1
            scores[candidate] = 0.0
            listed[candidate] = False
        write_best_float64(touched[:size], found[:size], lists[user], best)


@kernel()
def write_best_float64(ids, scores, out_ids, out_scores):
    """Write the pairs of the highest scores, ties by the lower id, as many as there is room for.

    As `musicrec.search.kernels.write_best` does for float32.
    """
    k = min(len(ids), len(out_ids))
    if k < len(ids):
        last = len(ids) - k
        kept = scores >= np.partition(scores, last)[last]
        scores, ids = scores[kept], ids[kept]
    by_id = np.argsort(ids)
    order = by_id[np.argsort(-scores[by_id], kind="mergesort")[:k]]
    out_scores[:k] = scores[order]
    out_ids[:k] = ids[order]
