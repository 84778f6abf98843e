"""How sure a mean over users is: bootstrap intervals, and a paired test of two configurations.

Users are the sampling unit: each contributes one value a metric, and two configurations judged
on the same users are compared by the differences within users, which cancels most of the noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import stdtr

from musicrec.jit import kernel
from musicrec.parallel import for_blocks

K = TypeVar("K")
SIGNIFICANCE = 0.05  # of tests; intervals have the confidence 1 - SIGNIFICANCE
_BLOCK = 64  # resamples a block


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One metric of two configurations over the same users.

    Attributes
    ----------
    base, head : float
        Means over users.
    difference, low, high : float
        Mean of head - base within users, and its 95 % bootstrap interval.
    p_value : float
        Of the two-sided paired test of no difference.
    adjusted_p_value : float
        The same after Holm's correction for the number of metrics compared.
    verdict : str
        `better` or `worse` where the adjusted p-value is below 0.05; `identical` where no user
        differs; else `no difference shown`. Higher is better for every metric.
    """

    base: float
    head: float
    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float
    verdict: str


def bootstrap_means(
    values: np.ndarray, samples: int, seed: int, threads: int | None = None
) -> np.ndarray:
    """Means of `samples` resamples of the rows with replacement.

    All columns share the draws of a resample, so that the joint distribution is kept. A resample's
    draws depend on (seed, its number) alone: the result has the same bits for any `threads`.

    Parameters
    ----------
    values : float64 array (n_users, n_metrics)
        One row a user; at least one.
    samples : int
        Number of resamples.
    seed : int
    threads : int, optional

    Returns
    -------
    float64 array (samples, n_metrics)

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993. The generator is SplitMix64
    (Steele, Lea and Flood, OOPSLA 2014).
    """
    rows = np.ascontiguousarray(values, dtype=np.float64)
    means = np.empty((samples, rows.shape[1]))

    def resample_block(start: int, stop: int) -> None:
        _resample(rows, np.uint64(seed), start, stop, means)

    for_blocks(resample_block, [*range(0, samples, _BLOCK), samples], threads)
    return means


def mean_intervals(
    columns: Mapping[K, np.ndarray], samples: int, seed: int, threads: int | None = None
) -> dict[K, Interval]:
    """Mean over users of each metric with its bootstrap percentile interval (95 %).

    Parameters
    ----------
    columns : mapping of any key to float64 array (n_users)
        Per-user values by metric; all over the same users, at least one.
    samples, seed : int
        As for `bootstrap_means`.
    """
    rows = np.column_stack(list(columns.values()))
    low, high = _percentiles(bootstrap_means(rows, samples, seed, threads))
    return {
        name: Interval(float(values.mean()), float(low[i]), float(high[i]))
        for i, (name, values) in enumerate(columns.items())
    }


def compare_paired(
    base: Mapping[str, np.ndarray],
    head: Mapping[str, np.ndarray],
    samples: int,
    seed: int,
    threads: int | None = None,
) -> dict[str, Comparison]:
    """Compare two configurations metric by metric over the same users.

    Parameters
    ----------
    base, head : mapping of str to float64 array (n_users)
        Per-user values by metric; user i is the same user in every array.
    samples, seed : int
        As for `bootstrap_means`.

    Returns
    -------
    dict of str to Comparison
        For the metrics of `base`, in their order; Holm's correction counts all of them.
    """
    differences = {name: head[name] - base[name] for name in base}
    intervals = mean_intervals(differences, samples, seed, threads)
    p_values = [paired_p_value(values) for values in differences.values()]
    adjusted = holm(p_values)
    return {
        name: Comparison(
            base=float(base[name].mean()),
            head=float(head[name].mean()),
            difference=interval.mean,
            low=interval.low,
            high=interval.high,
            p_value=p_values[i],
            adjusted_p_value=adjusted[i],
            verdict=_verdict(differences[name], adjusted[i]),
        )
        for i, (name, interval) in enumerate(intervals.items())
    }


def paired_p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of Student's paired t-test that the mean difference is 0.

    Over a thousand users and more the mean is as good as normal, however skewed the metric, so
    the test keeps its false-alarm rate where a rank test (Wilcoxon) would ask another question:
    its null is symmetry, which per-user metrics with their many zeros do not have.

    Parameters
    ----------
    differences : float64 array (n_users)

    Returns
    -------
    float
        1 where no user differs, or there are fewer than two users.

    References
    ----------
    Smucker, Allan and Carterette, A comparison of statistical significance tests for information
    retrieval evaluation, CIKM 2007. Urbano, Lima and Hanjalic, SIGIR 2019.
    """
    n = len(differences)
    if n < 2 or not differences.any():
        return 1.0
    error = differences.std(ddof=1) / np.sqrt(n)
    if error == 0.0:
        return 0.0  # every user differs by the same amount
    return float(2.0 * stdtr(n - 1, -abs(differences.mean() / error)))


def holm(p_values: list[float]) -> list[float]:
    """Adjust p-values for their number, so that any false alarm has at most 5 % chance at 0.05.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 1979.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def _verdict(differences: np.ndarray, adjusted_p_value: float) -> str:
    if not differences.any():
        return "identical"
    if adjusted_p_value >= SIGNIFICANCE:
        return "no difference shown"
    return "better" if differences.mean() > 0 else "worse"


def _percentiles(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(means, [SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2], axis=0)
    return low, high


@kernel()
def _resample(values, seed, start, stop, means):  # type: ignore[no-untyped-def]
    """Fill rows start to stop of `means`."""
    n_users, n_metrics = values.shape
    drawn = np.zeros(n_users, np.uint16)  # times; small, so that random access stays in cache
    for sample in range(start, stop):
        state = _mix(_mix(seed) + np.uint64(sample))
        for _ in range(n_users):
            state += np.uint64(0x9E3779B97F4A7C15)
            bits = np.int64(_mix(state) >> np.uint64(11))  # signed: one instruction to a float
            fraction = np.float64(bits) * (1.0 / 9007199254740992.0)
            drawn[np.int64(fraction * n_users)] += 1
        sums = np.zeros(n_metrics)
        for user in range(n_users):
            times = np.float64(drawn[user])
            row = values[user]
            for metric in range(n_metrics):
                sums[metric] += times * row[metric]
            drawn[user] = 0
        for metric in range(n_metrics):
            means[sample, metric] = sums[metric] / n_users


@kernel()
def _mix(state):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the output function of SplitMix64)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
