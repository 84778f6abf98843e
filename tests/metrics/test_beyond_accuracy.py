"""Metrics of which tracks are shown, against hand-worked cases and plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.metrics.beyond_accuracy import beyond_accuracy, exposure, gini, median_popularity
from musicrec.metrics.definitions import METRICS

LISTS = np.array([[0, 1, 2], [0, 2, -1], [-1, -1, -1]], np.int32)


def played_by(*users_of: set[int]) -> Interactions:
    """Items by their users, of whom there are at most 16."""
    pairs = [(item, user) for item, users in enumerate(users_of) for user in users]
    items, users = np.array(pairs, np.int32).reshape(-1, 2).T
    return from_triples(items, users, np.ones(len(items)), len(users_of), 16)


def test_coverage_and_gini_worked_by_hand():
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
def test_gini_is_half_the_relative_mean_absolute_difference(counts):
    n, total = len(counts), sum(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * n * total) if total else 0
    assert gini(np.array(counts)) == pytest.approx(expected, abs=1e-12)


def test_values_of_users_are_those_of_the_jackknife():
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


@settings(max_examples=50, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(0, 10), unique=True, max_size=6), min_size=1, max_size=5),
    users_of=st.lists(st.sets(st.integers(0, 15), min_size=1), min_size=10, max_size=10),
    k=st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True),
)
def test_equals_a_plain_loop(lists, users_of, k):
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
def test_median_popularity_equals_numpy_and_counts_unknown_tracks_as_zero(rows):
    users_of = np.array([7, 7, 6, 5, 4, 4, 3, 2, 1, 1])
    pairs = np.array([(u, i) for u, row in enumerate(rows) for i in row], np.int32).reshape(-1, 2)
    truth = from_triples(*pairs.T, np.ones(len(pairs)), len(rows), 13)
    values = [[users_of[i] if i < 10 else 0 for i in row] for row in rows]
    expected = [np.median(row) if row else 0 for row in values]
    assert median_popularity(truth, users_of).tolist() == expected


def test_distance_of_a_rare_and_a_popular_track():
    """One list of users is searched for the other's instead of being read through."""
    rare, popular = np.array([3, 40, 998], np.int32), np.arange(0, 1000, 2, dtype=np.int32)
    items, users = np.repeat([0, 1], [3, 500]), np.concatenate([rare, popular])
    by_item = from_triples(items.astype(np.int32), users, np.ones(503), 2, 1000)
    for lists in ([[0, 1]], [[1, 0]]):
        found = beyond_accuracy(np.array(lists, np.int32), by_item, 1000, [2])
        assert found["intra_list_distance@2"][0] == pytest.approx(1 - 2 / (3 * 500) ** 0.5)
