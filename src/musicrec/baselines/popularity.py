"""What most people have played, the baseline that any model has to beat."""

from __future__ import annotations

import numpy as np

from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks

_USERS_A_BLOCK = 256


def recommend_popular(
    train: Interactions, history: Interactions, k: int, threads: int | None = None
) -> np.ndarray:
    """Recommend to every user the tracks that most training users have played.

    Parameters
    ----------
    train : Interactions
        Training plays; a track's popularity is its number of users. Tracks without users are
        never recommended.
    history : Interactions
        Row i is what the i-th user has played, and is excluded.
    k : int
        List length.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    int32 array (history.n_users, k)
        Item ids, padded with -1.
    """
    users_of = train.users_of()
    order = np.argsort(-users_of, kind="stable")[: np.count_nonzero(users_of)].astype(np.int32)
    lists = np.full((history.n_users, k), -1, np.int32)

    def fill(start: int, stop: int) -> None:
        _first_unseen(order, history, start, stop, lists)

    for_blocks(fill, blocks(history.n_users, _USERS_A_BLOCK), threads)
    return lists


@kernel()
def _first_unseen(order, history, start, stop, lists):
    """Fill rows start to stop with the first items of `order` that the user has not played."""
    k = lists.shape[1]
    seen = np.zeros(history.n_items, np.bool_)
    for user in range(start, stop):
        played = history.indices[history.indptr[user] : history.indptr[user + 1]]
        for item in played:
            seen[item] = True
        found = 0
        for item in order:
            if found == k:
                break
            if not seen[item]:
                lists[user, found] = item
                found += 1
        for item in played:
            seen[item] = False
