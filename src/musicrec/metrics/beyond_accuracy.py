"""What accuracy does not say: reach, popularity, novelty and distance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np

from musicrec.interactions.matrix import Interactions
from musicrec.interactions.portable import log2
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks

MOST_PAIRED = 10  # longest lists whose pairs are compared: 45 of them
PAIRED_BLOCK = 8192  # users a block of pairs, of 12 MB and more
_BLOCK = 1024  # users a block


def beyond_accuracy(
    recommended: np.ndarray, by_item: Interactions, n_users: int, k: Sequence[int]
) -> dict[str, np.ndarray]:
    """Score every user's list by the metrics of `list` and `all` lists in `METRICS`.

    Parameters
    ----------
    recommended : int32 array (n_lists, length)
        Item ids, padded with -1; ids of `by_item.n_users` and above are unknown to training.
    by_item : Interactions (n_items, users)
        The training users of each item.
    n_users : int
        Number of training users.
    k : sequence of int

    Returns
    -------
    dict of str to float64 array (n_lists)
        By name and k. Of a `list`: NaN where it is empty; one shorter than k is averaged over what
        it holds. Of `all` lists: see `exposure`.
    """
    lengths = np.unique(np.asarray(k, np.int64))
    return {
        **list_means(recommended, by_item.lengths, n_users, lengths),
        **intra_list_distance(recommended, by_item, lengths[lengths <= MOST_PAIRED]),
        **exposure(recommended, by_item.n_users, lengths),
    }


def exposure(recommended: np.ndarray, n_items: int, k: np.ndarray) -> dict[str, np.ndarray]:
    """Coverage and Gini of all lists together, as a value a user whose mean is the figure.

    The value of a user is the figure plus n - 1 times what it would lose without the list of that
    user, less the mean loss: the pseudo-values of the jackknife, so that their variance over n is
    that of the figure over users, on the high side (Efron and Stein), and two models are compared
    by them as by any other metric. What the Gini would lose is taken to first order.

    Parameters
    ----------
    recommended : int32 array (n_lists, length)
    n_items : int
        Tracks with training plays, the catalogue.
    k : int array, ascending

    References
    ----------
    Miller, The jackknife: a review, Biometrika 61(1), 1974. Efron and Stein, The jackknife
    estimate of variance, Annals of Statistics 9(3), 1981.
    """
    found = {}
    for length in k.tolist():
        shown = recommended[:, :length]
        known = shown[(shown >= 0) & (shown < n_items)]
        counts = np.bincount(known, minlength=n_items)  # lists in which each item stands
        once = (counts == 1) / n_items
        for name, value, lost in (
            ("coverage", float(np.count_nonzero(counts) / n_items), once),
            ("gini", gini(counts), _lost_gini(counts)),
        ):
            losses = _sums(recommended, lost, np.array([length]))[:, 0]
            found[f"{name}@{length}"] = value + (len(losses) - 1) * (losses - losses.mean())
    return found


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of exposure: 0 if all items are shown equally often, near 1 if one is.

    With x_1 <= ... <= x_n: sum over i of (2 i - n - 1) x_i / (n sum x); 0 if nothing is shown.

    References
    ----------
    Fleder and Hosanagar, Blockbuster culture's next rise or fall, Management Science 55(5), 2009.
    """
    total = int(counts.sum())
    if total == 0:
        return 0.0
    n = len(counts)
    ascending = np.sort(counts)
    weights = 2 * np.arange(1, n + 1, dtype=np.int64) - n - 1
    return float(weights @ ascending) / (n * total)


def _lost_gini(counts: np.ndarray) -> np.ndarray:
    """What the Gini coefficient would lose if an item were shown once less, for each item."""
    n, total = len(counts), max(1, int(counts.sum()))
    rank = np.searchsorted(np.sort(counts), counts, side="left") + 1
    return ((2 * rank - n - 1) / n - gini(counts)) / total


def list_means(
    recommended: np.ndarray, users_of: np.ndarray, n_users: int, k: np.ndarray
) -> dict[str, np.ndarray]:
    """Mean popularity and novelty of each user's top-k.

    `users_of`: training users of each item, (n_items); one whom nobody played has the novelty of
    one with one user. `k` ascends.

    References
    ----------
    Yin et al., Challenging the long tail recommendation, VLDB 2012 (popularity). Zhou et al., PNAS
    107(10), 2010; Vargas and Castells, RecSys 2011 (novelty).
    """
    bits = log2(n_users / np.maximum(users_of, 1))
    held = np.minimum(np.count_nonzero(recommended >= 0, axis=1)[:, None], k)
    rarest = float(log2(n_users))
    found: dict[str, np.ndarray] = {}
    for name, weights, unknown in (("popularity", users_of, 0.0), ("novelty", bits, rarest)):
        with np.errstate(invalid="ignore"):
            means = _sums(recommended, weights, k, unknown) / held
        found |= {f"{name}@{length}": means[:, i] for i, length in enumerate(k.tolist())}
    return found


def intra_list_distance(
    recommended: np.ndarray, by_item: Interactions, k: np.ndarray
) -> dict[str, np.ndarray]:
    """Mean over the pairs of each user's top-k of 1 - cosine of the 0-1 vectors of their users.

    Lists share most of their pairs, so each pair is computed once a block of users. NaN for a list
    of fewer than two items. Work and memory grow with the square of `k`, which ascends.

    References
    ----------
    Ziegler, McNee, Konstan and Lausen, Improving recommendation lists through topic
    diversification, WWW 2005. The distance of item-based collaborative filtering, so that it needs
    no model and no data but plays.
    """
    found = {f"intra_list_distance@{n}": np.full(len(recommended), np.nan) for n in k.tolist()}
    first, second = np.triu_indices(min(int(k.max(initial=0)), recommended.shape[1]), 1)
    for start, stop in itertools.pairwise(blocks(len(recommended), PAIRED_BLOCK)):
        one, other = recommended[start:stop, first], recommended[start:stop, second]
        held = other >= 0  # the later position of the two
        pairs = np.minimum(one, other).astype(np.int64) << 32 | np.maximum(one, other)
        distinct, place = np.unique(pairs[held], return_inverse=True)
        distance = np.zeros(pairs.shape)
        cosines = np.zeros(len(distinct))
        fill = partial(_fill_cosines, distinct, by_item, cosines)
        for_blocks(fill, blocks(len(distinct), _BLOCK))
        distance[held] = 1 - cosines[place]
        for name, length in zip(found, k.tolist(), strict=True):
            inside = second < length
            number = held[:, inside].sum(axis=1)
            with np.errstate(invalid="ignore"):
                found[name][start:stop] = distance[:, inside].sum(axis=1) / number
    return found


def _sums(
    recommended: np.ndarray, weights: np.ndarray, k: np.ndarray, unknown: float = 0.0
) -> np.ndarray:
    """Sum the weights of the items of each top-k: (n_lists, n_k); others weigh `unknown`."""
    padded = np.concatenate([weights, [unknown, 0.0]])  # -1, which pads a list, weighs nothing
    ends = np.minimum(k, recommended.shape[1]) - 1
    sums = np.empty((len(recommended), len(k)))

    def sum_block(start: int, stop: int) -> None:
        items = np.minimum(recommended[start:stop, : ends[-1] + 1], len(weights))
        sums[start:stop] = np.cumsum(padded[items], axis=1)[:, ends]

    for_blocks(sum_block, blocks(len(sums), _BLOCK))
    return sums


def median_popularity(truth: Interactions, users_of: np.ndarray) -> np.ndarray:
    """Median over each user's held-out tracks of the number of training users of a track.

    Parameters
    ----------
    truth : Interactions (n_users, n_items)
        Ids of `len(users_of)` and above are unknown to training: popularity 0.
    users_of : integer array

    Returns
    -------
    float64 array (n_users), 0 for a user without held-out tracks
    """
    popularity = np.append(users_of, 0)[np.minimum(truth.indices, len(users_of))]
    ascending = popularity[np.lexsort((popularity, truth.user_of_each()))]
    sizes = truth.lengths
    filled = np.flatnonzero(sizes)
    medians = np.zeros(len(sizes))
    first, size = truth.indptr[:-1][filled], sizes[filled]
    medians[filled] = (ascending[first + (size - 1) // 2] + ascending[first + size // 2]) / 2.0
    return medians


@kernel()
def _fill_cosines(pairs, by_item, found, start, stop):
    """Fill `found[start:stop]`: users of both items / sqrt(users of the one x of the other).

    A pair is two ids in one number; with an item that nobody played it keeps its 0.
    """
    indptr, users = by_item.indptr, by_item.indices
    for pair in range(start, stop):
        one, other = pairs[pair] >> 32, pairs[pair] & 0xFFFFFFFF
        if max(one, other) >= len(indptr) - 1:
            continue
        few = users[indptr[one] : indptr[one + 1]]
        many = users[indptr[other] : indptr[other + 1]]
        if len(few) > len(many):
            few, many = many, few
        both = i = j = 0
        if len(few) * 16 < len(many):
            for user in few:
                i = np.searchsorted(many, user)
                both += i < len(many) and many[i] == user
        else:
            while i < len(few) and j < len(many):
                first, second = few[i], many[j]
                both += first == second
                i += first <= second
                j += second <= first
        if both:
            found[pair] = both / np.sqrt(np.float64(len(few)) * np.float64(len(many)))
