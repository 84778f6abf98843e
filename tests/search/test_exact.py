"""The exact kernel against a stable full sort of every score."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from musicrec.errors import MusicRecError
from musicrec.jit.parallel import using_threads
from musicrec.search.exact import ExactIndex
from tests.support.extreme_factors import extreme_factors


def by_full_sort(items, query, k, exclude=()):
    """Score every item in float32, factor by factor, and sort them all."""
    scores = np.zeros(len(items), np.float32)
    for factor, value in enumerate(query):
        scores += value * items[:, factor]
    scores += np.float32(0.0)  # -0.0 becomes 0.0
    allowed = items.any(axis=1)
    allowed[list(exclude)] = False
    ids = np.flatnonzero(allowed)
    if not np.any(query):
        ids = ids[:0]
    order = np.lexsort((ids, -scores[ids]))[:k]
    return ids[order], scores[ids[order]]


def assert_exact(items, queries, k, excludes=None, banned=()):
    """Search for all and one by one; `banned` items are left out of every list, by a mask."""
    index, rows, mask = ExactIndex(items), None, None
    if excludes is not None:
        indptr = np.cumsum([0, *map(len, excludes)])
        rows = indptr, np.concatenate([np.asarray(row, np.int32) for row in excludes])
    if len(banned):
        bits = np.isin(np.arange(8 * (len(items) // 8 + 1)), banned)
        mask = np.packbits(bits, bitorder="little")
    ids, scores = index.search(queries, k, rows, mask)
    assert ids.dtype == np.int32 and scores.dtype == np.float32
    for row, query in enumerate(queries):
        without = None if excludes is None else np.array(excludes[row], np.int32)
        left_out = [*banned, *(() if excludes is None else without)]
        want_ids, want_scores = by_full_sort(items, query, k, left_out)
        length = len(want_ids)
        np.testing.assert_array_equal(ids[row, :length], want_ids)
        np.testing.assert_array_equal(scores[row, :length], want_scores)
        assert (ids[row, length:] == -1).all() and np.isneginf(scores[row, length:]).all()
        if mask is None:
            one = index.search_one(query, k, without)
            np.testing.assert_array_equal(one[0], want_ids)
            np.testing.assert_array_equal(one[1], want_scores)


@st.composite
def problems(draw):
    """Factors with many ties, zeros, subnormals and huge values, and what to leave out."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items, n_queries = draw(extreme_factors()), draw(st.integers(1, 4))
    n, rank = items.shape
    queries = rng.normal(size=(n_queries, rank)) * 10.0 ** rng.integers(-43, 16)
    if draw(st.booleans()):
        items, queries = rng.integers(-1, 2, (n, rank)), rng.integers(-1, 2, (n_queries, rank))
    share = draw(st.sampled_from([0, 0.1, 0.9, 1.0]))
    excludes = [np.flatnonzero(rng.random(n) < share) for _ in range(n_queries)]
    banned = np.flatnonzero(rng.random(n) < draw(st.sampled_from([0.1, 0.7])))
    as_float32 = items.astype(np.float32), queries.astype(np.float32)
    return *as_float32, draw(st.integers(1, 40)), excludes, banned


@settings(max_examples=300, deadline=None)
@given(problems())
def test_the_answer_is_that_of_a_full_sort(problem):
    items, queries, k, excludes, banned = problem
    assert_exact(items, queries, k)
    assert_exact(items, queries, k, excludes)
    assert_exact(items, queries, k, excludes, banned)


@pytest.mark.parametrize("signs", [[1], [-1, 1]])
def test_many_items_and_long_lists(signs):
    rng = np.random.default_rng(0)
    items = rng.gamma(0.3, size=(20_000, 20)) * rng.choice(signs, (20_000, 20))
    queries = rng.gamma(0.3, size=(20, 20)) * rng.choice(signs, (20, 20))
    excludes = [rng.choice(20_000, 500, replace=False) for _ in range(20)]
    assert_exact(items.astype(np.float32), queries.astype(np.float32), 500, excludes)


def test_equal_norms_cannot_be_pruned_and_stay_exact():
    rng = np.random.default_rng(1)
    items = rng.normal(size=(5_000, 16))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    assert_exact(items.astype(np.float32), rng.normal(size=(10, 16)).astype(np.float32), 100)


def test_nearly_equal_scores_are_told_apart():
    """Scores that differ in the last bit only: far below what the 8-bit copies can tell."""
    items = np.ones((4_000, 3), np.float32)
    items[:, 0] += np.random.default_rng(2).integers(0, 4, 4_000) * np.float32(2**-23)
    assert_exact(items, np.array([[1, 1e-3, -1e-3], [-1, 2, 0.5]], np.float32), 50)


def test_threads_and_batch_change_no_bit():
    rng = np.random.default_rng(3)
    items = rng.normal(size=(3_000, 12)).astype(np.float32)
    queries = rng.normal(size=(101, 12)).astype(np.float32)
    index = ExactIndex(items)
    with using_threads(1):
        expected = index.search(queries, 50)
    for threads in (2, 3):
        with using_threads(threads):
            found = index.search(queries, 50)
        for got, want in zip(found, expected, strict=True):
            assert got.tobytes() == want.tobytes()
    for got, want in zip(index.search(queries[7:40], 50), expected, strict=True):
        assert got.tobytes() == want[7:40].tobytes()


def test_excluded_items_outside_the_catalogue_are_ignored():
    ids, _ = ExactIndex(np.ones((3, 2), np.float32)).search_one(np.ones(2), 5, np.array([-1, 1, 9]))
    assert ids.tolist() == [0, 2]


def test_no_items_and_no_queries():
    index = ExactIndex(np.zeros((5, 2), np.float32))
    assert index.search(np.ones((2, 2)), 3)[0].tolist() == [[-1] * 3] * 2
    assert index.search(np.empty((0, 2)), 3)[0].shape == (0, 3)
    assert ExactIndex(np.empty((0, 2))).search_one(np.ones(2), 3)[0].size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    items = np.ones((4, 2), np.float32)
    broken = items.copy()
    broken[2, 1] = bad
    with pytest.raises(MusicRecError, match="row 2"):
        ExactIndex(broken)
    with pytest.raises(MusicRecError, match="query 2"):
        ExactIndex(items).search(broken, 1)
    with pytest.raises(MusicRecError, match="query 0"):
        ExactIndex(items).search_one(broken[2], 1)


def test_scores_that_overflow_are_refused():
    with pytest.raises(MusicRecError, match="overflow"):
        ExactIndex(np.full((2, 2), 1e17)).search(np.full((1, 2), 1e22), 1)
    with pytest.raises(MusicRecError, match=r"norms of up to 2e\+18, .*als.reg_param"):
        ExactIndex(np.full((2, 4), 1e18))


@pytest.mark.parametrize(
    ("queries", "k", "exclude", "match"),
    [
        (np.ones((1, 3)), 1, None, "rank 2"),
        (np.ones(2), 1, None, "rank 2"),
        (np.ones((1, 2)), 0, None, "k = 0"),
        (np.ones((2, 2)), 1, (np.zeros(2, np.int64), np.empty(0, np.int32)), "1 rows for 2"),
    ],
)
def test_wrong_arguments_are_one_sentence(queries, k, exclude, match):
    with pytest.raises(MusicRecError, match=match):
        ExactIndex(np.ones((4, 2))).search(queries, k, exclude)
