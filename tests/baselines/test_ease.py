"""EASE against ridge regression, column by column, on the plays themselves."""

import itertools

import numpy as np
import pytest

from musicrec.baselines.ease import ease_form, recommend_ease, solve, sparse_weights
from musicrec.baselines.neighbours import nearest_items
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import from_triples
from musicrec.params import BaselinesParams
from tests.support.als_reference import dense

REG = 3.0
EXACT = BaselinesParams(ease_reg=REG, ease_exact=1000)
SPARSE = BaselinesParams(ease_reg=REG, ease_exact=0, neighbours=8)


def draw(n_users, n_items, seed):
    """Plays with a long tail; item 3 has none, and items 5 and 6 have the same listeners."""
    rng = np.random.default_rng(seed)
    plays = rng.random((n_users, n_items)) < 0.6 / np.arange(1, n_items + 1) ** 0.4
    plays[:, 3], plays[:, 6] = False, plays[:, 5]
    users, items = np.nonzero(plays)
    return from_triples(users, items, rng.integers(1, 99, len(users)), n_users, n_items)


def played(plays):
    return (dense(plays) > 0).astype(float)


def ridge(x, column, others):
    """Weights of other columns that predict one, by least squares on a matrix with reg below it."""
    tall = np.vstack((x[:, others], np.sqrt(REG) * np.eye(len(others))))
    target = np.concatenate((x[:, column], np.zeros(len(others))))
    return np.linalg.lstsq(tall, target, rcond=None)[0]


def full_weights(x):
    weights = np.zeros((x.shape[1], x.shape[1]))
    for column in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), column)
        weights[others, column] = ridge(x, column, others)
    return weights


@pytest.mark.parametrize(("n_users", "n_items"), [(15, 40), (40, 15)], ids=["users", "tracks"])
def test_the_exact_form_is_ridge_regression(n_users, n_items):
    """With the inverse of either side, for users of the training and for others."""
    train, others = draw(n_users, n_items, 1), draw(9, n_items, 2)
    assert ease_form(train, EXACT) == "exact"
    weights = full_weights(played(train))
    for history, keep in itertools.product((train, others), (False, True)):
        seen = played(history)
        scores = seen @ weights
        left_out = (seen > 0) & (not keep) | (seen.sum(axis=1) == 0)[:, None]
        scores[left_out | (played(train).sum(axis=0) == 0)] = -np.inf
        lists = recommend_ease(train, history, n_items, EXACT, keep_seen=keep)
        for mine, expected in zip(lists, scores, strict=True):
            found = mine[mine >= 0]
            assert len(set(found)) == len(found) == np.isfinite(expected).sum()
            best = np.sort(expected[np.isfinite(expected)])[::-1]
            np.testing.assert_allclose(expected[found], best, atol=1e-6)


@pytest.mark.parametrize("at_once", [7, 1 << 15])
def test_the_sparse_form_is_ridge_regression_on_the_neighbours(at_once, monkeypatch):
    monkeypatch.setattr("musicrec.baselines.ease._ITEMS_AT_ONCE", at_once)
    train = draw(60, 30, 3)
    x, expected = played(train), np.zeros((30, 30))
    near = nearest_items(train, np.arange(30), SPARSE.neighbours).ids
    for column in range(30):
        chosen = near[column][near[column] >= 0]
        expected[chosen, column] = ridge(x, column, chosen)
    found = sparse_weights(train, np.arange(30), SPARSE)
    weights = np.zeros((30, 30))
    weights[np.repeat(np.arange(30), found.lengths), found.indices] = found.counts
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert (np.count_nonzero(weights, axis=0) <= SPARSE.neighbours).all()
    history = draw(9, 30, 4)
    scores = played(history) @ expected
    kept = recommend_ease(train, history, 30, SPARSE, keep_seen=True)
    hidden = np.where(played(history) > 0, -np.inf, scores)
    left_out = recommend_ease(train, history, 30, SPARSE)
    for mine, of_user in zip([*kept, *left_out], [*scores, *hidden], strict=True):
        kept = mine[mine >= 0]
        best = np.sort(of_user[of_user > 1e-7])[::-1]
        assert len(best) == len(kept)
        np.testing.assert_allclose(of_user[kept], best, atol=1e-6)
    some = sparse_weights(train, np.array([4, 4, 1]), SPARSE)
    assert np.flatnonzero(some.lengths).tolist() == [1, 4]
    np.testing.assert_array_equal(some.row(4), found.row(4))


@pytest.mark.parametrize(("n_users", "n_items"), [(3, 9), (9, 3)])
def test_a_matrix_that_cannot_be_inverted_is_an_error(n_users, n_items):
    with pytest.raises(MusicRecError, match=r"baselines\.ease_reg = 0 is too small"):
        solve(from_triples([0], [0], [1], n_users, n_items), 0.0)
