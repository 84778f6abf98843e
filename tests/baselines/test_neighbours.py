"""Baselines against dense, obvious references."""

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.baselines.neighbours import nearest_items, recommend_neighbours
from musicrec.baselines.popularity import recommend_most_played, recommend_popular
from musicrec.interactions.matrix import from_triples
from tests.support.als_reference import dense


def interactions(rows, n_users, n_items):
    """Interactions from {(user, item)}, all with count 1."""
    pairs = sorted(set(rows))
    users, items = (np.array([pair[i] for pair in pairs], np.int32) for i in (0, 1))
    return from_triples(users, items, np.ones(len(pairs)), n_users, n_items)


def by_score(scores, k):
    """Ids with a positive score, best first, ties by the lower id, padded with -1."""
    order = sorted((i for i in range(len(scores)) if scores[i] > 0), key=lambda i: (-scores[i], i))
    return (order[:k] + [-1] * k)[:k]


PLAYS = [(0, 4), (1, 4), (2, 4), (0, 2), (1, 2), (1, 0), (2, 0), (2, 3)]


def test_the_asymmetric_cosine_worked_by_hand():
    """Of track 2 (users 0, 1): track 4 has three users, two of them; track 0 two, one of them."""
    train = interactions(PLAYS, n_users=3, n_items=6)
    found = nearest_items(train, np.array([2]), 2, alpha=0.25, locality=3.0)
    assert found.ids.tolist() == [[4, 0]]
    expected = [(2 / (3**0.25 * 2**0.75)) ** 3, (1 / 2) ** 3]
    np.testing.assert_allclose(found.similarities[0], expected)


def test_the_users_own_tracks_come_first_by_count():
    """Equal counts by the lower id, then what is popular and not among them."""
    train = interactions(PLAYS, n_users=3, n_items=6)
    users, items, counts = np.array([0, 0, 0]), np.array([2, 3, 5]), np.array([7, 9, 9])
    history = from_triples(users, items, counts, n_users=2, n_items=6)
    lists = recommend_most_played(train, history, k=5)
    assert lists.tolist() == [[3, 5, 2, 4, 0], [4, 0, 2, 3, -1]]
    assert recommend_most_played(train, history, k=2).tolist() == [[3, 5], [4, 0]]


plays = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=50)


@settings(max_examples=150, deadline=None)
@given(plays=plays, n_neighbours=st.integers(1, 12))
def test_nearest_items_equal_the_dense_reference(plays, n_neighbours):
    train = interactions(plays, 8, 10)
    table = dense(train)
    together = (table.T @ table).astype(int)
    sizes = np.maximum(np.diag(together), 1)
    np.fill_diagonal(together, 0)
    ids, similarities = nearest_items(train, np.arange(10), n_neighbours)
    for item in range(10):
        # Squares of the cosines as exact fractions, so that ties are ties.
        squares = [
            Fraction(int(together[item, other]) ** 2, int(sizes[item] * sizes[other]))
            for other in range(10)
        ]
        assert ids[item].tolist() == by_score(squares, n_neighbours)
        expected = [float(squares[other]) ** 0.5 if other >= 0 else 0 for other in ids[item]]
        np.testing.assert_allclose(similarities[item], expected, rtol=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    plays=plays,
    history=plays,
    n_neighbours=st.integers(1, 12),
    k=st.integers(1, 12),
    keep_seen=st.booleans(),
)
def test_lists_equal_the_dense_reference(plays, history, n_neighbours, k, keep_seen):
    train, history = interactions(plays, 8, 10), interactions(history, 8, 10)
    left_out = dense(history) > keep_seen  # nothing, where seen tracks are kept
    ids, similarities = nearest_items(train, np.arange(10), n_neighbours)
    lists = recommend_neighbours(train, history, k, n_neighbours, keep_seen=keep_seen)
    popular = recommend_popular(train, history, k, keep_seen=keep_seen)
    counts = Counter(train.indices.tolist())
    for user in range(8):
        scores = np.zeros(10)
        for item in history.row(user):
            for other, similarity in zip(ids[item], similarities[item], strict=True):
                if other >= 0 and not left_out[user, other]:
                    scores[other] += similarity
        assert lists[user].tolist() == by_score(scores, k)
        unseen = [counts[item] * (not left_out[user, item]) for item in range(10)]
        assert popular[user].tolist() == by_score(unseen, k)
