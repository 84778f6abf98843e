"""What accuracy does not say: reach, concentration, popularity and novelty, and for whom."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.intervals import mean_intervals

HISTORY_EDGES = (0, 1, 5, 10, 20, 50, 100, 200, 500)  # tracks a user has in training
POPULARITY_EDGES = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000)  # users of a track
_BLOCK = 1024  # users a block


def exposure(recommended: np.ndarray, n_items: int, k: Sequence[int]) -> Iterator[np.ndarray]:
    """Count in how many of the top-k lists each item stands, for each k in ascending order.

    Parameters
    ----------
    recommended : int32 array (n_users, length)
        Item ids, padded with -1.
    n_items : int
        Size of the catalogue: the tracks with training plays.
    k : sequence of int

    Yields
    ------
    int64 array (n_items)
    """
    counts = np.zeros(n_items, np.int64)
    start = 0
    for stop in sorted(k):
        _count(recommended[:, start:stop], counts)
        yield counts.copy()
        start = stop


def catalogue_coverage(counts: np.ndarray) -> float:
    """Share of the catalogue that stands in at least one list.

    Parameters
    ----------
    counts : integer array (n_items)
        Lists in which each item stands (`exposure`).

    References
    ----------
    Herlocker et al., Evaluating collaborative filtering recommender systems, ACM TOIS 22(1),
    2004; Ge, Delgado-Battenfeld and Jannach, Beyond accuracy, RecSys 2010.
    """
    return float(np.count_nonzero(counts) / len(counts))


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of exposure: 0 if all items are shown equally often, near 1 if one is.

    With x_1 <= ... <= x_n: sum over i of (2 i - n - 1) x_i / (n sum x). Items never shown count.
    Where nothing is shown at all it is 0.

    Parameters
    ----------
    counts : integer array (n_items)
        Lists in which each item stands (`exposure`).

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


def list_means(
    recommended: np.ndarray, users_of: np.ndarray, n_users: int, k: Sequence[int]
) -> dict[str, np.ndarray]:
    """Mean popularity and novelty of each user's top-k recommendations.

    `popularity@<k>`
        Mean over the list of the number of training users of a track (average recommendation
        popularity; Yin et al., Challenging the long tail recommendation, VLDB 2012).
    `novelty@<k>`
        Mean over the list of the self-information -log2(p) of a track in bits, p the share of
        the training users who have played it (Zhou et al., PNAS 107(10), 2010; Vargas and
        Castells, RecSys 2011).

    Parameters
    ----------
    recommended : int32 array (n_lists, length)
        Item ids, padded with -1.
    users_of : integer array (n_items)
        Training users of each item, at least 1 where it is recommended.
    n_users : int
        Number of training users.
    k : sequence of int

    Returns
    -------
    dict of str to float64 array (n_lists)
        NaN for an empty list, which has no mean. A list shorter than k is averaged over what
        it holds.
    """
    lengths = np.array(sorted(k), dtype=np.int64)
    plays = np.maximum(users_of, 1).astype(np.float64)
    weights = np.column_stack([plays, np.log2(n_users / plays)])
    means = np.full((2, len(lengths), len(recommended)), np.nan)

    def average_block(start: int, stop: int) -> None:
        _average(recommended, weights, lengths, start, stop, means)

    for_blocks(average_block, blocks(len(recommended), _BLOCK))
    return {
        f"{name}@{length}": means[i, column]
        for i, name in enumerate(("popularity", "novelty"))
        for column, length in enumerate(lengths)
    }


def median_popularity(indptr: np.ndarray, indices: np.ndarray, users_of: np.ndarray) -> np.ndarray:
    """Median over each user's held-out tracks of the number of training users of a track.

    Parameters
    ----------
    indptr, indices : held-out tracks in compressed rows
        Ids of `len(users_of)` and above are unknown to training: popularity 0.
    users_of : integer array (n_items)

    Returns
    -------
    float64 array (n_users)
        0 for a user without held-out tracks.
    """
    known = indices < len(users_of)
    popularity = np.where(known, users_of[np.where(known, indices, 0)], 0)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    shift = rows * (int(users_of.max(initial=0)) + 1)  # keeps the rows apart in one sort
    ascending = np.sort(shift + popularity) - shift
    sizes = np.diff(indptr)
    filled = np.flatnonzero(sizes)
    medians = np.zeros(len(sizes))
    first, size = indptr[:-1][filled], sizes[filled]
    medians[filled] = (ascending[first + (size - 1) // 2] + ascending[first + size // 2]) / 2.0
    return medians


def slice_rows(
    values: np.ndarray,
    edges: Sequence[int],
    models: Mapping[str, Mapping[str, np.ndarray]],
    samples: int,
    seed: int,
) -> list[dict[str, object]]:
    """Average metrics over slices of the users, with bootstrap intervals: the rows of a plot.

    Parameters
    ----------
    values : array (n_users)
        What the users are sliced by.
    edges : sequence of int
        A slice reaches from one edge to below the next; the last has no end.
    models : mapping of model name to mapping of metric name to float64 array (n_users)
    samples, seed : int
        Of the bootstrap (`musicrec.metrics.intervals.bootstrap_means`).

    Returns
    -------
    list of dict
        A row a slice and model: `slice` (its label), `model`, `n_users`, and for each metric its
        mean and, as `<metric>_low` and `<metric>_high`, its interval. Empty slices are left out.
    """
    place = np.searchsorted(edges, values, side="right") - 1
    rows: list[dict[str, object]] = []
    for i, label in enumerate(slice_labels(edges)):
        inside = np.flatnonzero(place == i)
        if not len(inside):
            continue
        columns = {
            (model, name): column[inside]
            for model, metrics in models.items()
            for name, column in metrics.items()
        }
        found = mean_intervals(columns, samples, seed)  # of all at once: they share the draws
        for model, metrics in models.items():
            row: dict[str, object] = {"slice": label, "model": model, "n_users": len(inside)}
            for name in metrics:
                interval = found[model, name]
                row[name] = interval.mean
                row[f"{name}_low"], row[f"{name}_high"] = interval.low, interval.high
            rows.append(row)
    return rows


def slice_labels(edges: Sequence[int]) -> list[str]:
    """Name the slices: `0`, `1-4`, `5-9`, ..., `500+`."""
    pairs = itertools.pairwise(edges)
    closed = [f"{low}-{high - 1}" if high - low > 1 else f"{low}" for low, high in pairs]
    return [*closed, f"{edges[-1]}+"]


@kernel()
def _count(lists, counts):
    """Add to `counts` how often each item stands in the lists."""
    for row in range(lists.shape[0]):
        for item in lists[row]:
            if item < 0:
                break
            counts[item] += 1


@kernel()
def _average(recommended, weights, lengths, start, stop, means):
    """Fill columns start to stop of `means` (weight, k, list)."""
    for row in range(start, stop):
        first = second = 0.0
        count = 0
        for column in range(len(lengths)):
            limit = min(lengths[column], recommended.shape[1])
            while count < limit and recommended[row, count] >= 0:
                first += weights[recommended[row, count], 0]
                second += weights[recommended[row, count], 1]
                count += 1
            if count > 0:
                means[0, column, row] = first / count
                means[1, column, row] = second / count
