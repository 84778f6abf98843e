"""Metrics of which tracks are shown, and slices, against hand-worked cases and plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.metrics.beyond_accuracy import (
    beyond_accuracy,
    exposure,
    gini,
    median_popularity,
    slice_labels,
    slice_rows,
)
from musicrec.metrics.definitions import METRICS

LISTS = np.array([[0, 1, 2], [0, 2, -1], [-1, -1, -1]], np.int32)


def played_by(*users_of: set[int]) -> Interactions:
    """Items by their users, of whom there are at most 16."""
    pairs = [(item, user) for item, users in enumerate(users_of) for user in users]
    items, users = np.array(pairs, np.int32).reshape(-1, 2).T
    return from_triples(items, users, np.ones(len(items)), len(users_of), 16)


def test_coverage_and_gini_worked_by_hand() -> None:
    # In the top 2 of these lists the four tracks stand 2, 1, 1 and 0 times.
    found = exposure(LISTS, 4, np.array([1, 2, 9]))
    means = {name: values.mean() for name, values in found.items()}
    assert means["coverage@1"] == pytest.approx(1 / 4)
    assert [means["coverage@2"], means["coverage@9"]] == pytest.approx([3 / 4, 3 / 4])
    assert means["gini@1"] == pytest.approx(3 / 4)  # (n - 1) / n when one item has everything
    assert means["gini@2"] == pytest.approx((-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (4 * 4))
    unknown = np.array([[0, 4]], np.int32)  # a track that training does not know is none of them
    assert exposure(unknown, 4, np.array([2]))["coverage@2"].mean() == pytest.approx(1 / 4)
    assert [gini(np.array(counts)) for counts in ([3, 3, 3], [0, 0])] == [0, 0]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_relative_mean_absolute_difference(counts: list[int]) -> None:
    n, total = len(counts), sum(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * n * total) if total else 0
    assert gini(np.array(counts)) == pytest.approx(expected, abs=1e-12)


def test_values_of_users_are_those_of_the_jackknife() -> None:
    """Each list is left out in turn: coverage to the last digit, Gini to first order."""
    n_items, n_users = 60, 200
    rng = np.random.default_rng(0)
    lists = (n_items * rng.random((n_users, 3)) ** 3).astype(np.int32)
    lists[:, 1:] = (lists[:, :1] + [1, 7] * rng.integers(1, 7, (n_users, 2))) % n_items
    found = exposure(lists, n_items, np.array([3]))
    for name, tolerance in (("coverage", 1e-9), ("gini", 0.3)):

        def figure(rows: np.ndarray, name: str = name) -> float:
            counts = np.bincount(rows.ravel(), minlength=n_items)
            return gini(counts) if name == "gini" else float(np.mean(counts > 0))

        whole = figure(lists)
        without = np.array([figure(np.delete(lists, u, 0)) for u in range(n_users)])
        expected = whole + (n_users - 1) * (without.mean() - without)
        assert found[f"{name}@3"].mean() == pytest.approx(whole)
        assert found[f"{name}@3"] == pytest.approx(expected, abs=tolerance * expected.std())
        assert found[f"{name}@3"].std() == pytest.approx(expected.std(), rel=0.02)


def test_popularity_novelty_and_distance_worked_by_hand() -> None:
    by_item = played_by(set(range(8)), {0, 1, 8, 9}, {8})
    found = beyond_accuracy(LISTS, by_item, n_users=16, k=[3, 1, 100])
    nan = math.nan
    np.testing.assert_allclose(found["popularity@1"], [8, 8, nan])
    np.testing.assert_allclose(found["popularity@3"], [13 / 3, 4.5, nan])
    # -log2(8/16), -log2(4/16), -log2(1/16) are 1, 2 and 4 bits.
    np.testing.assert_allclose(found["novelty@1"], [1, 1, nan])
    np.testing.assert_allclose(found["novelty@3"], [7 / 3, 2.5, nan])
    np.testing.assert_allclose(found["novelty@100"], found["novelty@3"])
    # Cosines: 2 / sqrt(8 x 4), 0 / sqrt(8 x 1), 1 / sqrt(4 x 1).
    distances = [1 - 2 / 32**0.5, 1, 1 / 2]
    np.testing.assert_allclose(found["intra_list_distance@3"], [sum(distances) / 3, 1, nan])
    assert np.isnan(found["intra_list_distance@1"]).all()
    assert "intra_list_distance@100" not in found


@settings(max_examples=50, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(0, 10), unique=True, max_size=6), min_size=1, max_size=5),
    users_of=st.lists(st.sets(st.integers(0, 15), min_size=1), min_size=10, max_size=10),
    k=st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True),
)
def test_equals_a_plain_loop(
    lists: list[list[int]], users_of: list[set[int]], k: list[int]
) -> None:
    """Track 10 is unknown to training."""
    padded = np.array([row + [-1] * (6 - len(row)) for row in lists], np.int32)
    found = beyond_accuracy(padded, played_by(*users_of), 20, k)
    known = [*users_of, set()]
    for n, (user, row) in itertools.product(k, enumerate(lists)):
        sizes = [len(known[item]) for item in row[:n]]
        bits = [-math.log2(max(1, size) / 20) for size in sizes]
        apart = [
            1 - len(a & b) / math.sqrt(len(a) * len(b)) if a and b else 1.0
            for a, b in itertools.combinations([known[item] for item in row[:n]], 2)
        ]
        for name, values in (
            ("popularity", sizes),
            ("novelty", bits),
            ("intra_list_distance", apart),
        ):
            expected = sum(values) / len(values) if values else math.nan
            assert found[f"{name}@{n}"][user] == pytest.approx(expected, nan_ok=True)
    shown = {name for name, metric in METRICS.items() if metric.of != "hits"}
    assert found.keys() == {f"{name}@{n}" for name in shown for n in k}


@given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=7), min_size=1, max_size=6))
def test_median_popularity_equals_numpy_and_counts_unknown_tracks_as_zero(
    rows: list[list[int]],
) -> None:
    users_of = np.array([7, 7, 6, 5, 4, 4, 3, 2, 1, 1])
    indptr = np.cumsum([0] + [len(row) for row in rows])
    indices = np.array([i for row in rows for i in sorted(row)], np.int32)
    values = [[users_of[i] if i < 10 else 0 for i in row] for row in rows]
    expected = [np.median(row) if row else 0 for row in values]
    assert median_popularity(indptr, indices, users_of).tolist() == expected


def test_distance_of_a_rare_and_a_popular_track() -> None:
    """One list of users is searched for the other's instead of being read through."""
    rare, popular = np.array([3, 40, 998], np.int32), np.arange(0, 1000, 2, dtype=np.int32)
    items, users = np.repeat([0, 1], [3, 500]), np.concatenate([rare, popular])
    by_item = from_triples(items.astype(np.int32), users, np.ones(503), 2, 1000)
    for lists in ([[0, 1]], [[1, 0]]):
        found = beyond_accuracy(np.array(lists, np.int32), by_item, 1000, [2])
        assert found["intra_list_distance@2"][0] == pytest.approx(1 - 2 / (3 * 500) ** 0.5)


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
    rows = slice_rows(np.array([4.5, 5.0]), [0, 5], {"m": {"x": np.array([1.0, 2.0])}}, 100, 0)
    assert [(row["slice"], row["x"]) for row in rows] == [("0-4", 1.0), ("5+", 2.0)]
    assert slice_labels([0, 1, 5, 10]) == ["0", "1-4", "5-9", "10+"]
