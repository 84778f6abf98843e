"""Ranking metrics of recommendation lists, one value a user.

One compiled pass over a user's list finds the hits and gives average precision, precision,
recall and nDCG at every k. The metrics of this module take lists and truth as they are; what
makes a protocol is which lists and which truth go in:

`ranking` (the product's)
    Plays of the training data are excluded from the lists. Every held-out track is in the
    truth, unknown ones too, though no list can name them. Every held-out user is in the mean,
    with 0 where there are no recommendations.
`spark` (the original project's)
    Tracks played in training may be recommended. Held-out tracks unknown to training are
    dropped from the truth (`known_truth`), and users who are unknown to training, get no
    recommendations or keep no truth are dropped from the mean. The means equal those of
    `pyspark.mllib.evaluation.RankingMetrics`.

The conventions below are those of Spark's `RankingMetrics` (Spark 3.0 and newer), in both
protocols. They are the same for every metric:

Ties
    A list is in order already: this module never sees a score. Whoever makes the list breaks
    ties by the lower item id.
Empty truth
    The value is 0.
Short lists
    Positions after the end of a list (-1) are misses; denominators do not shrink.
Duplicates
    The truth is a set: an item that stands there twice counts once. A list is judged position
    by position: an item recommended twice counts twice (our own searches never do that).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.portable import log2
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.definitions import HITS

_BLOCK = 1024  # users a block


@dataclass(frozen=True)
class RankingScores:
    """Metrics of each user's list.

    With h_i = 1 if position i (from 1) of the list is in the truth T, else 0,
    `musicrec.metrics.definitions` has them; binary gains. `map` is a user's average precision as
    Spark's `meanAveragePrecisionAt(k)` has it, whose mean over users is MAP@k.

    Attributes
    ----------
    k : tuple of int
        List lengths, ascending.
    by_metric : float64 array (metric, user, k)
        Metrics in the order of `HITS`; row u is list u.
    whole_average_precision : float64 array (n_users)
        The sum of average precision over the whole list, divided by \\|T\\|: Spark's
        `meanAveragePrecision`, the key `map`.

    References
    ----------
    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4),
    2002 (nDCG). Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008,
    section 8.4 (average precision). Spark's RankingMetrics.scala (denominators). Liang, Krishnan,
    Hoffman and Jebara, Variational autoencoders for collaborative filtering, WWW 2018
    (calibrated recall).
    """

    k: tuple[int, ...]
    by_metric: np.ndarray
    whole_average_precision: np.ndarray

    def __getitem__(self, metric: str) -> np.ndarray:
        """One metric: float64 array (n_users, n_k)."""
        return self.by_metric[HITS.index(metric)]

    def columns(self) -> dict[str, np.ndarray]:
        """Per-user arrays by the name of their metric: `map@10`, `map@20`, ..."""
        return {
            f"{name}@{k}": self[name][:, column] for name in HITS for column, k in enumerate(self.k)
        }


def score_lists(
    recommended: np.ndarray,
    truth_indptr: np.ndarray,
    truth_indices: np.ndarray,
    k: Sequence[int],
) -> RankingScores:
    """Score every user's list against that user's truth.

    Parameters
    ----------
    recommended : int32 array (n_users, length)
        Item ids in falling order of preference; -1 ends a list that is shorter.
    truth_indptr : int64 array (n_users + 1)
    truth_indices : int32 array (n_truth)
        Row u of the truth is `truth_indices[truth_indptr[u]:truth_indptr[u + 1]]`, dense ids.
    k : sequence of int
        List lengths to judge, each at least 1; they may exceed `length`.

    Returns
    -------
    RankingScores
        With `k` in ascending order.

    Raises
    ------
    MusicRecError
        `k` is empty or holds a number below 1, or lists and truth differ in number of users.
    """
    lengths = np.unique(np.asarray(k, dtype=np.int64))
    if not len(lengths) or lengths[0] < 1:
        raise MusicRecError(f"metrics: k = {list(k)} must be whole numbers of at least 1")
    n_users = len(truth_indptr) - 1
    if recommended.ndim != 2 or len(recommended) != n_users:
        raise MusicRecError(
            f"metrics: lists of shape {recommended.shape} do not fit the truth of {n_users} users"
        )
    recommended = np.ascontiguousarray(recommended, dtype=np.int32)
    indices = np.ascontiguousarray(truth_indices, dtype=np.int32)
    truth = _Truth(
        np.ascontiguousarray(truth_indptr, dtype=np.int64),
        indices,
        int(indices.max(initial=-1)) + 1,
    )
    gains = 1.0 / log2(np.arange(lengths[-1]) + 2.0)
    cuts = _Cuts(lengths, gains, np.concatenate(([0.0], np.cumsum(gains))))
    out = _Scores(np.zeros((len(HITS), n_users, len(lengths))), np.zeros(n_users))

    def score_block(start: int, stop: int) -> None:
        _score(recommended, truth, cuts, out, start, stop)

    for_blocks(score_block, blocks(n_users, _BLOCK))
    return RankingScores(tuple(lengths.tolist()), out.by_metric, out.whole)


def precision_ceiling(truth_sizes: np.ndarray, k: Sequence[int]) -> dict[str, float]:
    """Mean precision@k of perfect lists: mean over users of min(\\|T\\|, k) / k.

    Parameters
    ----------
    truth_sizes : integer array (n_users)
        Held-out tracks a user.
    k : sequence of int
        List lengths.

    Returns
    -------
    dict of str to float
        By name, `precision@<k>_ceiling`; 0 where there is no user.
    """
    sizes = np.asarray(truth_sizes)
    return {
        f"precision@{n}_ceiling": float(np.minimum(sizes, n).mean() / n) if len(sizes) else 0.0
        for n in sorted(k)
    }


def known_truth(
    truth_indptr: np.ndarray, truth_indices: np.ndarray, n_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Drop the held-out tracks unknown to training (ids of `n_items` and above) from the truth.

    Returns
    -------
    indptr : int64 array (n_users + 1)
    indices : int32 array
    """
    known = truth_indices < n_items
    kept = np.concatenate(([0], np.cumsum(known)))
    return kept[truth_indptr].astype(np.int64), truth_indices[known].astype(np.int32)


class _Truth(NamedTuple):
    """Held-out items of every user as compressed rows; ids are below `n_ids`."""

    indptr: np.ndarray
    indices: np.ndarray
    n_ids: int


class _Cuts(NamedTuple):
    """List lengths; gains[i] = 1 / log2(i + 2) of position i from 0; ideal[n], n hits' sum."""

    lengths: np.ndarray
    gains: np.ndarray
    ideal: np.ndarray


class _Scores(NamedTuple):
    """`by_metric` (metric in the order of HITS, user, k); `whole`: of the whole list (user)."""

    by_metric: np.ndarray
    whole: np.ndarray


@kernel()
def _score(recommended, truth, cuts, out, start, stop):
    """Fill rows start to stop of `out`."""
    in_truth = np.zeros(truth.n_ids, np.bool_)  # of one user
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
        row = out.by_metric[:, user]
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
        out.whole[user] = precision_sum / n_truth
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
