"""Intervals and tests: known answers, and simulations of coverage and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from musicrec.metrics.intervals import (
    bootstrap_means,
    compare_paired,
    holm,
    mean_intervals,
    paired_p_value,
)


def metric_like(rng, shape):
    """Values as per-user metrics have them: many zeros, a long right tail."""
    return rng.beta(0.4, 4.0, shape) * (rng.random(shape) < 0.7)


def test_the_interval_covers_the_mean_in_95_percent_of_1000_runs():
    rng = np.random.default_rng(1)
    runs, n_users = 1000, 1000
    true_mean = 0.7 * 0.4 / 4.4
    # One column a run: the resamples are shared, the users of each run are drawn afresh.
    values = metric_like(rng, (n_users, runs))
    columns = {str(run): values[:, run] for run in range(runs)}
    intervals = mean_intervals(columns, samples=1000, seed=7)
    covered = np.mean([i.low <= true_mean <= i.high for i in intervals.values()])
    assert 0.93 <= covered <= 0.97  # 0.95 +- three standard errors of 1,000 runs


def test_the_paired_interval_covers_the_true_difference():
    rng = np.random.default_rng(2)
    runs, n_users, shift = 1000, 1000, 0.01
    base = metric_like(rng, (n_users, runs))
    gain = rng.normal(shift, 0.1, (n_users, runs)) * (rng.random((n_users, runs)) < 0.5) * 2
    columns = {str(run): gain[:, run] for run in range(runs)}
    zeros = {name: base[:, int(name)] for name in columns}
    heads = {name: base[:, int(name)] + values for name, values in columns.items()}
    found = compare_paired(zeros, heads, samples=1000, seed=3)
    covered = np.mean([c.low <= shift <= c.high for c in found.values()])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("n_users", [1000, 20_000])
def test_false_alarms_are_5_percent_where_nothing_differs(n_users):
    rng = np.random.default_rng(3)
    runs = 1000
    alarms = 0
    for _ in range(runs):
        # Same distribution for both, but a skewed one: base and head swap roles at random.
        difference = metric_like(rng, n_users) - metric_like(rng, n_users)
        difference *= rng.random(n_users) < 0.3
        alarms += paired_p_value(difference) < 0.05
    assert 0.03 <= alarms / runs <= 0.07


def test_the_test_finds_a_real_difference():
    rng = np.random.default_rng(4)
    base = metric_like(rng, 5000)
    found = compare_paired({"m": base}, {"m": base + rng.normal(0.005, 0.05, 5000)}, 1000, 0)["m"]
    assert found.verdict == "better"
    assert 0 < found.low < found.difference < found.high
    back = compare_paired({"m": base + 0.01}, {"m": base}, 1000, 0)["m"]
    assert back.verdict == "worse"


def test_equals_scipys_paired_t_test():
    rng = np.random.default_rng(5)
    a, b = metric_like(rng, 500), metric_like(rng, 500)
    assert paired_p_value(b - a) == pytest.approx(scipy_stats.ttest_rel(b, a).pvalue, rel=1e-9)


def test_p_value_of_no_users_one_user_and_no_difference():
    assert paired_p_value(np.array([])) == 1.0
    assert paired_p_value(np.array([0.3])) == 1.0
    assert paired_p_value(np.zeros(100)) == 1.0
    assert paired_p_value(np.full(64, 0.25)) == 0.0


def test_the_standard_deviation_of_the_bootstrap_is_the_standard_error_of_the_mean():
    values = metric_like(np.random.default_rng(6), (2000, 1))
    error = values.std() / np.sqrt(len(values))
    assert bootstrap_means(values, 4000, seed=1).std() == pytest.approx(error, rel=0.05)


def test_bootstrap_of_a_single_user_is_that_user():
    assert (bootstrap_means(np.array([[0.25, 1.0]]), 100, 0) == [0.25, 1.0]).all()


def test_seed_fixes_every_bit_and_threads_change_none():
    values = metric_like(np.random.default_rng(8), (300, 3))
    first = bootstrap_means(values, 200, seed=5, threads=1)
    assert np.array_equal(first, bootstrap_means(values, 200, seed=5, threads=4))
    assert np.array_equal(first[:, 1:2], bootstrap_means(values[:, 1:2], 200, seed=5))
    assert not np.array_equal(first, bootstrap_means(values, 200, seed=6))


def test_holm_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04; never falling.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_alarm_at_5_percent():
    p_values = np.random.default_rng(9).random((2000, 8))
    alarms = np.mean([min(holm(list(row))) < 0.05 for row in p_values])
    assert 0.035 <= alarms <= 0.065


def test_verdicts_of_identical_and_of_noise():
    rng = np.random.default_rng(10)
    base = {"same": metric_like(rng, 1000), "noise": metric_like(rng, 1000)}
    head = {"same": base["same"].copy(), "noise": rng.permutation(base["noise"])}
    found = compare_paired(base, head, 500, 0)
    assert found["same"].verdict == "identical"
    assert found["same"].difference == found["same"].low == found["same"].high == 0
    assert found["noise"].verdict == "no difference shown"
    assert found["noise"].adjusted_p_value >= found["noise"].p_value
