"""Intervals and tests: known answers, and simulations of coverage and false alarms."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from musicrec.jit.parallel import using_threads
from musicrec.metrics.intervals import (
    FEWEST_USERS,
    Interval,
    bootstrap_means,
    compare_paired,
    compare_starts,
    holm,
    mean_intervals,
    paired_p_value,
    shown_higher,
)


def metric_like(rng, shape):
    """Values as per-user metrics have them: many zeros, a long right tail."""
    return rng.beta(0.4, 4.0, shape) * (rng.random(shape) < 0.7)


def test_paired_intervals_cover_the_true_difference_and_relative_change():
    rng = np.random.default_rng(11)
    runs, n_users, share = 1000, 500, 0.05
    base = metric_like(rng, (n_users, runs))
    head = base * rng.choice([0.6, 1 + 2 * share + 0.4], (n_users, runs))
    found = compare_paired(
        {str(run): base[:, run] for run in range(runs)},
        {str(run): head[:, run] for run in range(runs)},
        samples=1000,
        seed=3,
    )
    shift = share * 0.7 * 0.4 / 4.4  # of the mean of base
    covered = [(c.low <= shift <= c.high, c.change_low <= share <= c.change_high)
               for c in found.values()]  # fmt: skip
    for of_runs in np.mean(covered, axis=0):
        assert 0.93 <= of_runs <= 0.97  # 0.95 +- three standard errors of 1,000 runs
    row = found["7"]
    assert row.change == pytest.approx(row.head / row.base - 1)
    assert (row.change_low > 0) == (row.low > 0) and (row.change_high > 0) == (row.high > 0)
    same = compare_paired({"m": base[:, 0]}, {"m": 1.1 * base[:, 0]}, 200, 0)["m"]
    assert (same.change_low, same.change_high) == pytest.approx((0.1, 0.1))  # of every resample


@pytest.mark.parametrize(
    ("change", "stopping", "least"),
    [
        (-0.05, ("cannot tell", "worse"), 0.01),
        # From the other side of the margin: never called equivalent more often than that.
        (0.05, ("cannot tell", "better", "no worse than the margin"), 0.0),
    ],
)
def test_a_change_as_large_as_the_margin_is_passed_in_2_and_a_half_percent_of_runs(
    change, stopping, least
):
    rng, passed = np.random.default_rng(12), 0
    for run in range(1000):
        base = metric_like(rng, 500)
        head = base * (1 + change) * (1 + 0.3 * rng.choice([-1.0, 1.0], 500))
        verdict = compare_paired({"m": base}, {"m": head}, 400, run, 0.05)["m"].verdict
        passed += verdict not in stopping
    assert least <= passed / 1000 <= 0.04


def test_the_percentiles_are_further_out_the_fewer_the_users():
    """For 20 at Phi(sqrt(20 / 19) * t) with t = -2.0930, the 2.5 % of Student's 19 degrees."""
    values = np.zeros((100, 1))
    values[:20, 0] = np.random.default_rng(9).random(20)  # zeros do not count as users
    (found,) = mean_intervals({"m": values[:, 0]}, samples=1000, seed=3).values()
    means = bootstrap_means(values, samples=1000, seed=3)
    assert found[1:] == pytest.approx(np.quantile(means, [0.01588, 1 - 0.01588]), rel=1e-4)


def test_fewest_users_is_where_intervals_and_test_begin_to_hold():
    rng = np.random.default_rng(13)
    runs = 2000
    shape = (FEWEST_USERS, runs)
    differences = metric_like(rng, shape) - metric_like(rng, shape)
    differences[differences == 0] = 1e-9  # all of these users differ
    columns = {str(run): differences[:, run] for run in range(runs)}
    found = mean_intervals(columns, samples=1000, seed=5).values()
    assert 0.93 <= np.mean([i.low <= 0 <= i.high for i in found]) <= 0.97
    assert 0.03 <= np.mean([paired_p_value(d) < 0.05 for d in columns.values()]) <= 0.07
    # A rule is needed: with six users neither holds.
    six = {name: values[:6] for name, values in columns.items()}
    found = mean_intervals(six, samples=1000, seed=5).values()
    assert np.mean([i.low <= 0 <= i.high for i in found]) < 0.92
    assert np.mean([paired_p_value(d) < 0.05 for d in six.values()]) < 0.02


@pytest.mark.parametrize(
    ("change", "low", "high", "sign", "margin", "verdict"),
    [
        # Users who gain or lose one amount, and enough who do not, to place the interval.
        (0.10, 0.05, 0.15, +1, 0.01, "better"),
        (0.10, 0.05, 0.15, -1, 0.01, "worse"),
        (0.004, 0.001, 0.007, +1, 0.01, "equivalent within the margin"),
        (0.004, 0.001, 0.007, -1, 0.01, "equivalent within the margin"),
        (0.004, 0.001, 0.007, -1, 0.0, "worse"),
        (0.02, -0.005, 0.05, +1, 0.01, "no worse than the margin"),
        (0.02, -0.005, 0.05, -1, 0.01, "cannot tell"),
        (0.02, -0.005, 0.05, +1, 0.0, "cannot tell"),
    ],
)
def test_words_by_where_the_interval_lies(change, low, high, sign, margin, verdict):
    """A mean relative change and a spread that put the interval about from `low` to `high`."""
    n_users = 10_000
    spread = (high - low) / 2 / 1.96 * np.sqrt(n_users)
    noise = np.random.default_rng(14).normal(0, 1, n_users)
    noise = (noise - noise.mean()) / noise.std()
    base = np.ones(n_users)
    found = compare_paired(
        {"m": base}, {"m": base + sign * change + spread * noise}, 1000, 1, margin
    )["m"]
    ends = sorted((sign * low, sign * high))
    assert [found.change_low, found.change_high] == pytest.approx(ends, abs=0.1 * (high - low))
    assert found.verdict == verdict


def test_too_few_users_to_tell():
    def said(base, head):
        return compare_paired({"m": base}, {"m": head}, 200, 0)["m"].verdict

    assert said(np.array([0.1, 0.2]), np.array([0.2, 0.3])) == "too few users"
    assert said(np.array([0.1]), np.array([0.2])) == "too few users"
    base = np.full(FEWEST_USERS - 1, 0.2)
    assert said(base, base * 2) == "too few users"
    base = np.full(FEWEST_USERS, 0.2)
    assert said(base, base * 2) == "better"
    # Many users, of whom few differ: a mean that they alone move is not a verdict...
    many = np.full(1000, 0.2)
    moved = many.copy()
    moved[: FEWEST_USERS - 1] += 0.5
    assert said(many, moved) == "too few users"
    # ... unless what they move is too small to matter.
    moved[: FEWEST_USERS - 1] = 0.21
    assert said(many, moved) == "equivalent within the margin"


def test_shown_higher_needs_users_and_the_whole_interval():
    above, across = Interval(0.1, 0.05, 0.15), Interval(0.1, -0.01, 0.2)
    enough = np.full(FEWEST_USERS, 0.1)
    assert shown_higher(enough, above)
    assert not shown_higher(enough, across)
    assert not shown_higher(enough[1:], above)
    assert not shown_higher(np.concatenate((enough[1:], np.zeros(1000))), above)


def test_a_base_of_zero_has_no_relative_change():
    rng = np.random.default_rng(15)
    found = compare_paired({"m": np.zeros(500)}, {"m": metric_like(rng, 500)}, 200, 0)["m"]
    assert (found.change, found.change_low, found.change_high) == (None, None, None)
    assert found.verdict == "better"


def trained(rng, base, n_starts, spread, change=0.0):
    """Values (start, user) as several training runs of one setting give them."""
    of_start = 1 + change + spread * rng.normal(size=(n_starts, 1))
    return base * of_start * (1 + 0.3 * rng.choice([-1.0, 1.0], (n_starts, len(base))))


@pytest.mark.parametrize("spread", [0.2, 0.0])  # the second has starts closer than by chance
def test_starts_and_users_are_crossed_as_in_a_table_of_mean_squares(spread):
    rng = np.random.default_rng(16)
    base, n, s = metric_like(rng, 200), 200, 4
    old, new = trained(rng, base, s, spread), trained(rng, base, s, spread, 0.1)
    found = compare_starts({"m": old}, {"m": new})["m"]
    difference = new.mean() - old.mean()
    of_users = [(new[:, u] - old[:, u]).mean() for u in range(n)]
    parts = [(sum((x - difference) ** 2 for x in of_users) / (n - 1) / n, n - 1)]
    for side in (old, new):
        starts, users = side.mean(axis=1), side.mean(axis=0)
        of_starts = n * sum((x - side.mean()) ** 2 for x in starts) / (s - 1)
        cells = ((side[i, u] - starts[i] - users[u] + side.mean()) ** 2
                 for i in range(s) for u in range(n))  # fmt: skip
        rest = sum(cells) / ((s - 1) * (n - 1))
        assert spread == 0 or of_starts > rest
        parts.append((max(0, of_starts - rest) / (n * s), s - 1))
    variance = sum(part for part, _ in parts)
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    t = scipy_stats.t(degrees)
    assert found.p_value == pytest.approx(2 * t.sf(abs(difference) / variance**0.5))
    half = t.ppf(0.975) * variance**0.5
    assert [found.low, found.high] == pytest.approx([difference - half, difference + half])
    assert found.change == pytest.approx(new.mean() / old.mean() - 1)
    variances = [side.mean(axis=1).var(ddof=1) for side in (old, new)]
    assert found.start_sd == pytest.approx(np.mean(variances) ** 0.5)
    assert compare_starts({"m": old}, {"m": old})["m"].verdict == "identical"
    missing = old.copy()
    missing[2, 5] = np.nan
    assert compare_starts({"m": missing}, {"m": new})["m"].n_users == n - 1


def test_p_values_are_scipys_and_those_of_no_users_one_user_and_no_difference():
    differences = metric_like(np.random.default_rng(5), 500) - 0.03
    expected = scipy_stats.ttest_1samp(differences, 0).pvalue
    assert paired_p_value(differences) == pytest.approx(expected, rel=1e-9)
    assert paired_p_value(np.array([])) == 1.0
    assert paired_p_value(np.array([0.3])) == 1.0
    assert paired_p_value(np.zeros(100)) == 1.0
    assert paired_p_value(np.full(64, 0.25)) == 0.0


def test_seed_fixes_every_bit_and_threads_change_none():
    values = metric_like(np.random.default_rng(8), (300, 3))
    with using_threads(1):
        first = bootstrap_means(values, 200, seed=5)
    with using_threads(4):
        assert np.array_equal(first, bootstrap_means(values, 200, seed=5))
    assert np.array_equal(first[:, 1:2], bootstrap_means(values[:, 1:2], 200, seed=5))
    assert not np.array_equal(first, bootstrap_means(values, 200, seed=6))
    assert (bootstrap_means(np.array([[0.25, 1.0]]), 100, 0) == [0.25, 1.0]).all()  # one user


def test_holm_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04; never falling.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
