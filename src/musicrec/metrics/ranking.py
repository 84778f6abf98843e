"""Ranking metrics of recommendation lists, one value a user.

One compiled pass over a user's list finds the hits and gives every metric at every k. Lists and
truth are taken as they are: which ones go in makes a protocol, `ranking` or `spark`
(docs/metrics.md). The conventions are those of Spark's `RankingMetrics` (Spark 3.0 and newer):

- A list is in order already. Whoever makes it breaks ties by the lower item id.
- With an empty truth the value is 0.
- Positions after the end of a list (-1) are misses; denominators do not shrink.
- The truth is a set: an item that stands there twice counts once. A list is judged position by
  position: an item recommended twice counts twice (our own searches never do that).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.interactions.portable import log2
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.definitions import HITS

_BLOCK = 1024  # users a block


def score_lists(
    recommended: np.ndarray, truth: Interactions, k: Sequence[int]
) -> dict[str, np.ndarray]:
    """Score every user's list against that user's truth.

    With h_i = 1 if position i (from 1) of the list is in the truth T, else 0,
    `musicrec.metrics.definitions` has the metrics; binary gains. `map` is a user's average
    precision as Spark's `meanAveragePrecisionAt(k)` has it, whose mean over users is MAP@k.

    Parameters
    ----------
    recommended : int32 array (n_users, length)
        Item ids in falling order of preference; -1 ends a list that is shorter.
    truth : Interactions (n_users, n_items)
        Row u is the truth of list u; the counts are ignored.
    k : sequence of int
        List lengths to judge, each at least 1; they may exceed `length`.

    Returns
    -------
    dict of str to float64 array (n_users)
        By metric and k: `map@10`, `map@20`, ..., all of `HITS` in their order.

    Raises
    ------
    MusicRecError
        `k` is empty or holds a number below 1, or lists and truth differ in number of users.

    References
    ----------
    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4),
    2002 (nDCG). Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008,
    section 8.4 (average precision). Spark's RankingMetrics.scala (denominators). Liang, Krishnan,
    Hoffman and Jebara, Variational autoencoders for collaborative filtering, WWW 2018
    (calibrated recall).
    """
    lengths = np.unique(np.asarray(k, dtype=np.int64))
    if not len(lengths) or lengths[0] < 1:
        raise MusicRecError(f"metrics: k = {list(k)} must be whole numbers of at least 1")
    if recommended.ndim != 2 or len(recommended) != truth.n_users:
        raise MusicRecError(
            f"metrics: lists of shape {recommended.shape} do not fit the truth of "
            f"{truth.n_users} users"
        )
    lists = np.ascontiguousarray(recommended, dtype=np.int32)
    gains = 1.0 / log2(np.arange(lengths[-1]) + 2.0)
    cuts = _Cuts(lengths, gains, np.concatenate(([0.0], np.cumsum(gains))))
    found = np.zeros((len(HITS), len(lengths), len(lists)))
    for_blocks(partial(_score, lists, truth, cuts, found), blocks(len(lists), _BLOCK))
    return {
        f"{name}@{length}": found[i, j]
        for i, name in enumerate(HITS)
        for j, length in enumerate(lengths.tolist())
    }


def precision_ceiling(truth_sizes: np.ndarray, k: int) -> float:
    """Mean precision@k of perfect lists: mean over users of min(\\|T\\|, k) / k; 0 of no user.

    `truth_sizes`: held-out tracks a user, integer array (n_users).
    """
    return float(np.minimum(truth_sizes, k).mean() / k) if len(truth_sizes) else 0.0


class _Cuts(NamedTuple):
    """List lengths; gains[i] = 1 / log2(i + 2) of position i from 0; ideal[n], n hits' sum."""

    lengths: np.ndarray
    gains: np.ndarray
    ideal: np.ndarray


@kernel()
def _score(recommended, truth, cuts, found, start, stop):
    """Fill users start to stop of `found`: metric in the order of HITS, k, user."""
    in_truth = np.zeros(truth.n_items, np.bool_)  # of one user
    gains, lengths = cuts.gains, cuts.lengths
    for user in range(start, stop):
        items = truth.indices[truth.indptr[user] : truth.indptr[user + 1]]
        n_truth = 0
        for item in items:
            n_truth += not in_truth[item]
            in_truth[item] = True
        if n_truth == 0:
            continue
        hits = first = early = 0  # early: hits in as many positions as there are held-out items
        precision_sum = 0.0
        gain_sum = 0.0
        column = 0
        row = found[:, :, user]
        for position in range(recommended.shape[1]):
            item = recommended[user, position]
            if item < 0:
                break
            if item < len(in_truth) and in_truth[item]:
                hits += 1
                early += position < n_truth
                if first == 0:
                    first = position + 1
                precision_sum += hits / (position + 1)
                if position < len(gains):
                    gain_sum += gains[position]
            if column < len(lengths) and lengths[column] == position + 1:
                _set(row, column, cuts, n_truth, (hits, early, first, precision_sum, gain_sum))
                column += 1
        while column < len(lengths):  # the list has ended: all further positions are misses
            _set(row, column, cuts, n_truth, (hits, early, first, precision_sum, gain_sum))
            column += 1
        for item in items:
            in_truth[item] = False


@kernel()
def _set(row, column, cuts, n_truth, sums):
    """Write one user's metrics at one k from the sums so far, in the order of HITS."""
    hits, early, first, precision_sum, gain_sum = sums
    k = cuts.lengths[column]
    best = min(n_truth, k)
    row[0, column] = precision_sum / best
    row[1, column] = gain_sum / cuts.ideal[best]
    row[2, column] = hits / n_truth
    row[3, column] = hits / k
    row[4, column] = hits / best
    row[5, column] = early / n_truth
    row[6, column] = 1.0 if hits else 0.0
    row[7, column] = 1.0 / first if first else 0.0
