"""Coverage, Gini, popularity, novelty and slices against hand-worked cases and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.metrics.beyond_accuracy import (
    catalogue_coverage,
    exposure,
    gini,
    list_means,
    median_popularity,
    slice_labels,
    slice_rows,
)

LISTS = np.array([[0, 1, 2], [0, 2, -1], [-1, -1, -1]], np.int32)


def test_exposure_counts_each_top_k() -> None:
    counts = [c.tolist() for c in exposure(LISTS, 4, [2, 1, 3, 9])]
    assert counts == [[2, 0, 0, 0], [2, 1, 1, 0], [2, 1, 2, 0], [2, 1, 2, 0]]


def test_coverage_counts_the_catalogue_and_not_the_items_shown() -> None:
    assert catalogue_coverage(np.array([2, 1, 2, 0])) == 3 / 4
    assert catalogue_coverage(np.zeros(5, int)) == 0


def test_gini_of_known_distributions() -> None:
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 7])) == 3 / 4  # (n - 1) / n when one item has everything
    assert gini(np.array([1, 3])) == pytest.approx(1 / 4)
    assert gini(np.zeros(4, int)) == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_relative_mean_absolute_difference(counts: list[int]) -> None:
    n, total = len(counts), sum(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * n * total) if total else 0
    assert gini(np.array(counts)) == pytest.approx(expected, abs=1e-12)


def test_popularity_and_novelty_worked_by_hand() -> None:
    means = list_means(LISTS, np.array([8, 4, 1]), n_users=16, k=[3, 1, 100])
    np.testing.assert_allclose(means["popularity@1"], [8, 8, np.nan])
    np.testing.assert_allclose(means["popularity@3"], [13 / 3, 4.5, np.nan])
    # -log2(8/16), -log2(4/16), -log2(1/16) are 1, 2 and 4 bits.
    np.testing.assert_allclose(means["novelty@1"], [1, 1, np.nan])
    np.testing.assert_allclose(means["novelty@3"], [7 / 3, 2.5, np.nan])
    np.testing.assert_allclose(means["novelty@100"], means["novelty@3"])


@settings(max_examples=50, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), min_size=1, max_size=5),
    k=st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True),
)
def test_list_means_equal_a_plain_loop(lists: list[list[int]], k: list[int]) -> None:
    users_of = np.arange(1, 11)
    padded = np.array([row + [-1] * (6 - len(row)) for row in lists], np.int32)
    means = list_means(padded, users_of, 20, k)
    for length in k:
        for user, row in enumerate(lists):
            top = row[:length]
            popularity = sum(users_of[i] for i in top) / len(top) if top else math.nan
            bits = [-math.log2(users_of[i] / 20) for i in top]
            novelty = sum(bits) / len(bits) if bits else math.nan
            assert means[f"popularity@{length}"][user] == pytest.approx(popularity, nan_ok=True)
            assert means[f"novelty@{length}"][user] == pytest.approx(novelty, nan_ok=True)


def test_median_popularity_counts_unknown_tracks_as_zero() -> None:
    users_of = np.array([9, 5, 1])
    indptr = np.array([0, 3, 3, 5, 6])
    indices = np.array([0, 1, 2, 1, 7, 0], np.int32)
    assert median_popularity(indptr, indices, users_of).tolist() == [5, 0, 2.5, 9]


@given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=7), min_size=1, max_size=6))
def test_median_popularity_equals_numpy(rows: list[list[int]]) -> None:
    users_of = np.array([7, 7, 6, 5, 4, 4, 3, 2, 1, 1])
    indptr = np.cumsum([0] + [len(row) for row in rows])
    indices = np.array([i for row in rows for i in sorted(row)], np.int32)
    values = [[users_of[i] if i < 10 else 0 for i in row] for row in rows]
    expected = [np.median(row) if row else 0 for row in values]
    assert median_popularity(indptr, indices, users_of).tolist() == expected


def test_slice_labels() -> None:
    assert slice_labels([0, 1, 5, 10]) == ["0", "1-4", "5-9", "10+"]


def test_slices_hold_every_user_once_and_average_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 40, 500)
    models = {"als": {"map": rng.random(500)}, "popularity": {"map": rng.random(500)}}
    rows = slice_rows(values, [0, 1, 5, 20, 100], models, samples=200, seed=1)
    assert [row["slice"] for row in rows[::2]] == ["0", "1-4", "5-19", "20-99"]  # 100+ is empty
    for model, metrics in models.items():
        own = [row for row in rows if row["model"] == model]
        users = np.array([row["n_users"] for row in own])
        assert users.tolist() == [
            np.count_nonzero((values >= low) & (values < high))
            for low, high in ((0, 1), (1, 5), (5, 20), (20, 100))
        ]
        means = np.array([row["map"] for row in own])
        assert (users * means).sum() / 500 == pytest.approx(metrics["map"].mean())
        assert all(row["map_low"] <= row["map"] <= row["map_high"] for row in own)


def test_a_slice_takes_its_lower_edge_and_not_its_upper() -> None:
    rows = slice_rows(np.array([4.5, 5.0]), [0, 5], {"m": {"x": np.array([1.0, 2.0])}}, 100, 0)
    assert [(row["slice"], row["x"]) for row in rows] == [("0-4", 1.0), ("5+", 2.0)]
