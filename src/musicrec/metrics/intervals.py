"""How sure a mean over users is: bootstrap intervals, and a paired comparison of configurations.

Users are the sampling unit: each contributes one value a metric, and two configurations judged
on the same users are compared by the differences within users, which cancels most of the noise.
Every interval has the confidence `1 - SIGNIFICANCE` and every test the level `SIGNIFICANCE`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import ndtr, stdtrit

from musicrec.jit.kernel import STEP, kernel, mix
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.verdicts import (
    BETTER,
    CANNOT_TELL,
    EQUIVALENT,
    IDENTICAL,
    MARGIN,
    NO_WORSE,
    TOO_FEW,
    WORSE,
)

K = TypeVar("K")
SIGNIFICANCE = 0.05
CONFIDENCE = f"{100 * (1 - SIGNIFICANCE):g} %"  # in words
# Below so many users who differ, neither the interval nor the test keeps what it promises on
# per-user metrics with their many zeros (measured: tests/metrics/test_intervals.py).
FEWEST_USERS = 50
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
        Mean of head - base within users, and its paired bootstrap interval.
    change, change_low, change_high : float or None
        The same as shares of the mean of base, from the same resamples; None where a resample
        has a mean of base that is not above 0.
    p_value : float
        Of the two-sided paired test of no difference.
    adjusted_p_value : float
        The same after Holm's correction for the number of metrics compared.
    n_users, n_differ : int
        How many users there are, and how many of them differ.
    verdict : str
        See `compare_paired`.
    """

    base: float
    head: float
    difference: float
    low: float
    high: float
    change: float | None
    change_low: float | None
    change_high: float | None
    p_value: float
    adjusted_p_value: float
    n_users: int
    n_differ: int
    verdict: str

    def users_needed(self, margin: float) -> int | None:
        """About how many users like these a verdict takes where `verdict` is that there is none.

        For `too few users`, so many that `FEWEST_USERS` of them differ. For `cannot tell`, so
        many that half the interval of the relative change is the margin, or the change itself
        with a margin of 0: it shrinks with the square root of their number.

        Returns
        -------
        int or None
            None where nothing says how many.
        """
        if self.verdict == TOO_FEW:
            return math.ceil(self.n_users * FEWEST_USERS / self.n_differ)
        if self.change_low is None or self.change_high is None:
            return None
        half, aim = (self.change_high - self.change_low) / 2, margin or abs(self.change or 0.0)
        return math.ceil(self.n_users * (half / aim) ** 2) if aim else None


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

    for_blocks(resample_block, blocks(samples, _BLOCK), threads)
    return means


def mean_intervals(
    columns: Mapping[K, np.ndarray], samples: int, seed: int, threads: int | None = None
) -> dict[K, Interval]:
    """Mean over users of each metric with its bootstrap interval.

    The interval is the expanded percentile interval: percentiles a little further out, as far as
    Student's t lies from the normal distribution, because the plain one is too narrow for few
    users. Users whose value is 0 do not count as users there.

    Parameters
    ----------
    columns : mapping of any key to float64 array (n_users)
        Per-user values by metric; all over the same users, at least one.
    samples, seed : int
        As for `bootstrap_means`.

    References
    ----------
    Hesterberg, What teachers should know about the bootstrap, The American Statistician 69(4),
    2015, section 5.3.
    """
    rows = np.column_stack(list(columns.values()))
    means = bootstrap_means(rows, samples, seed, threads)
    intervals = {}
    for i, (name, values) in enumerate(columns.items()):
        low, high = _percentiles(means[:, i], int(np.count_nonzero(values)))
        intervals[name] = Interval(float(values.mean()), low, high)
    return intervals


def enough_users(differences: np.ndarray) -> bool:
    """Whether enough users differ (`FEWEST_USERS`) to call one configuration the better one."""
    return int(np.count_nonzero(differences)) >= FEWEST_USERS


def shown_higher(differences: np.ndarray, interval: Interval) -> bool:
    """Whether the mean difference is shown to be above 0: by enough users, and all its interval.

    Parameters
    ----------
    differences : float64 array (n_users)
        Of one metric within users.
    interval : Interval
        That of `differences`, from `mean_intervals`.
    """
    return enough_users(differences) and interval.low > 0


def compare_paired(
    base: Mapping[str, np.ndarray],
    head: Mapping[str, np.ndarray],
    samples: int,
    seed: int,
    margin: float = MARGIN,
    threads: int | None = None,
) -> dict[str, Comparison]:
    """Compare two configurations metric by metric over the same users; higher is better.

    The verdict is the first of these that holds:

    `identical`
        No user differs.
    `equivalent within the margin`
        The whole interval of the relative change lies between -margin and +margin, and there are
        at least `FEWEST_USERS`, however many of them differ.
    `too few users`
        Fewer than `FEWEST_USERS` differ.
    `better`, `worse`
        The test, corrected for the number of metrics, rejects that the mean difference is 0.
    `no worse than the margin`
        The whole interval of the relative change lies above -margin.
    `cannot tell`
        None of the above.

    With a margin of 0 neither `equivalent` nor `no worse` is ever said.

    Parameters
    ----------
    base, head : mapping of str to float64 array (n_users)
        Per-user values by metric; user i is the same user in every array.
    samples, seed : int
        As for `bootstrap_means`.
    margin : float
        The relative change that matters, as a share of the mean of base.

    Returns
    -------
    dict of str to Comparison
        For the metrics of `base`, in their order; Holm's correction counts all of them.

    References
    ----------
    Non-inferiority by the lower end of the two-sided interval: ICH E9, Statistical principles for
    clinical trials, 1998, section 3.3.2; Piaggio et al., JAMA 308(24), 2012. Equivalence by an
    interval inside the margins: Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987 (whose two tests
    at 5 % take the 90 % interval; the one here is stricter). Several metrics that all must pass
    need no correction: Berger, Technometrics 24(4), 1982.
    """
    differences = {name: head[name] - base[name] for name in base}
    rows = np.column_stack([*differences.values(), *base.values()])
    means = bootstrap_means(rows, samples, seed, threads)
    p_values = [paired_p_value(values) for values in differences.values()]
    adjusted = holm(p_values)
    found = {}
    for i, (name, values) in enumerate(differences.items()):
        n_differ = int(np.count_nonzero(values))
        old, difference = float(base[name].mean()), float(values.mean())
        low, high = _percentiles(means[:, i], n_differ)
        change = None
        of_base = means[:, len(differences) + i]
        if of_base.min() > 0:
            shares = _percentiles(means[:, i] / of_base, n_differ)
            change = Interval(difference / old, *shares)
        found[name] = Comparison(
            base=old,
            head=float(head[name].mean()),
            difference=difference,
            low=low,
            high=high,
            change=change.mean if change else None,
            change_low=change.low if change else None,
            change_high=change.high if change else None,
            p_value=p_values[i],
            adjusted_p_value=adjusted[i],
            n_users=len(values),
            n_differ=n_differ,
            verdict=_verdict(values, adjusted[i], change, margin),
        )
    return found


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
    from scipy.stats import ttest_1samp  # imports for most of a second; few callers test

    if len(differences) < 2 or not differences.any():
        return 1.0
    with warnings.catch_warnings():  # of lost precision, where all users differ by the same amount
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Adjust p-values for their number, so that the chance of any false alarm is kept.

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


def _verdict(
    differences: np.ndarray, adjusted_p_value: float, change: Interval | None, margin: float
) -> str:
    if not differences.any():
        return IDENTICAL
    low, high = (change.low, change.high) if change else (-np.inf, np.inf)
    no_worse = margin > 0 and low > -margin
    if no_worse and high < margin and len(differences) >= FEWEST_USERS:
        return EQUIVALENT
    if not enough_users(differences):
        return TOO_FEW
    if adjusted_p_value < SIGNIFICANCE:
        return BETTER if differences.mean() > 0 else WORSE
    return NO_WORSE if no_worse else CANNOT_TELL


def _percentiles(means: np.ndarray, n_users: int) -> tuple[float, float]:
    """Ends of the expanded percentile interval of resampled means."""
    tail = 0.0
    if n_users > 1:
        factor = np.sqrt(n_users / (n_users - 1))
        tail = float(ndtr(factor * stdtrit(n_users - 1, SIGNIFICANCE / 2)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


@kernel()
def _resample(values, seed, start, stop, means):
    """Fill rows start to stop of `means`."""
    n_users, n_metrics = values.shape
    drawn = np.zeros(n_users, np.uint16)  # times; small, so that random access stays in cache
    for sample in range(start, stop):
        state = mix(mix(seed) + np.uint64(sample))
        for _ in range(n_users):
            state += STEP
            bits = np.int64(mix(state) >> np.uint64(11))  # signed: one instruction to a float
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
