"""What most people have played, and what the user has: baselines that any model has to beat."""

from __future__ import annotations

from functools import partial

import numpy as np

from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks

_USERS_A_BLOCK = 256


def recommend_popular(
    train: Interactions,
    history: Interactions,
    k: int,
    *,
    keep_seen: bool = False,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Recommend to every user the tracks that most training users have played.

    Parameters
    ----------
    train : Interactions
        Training plays; tracks without users are never recommended.
    history : Interactions
        Row i is what the i-th user has played.
    k : int
        List length.
    keep_seen : bool
        False: tracks of the user's history are not recommended.
    weights : array (n_plays), optional
        How much each training play counts; without them each counts 1.

    Returns
    -------
    int32 array (history.n_users, k)
        Item ids, padded with -1.
    """
    if keep_seen:
        history = history.filtered(np.zeros(len(history.indices), np.bool_))
    return _followed_by_popular(_by_popularity(train, weights), history, k, keep_seen=False)


def recommend_most_played(train: Interactions, history: Interactions, k: int) -> np.ndarray:
    """Recommend to every user the user's own tracks by falling `history.counts`, then popular ones.

    What a model has to beat where seen tracks may be recommended: most plays are repeats. Equal
    counts rank by the lower item id. Arguments and result are those of `recommend_popular`.
    """
    order = np.lexsort((history.indices, -history.counts, history.user_of_each()))
    by_count = history._replace(indices=history.indices[order], counts=history.counts[order])
    return _followed_by_popular(_by_popularity(train), by_count, k, keep_seen=True)


def _by_popularity(train: Interactions, weights: np.ndarray | None = None) -> np.ndarray:
    """Items with users, the most popular first, ties by the lower id: int32 array."""
    users_of = np.bincount(train.indices, weights, minlength=train.n_items)
    return np.argsort(-users_of, kind="stable")[: np.count_nonzero(users_of)].astype(np.int32)


def _followed_by_popular(
    popular: np.ndarray, history: Interactions, k: int, *, keep_seen: bool
) -> np.ndarray:
    """Lists of the history in its order, if it is kept, and then of the popular items beside it."""
    lists = np.full((history.n_users, k), -1, np.int32)
    fill = partial(_fill_lists, popular, history, keep_seen, lists)
    for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK))
    return lists


@kernel()
def _fill_lists(popular, history, keep_seen, lists, start, stop):
    """Fill rows start to stop."""
    k = lists.shape[1]
    seen = np.zeros(history.n_items, np.bool_)
    for user in range(start, stop):
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        for item in played:
            seen[item] = True
        found = 0
        if keep_seen:
            found = min(k, len(played))
            lists[user, :found] = played[:found]
        for item in popular:
            if found == k:
                break
            if not seen[item]:
                lists[user, found] = item
                found += 1
        for item in played:
            seen[item] = False
