"""How sure a mean over users is: bootstrap intervals, and a paired comparison of configurations.

Users are the sampling unit: each contributes one value a metric, and two configurations judged
on the same users are compared by the differences within users, which cancels most of the noise.
Every interval has the confidence `1 - SIGNIFICANCE` and every test the level `SIGNIFICANCE`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from musicrec.jit.kernel import STEP, kernel, mix
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.definitions import (
    BETTER,
    CANNOT_TELL,
    EQUIVALENT,
    HIGHER,
    IDENTICAL,
    LOWER,
    MARGIN,
    NO_WORSE,
    TOO_FEW,
    WORSE,
    direction,
)

K = TypeVar("K")
SIGNIFICANCE = 0.05
CONFIDENCE = f"{100 * (1 - SIGNIFICANCE):g} %"  # in words
# Below so many users who differ, neither the interval nor the test keeps what it promises on
# per-user metrics with their many zeros (measured: tests/metrics/test_intervals.py).
FEWEST_USERS = 50
_BLOCK = 64  # resamples a block


class Interval(NamedTuple):
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
    start_sd : float, optional
        Standard deviation of a mean over users from start to start (`compare_starts`).
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
    start_sd: float | None = None

    def toward_better(self, better: str) -> tuple[float, float, float]:
        """The relative change and the ends of its interval, signed so that a gain is positive."""
        ends = self.change, self.change_low, self.change_high
        if None in ends:
            return self.difference * (-1 if better == "lower" else 1), -np.inf, np.inf
        change, low, high = map(float, ends)  # type: ignore[arg-type]
        return (-change, -high, -low) if better == "lower" else (change, low, high)

    def users_needed(self, margin: float, better: str) -> int | None:
        """About how many users like these a verdict takes where `verdict` is that there is none.

        For `too few users`, so many that `FEWEST_USERS` of them differ. For `cannot tell`, so
        many that the interval of the relative change, which shrinks with the square root of their
        number, leaves out 0 or a loss as large as the margin. None where nothing says how many, or
        these are enough but for the correction for several metrics.
        """
        if self.verdict == TOO_FEW:
            return math.ceil(self.n_users * FEWEST_USERS / self.n_differ)
        change, low, high = self.toward_better(better)
        distance = max(abs(change), change + margin if better != "neither" else 0.0)
        if not np.isfinite(high - low) or not distance:
            return None
        needed = math.ceil(self.n_users * ((high - low) / 2 / distance) ** 2)
        return needed if needed > self.n_users else None

    def margin_needed(self, better: str) -> float | None:
        """The least whole percent at which these users tell that head is no worse than it."""
        low = self.toward_better(better)[1]
        told = math.floor(1 - 100 * low) / 100 if np.isfinite(low) else 1.0
        return told if better != "neither" and told < 1 else None


def bootstrap_means(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Means of `samples` resamples of the rows with replacement.

    All columns share the draws of a resample, so that the joint distribution is kept. A resample's
    draws depend on (seed, its number) alone, so that no bit depends on the number of threads.

    Parameters
    ----------
    values : float64 array (n_users, n_metrics)
        One row a user; at least one.
    samples : int
        Number of resamples.
    seed : int

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

    for_blocks(partial(_resample, rows, np.uint64(seed), means), blocks(samples, _BLOCK))
    return means


def mean_intervals(columns: Mapping[K, np.ndarray], samples: int, seed: int) -> dict[K, Interval]:
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
    means = _resampled(columns, samples, seed)
    intervals = {}
    for name, values in columns.items():
        low, high = _percentiles(means[name], int(np.count_nonzero(values)))
        intervals[name] = Interval(float(values.mean()), low, high)
    return intervals


def _resampled(columns: Mapping[K, np.ndarray], samples: int, seed: int) -> dict[K, np.ndarray]:
    """Resampled means of each column; those of as many users share the draws."""
    found: dict[K, np.ndarray] = {}
    for n_users in sorted({len(values) for values in columns.values()}):
        alike = {name: values for name, values in columns.items() if len(values) == n_users}
        means = bootstrap_means(np.column_stack(list(alike.values())), samples, seed)
        found |= dict(zip(alike, means.T, strict=True))
    return found


def shown_higher(differences: np.ndarray, interval: Interval) -> bool:
    """Whether the mean difference is shown to be above 0: by enough users, and all its interval.

    Parameters
    ----------
    differences : float64 array (n_users)
        Of one metric within users.
    interval : Interval
        That of `differences`, from `mean_intervals`.
    """
    enough_users = np.count_nonzero(differences) >= FEWEST_USERS
    return bool(enough_users and interval.low > 0)


def compare_paired(
    base: Mapping[str, np.ndarray],
    head: Mapping[str, np.ndarray],
    samples: int,
    seed: int,
    margin: float = MARGIN,
) -> dict[str, Comparison]:
    """Compare two configurations metric by metric over the same users.

    docs/review.md says when each verdict holds. With a margin of 0 neither `equivalent` nor
    `no worse` is ever said.

    Parameters
    ----------
    base, head : mapping of str to float64 array (n_users)
        Per-user values by metric, named as `map@10`, whose direction is that of `METRICS`; user i
        is the same user in every array. A user with NaN on either side does not count for that
        metric; at least one is left.
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
    known = {name: ~np.isnan(head[name] - base[name]) for name in base}
    pairs = {name: (base[name][users], head[name][users]) for name, users in known.items()}
    gains = {("gain", name): new - old for name, (old, new) in pairs.items()}
    means = _resampled(gains | {name: old for name, (old, _) in pairs.items()}, samples, seed)
    found = {}
    for name, (old, new) in pairs.items():
        values, of_gain, of_base = gains["gain", name], means["gain", name], means[name]
        mean, n_differ = float(values.mean()), int(np.count_nonzero(values))
        change = None
        if of_base.min() > 0:
            ends = _percentiles(of_gain / of_base, n_differ)
            change = Interval(mean / float(old.mean()), *ends)
        difference = Interval(mean, *_percentiles(of_gain, n_differ))
        found[name] = _compared(old, new, difference, change, paired_p_value(values))
    return _judged(found, margin)


def _compared(
    base: np.ndarray, head: np.ndarray, difference: Interval, change: Interval | None, p: float
) -> Comparison:
    """What `_judged` corrects and gives a verdict; `base` and `head` are values by user."""
    return Comparison(
        float(base.mean()),
        float(head.mean()),
        *difference,
        change=change.mean if change else None,
        change_low=change.low if change else None,
        change_high=change.high if change else None,
        p_value=p,
        adjusted_p_value=p,
        n_users=len(base),
        n_differ=int(np.count_nonzero(head - base)),
        verdict="",
    )


def _judged(found: Mapping[str, Comparison], margin: float) -> dict[str, Comparison]:
    """Correct the p-values for their number, and give verdicts."""
    adjusted = holm([row.p_value for row in found.values()])
    judged = {}
    for (name, row), p_value in zip(found.items(), adjusted, strict=True):
        row = replace(row, adjusted_p_value=p_value)
        judged[name] = replace(row, verdict=_verdict(row, margin, direction(name)))
    return judged


def compare_starts(
    base: Mapping[str, np.ndarray],
    head: Mapping[str, np.ndarray],
    margin: float = MARGIN,
) -> dict[str, Comparison]:
    """Compare two configurations over the same users and several training runs of each.

    Users and starts are crossed random effects, the starts of each configuration its own. The
    variance of the difference of means is that of users / n, plus for each configuration that of
    starts / their number, plus what is left of user and start together; with Satterthwaite's
    degrees of freedom it gives the interval and the test. That of the relative change is by the
    delta method. Verdicts as of `compare_paired`.

    Parameters
    ----------
    base, head : mapping of str to float64 array (n_starts, n_users)
        NaN as there, on any start.

    References
    ----------
    Brennan, Generalizability Theory, 2001, chapters 3 and 4. Satterthwaite, An approximate
    distribution of estimates of variance components, Biometrics Bulletin 2(6), 1946. Bouthillier
    et al., Accounting for variance in machine learning benchmarks, MLSys 2021.
    """
    found = {}
    for name in base:
        known = ~(np.isnan(base[name]).any(axis=0) | np.isnan(head[name]).any(axis=0))
        old, new = base[name][:, known], head[name][:, known]
        difference, p_value = _crossed(old, new)
        change, mean = None, float(old.mean())
        if mean > 0:
            ratio = float(new.mean()) / mean
            around, _ = _crossed(old * ratio / mean, new / mean)  # their difference is 0
            change = Interval(ratio - 1, ratio - 1 + around.low, ratio - 1 + around.high)
        row = _compared(old.mean(axis=0), new.mean(axis=0), difference, change, p_value)
        sd = float(np.sqrt(np.mean([side.mean(axis=1).var(ddof=1) for side in (old, new)])))
        found[name] = replace(row, start_sd=sd)
    return _judged(found, margin)


def _crossed(base: np.ndarray, head: np.ndarray) -> tuple[Interval, float]:
    """Mean difference of two arrays (n_starts, n_users) with its interval, and its p-value."""
    n_users = base.shape[1]
    parts = [(float((head.mean(axis=0) - base.mean(axis=0)).var(ddof=1)) / n_users, n_users - 1)]
    for values in (base, head):
        n_starts = len(values)
        left = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        both = float((left**2).sum()) / ((n_starts - 1) * (n_users - 1)) / n_users
        of_starts = float(values.mean(axis=1).var(ddof=1))
        parts.append((max(0.0, of_starts - both) / n_starts, n_starts - 1))
    difference, variance = float(head.mean() - base.mean()), sum(part for part, _ in parts)
    if variance == 0:
        return Interval(difference, difference, difference), 0.0 if difference else 1.0
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    error = np.sqrt(variance)
    half = float(stdtrit(degrees, 1 - SIGNIFICANCE / 2) * error)
    p_value = 2 * float(stdtr(degrees, -abs(difference) / error))
    return Interval(difference, difference - half, difference + half), p_value


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
    mean = differences.mean()
    variance = np.mean((differences - mean) ** 2) * (n / (n - 1))
    with np.errstate(divide="ignore"):  # where all users differ by the same amount
        return 2 * float(stdtr(n - 1, -abs(mean / np.sqrt(variance / n))))


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


def _verdict(row: Comparison, margin: float, better: str) -> str:
    if not row.n_differ:
        return IDENTICAL
    gain, low, high = row.toward_better(better)
    no_worse = margin > 0 and low > -margin
    if no_worse and high < margin and row.n_users >= FEWEST_USERS:
        return EQUIVALENT
    if row.n_differ < FEWEST_USERS:
        return TOO_FEW
    if row.adjusted_p_value < SIGNIFICANCE:
        up, down = (HIGHER, LOWER) if better == "neither" else (BETTER, WORSE)
        return up if gain > 0 else down
    return NO_WORSE if no_worse and better != "neither" else CANNOT_TELL


def _percentiles(means: np.ndarray, n_users: int) -> tuple[float, float]:
    """Ends of the expanded percentile interval of resampled means."""
    tail = 0.0
    if n_users > 1:
        factor = np.sqrt(n_users / (n_users - 1))
        tail = float(ndtr(factor * stdtrit(n_users - 1, SIGNIFICANCE / 2)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


@kernel()
def _resample(values, seed, means, start, stop):
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
