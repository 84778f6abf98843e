"""Ranking metrics: cases worked by hand, and a slow reference that reads like the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import MusicRecError
from musicrec.jit.parallel import using_threads
from musicrec.metrics.definitions import HITS, headline_metrics
from musicrec.metrics.ranking import known_truth, precision_ceiling, score_lists


def pack(lists, truths, width=None):
    """Turn Python lists into the arrays that score_lists takes."""
    width = max((len(row) for row in lists), default=0) if width is None else width
    recommended = np.full((len(lists), width), -1, np.int32)
    for row, items in zip(recommended, lists, strict=True):
        row[: len(items)] = items
    indptr = np.cumsum([0] + [len(truth) for truth in truths]).astype(np.int64)
    flat = [item for truth in truths for item in sorted(truth)]
    return recommended, indptr, np.array(flat, np.int32)


def score(lists, truths, k, **options):
    return score_lists(*pack(lists, truths, **options), k).columns()


def one(items, truth, k):
    """Metrics of a single user, as floats."""
    return {name: float(values[0]) for name, values in score([items], [truth], k).items()}


def reference(items, truth, k):
    """The definitions, one user at one k, written to be read and not to be fast."""
    truth = set(truth)
    if not truth:
        return dict.fromkeys(HITS, 0.0)
    top = items[:k]
    hit = [1 if item in truth else 0 for item in top]
    precision_sum = sum(sum(hit[: i + 1]) / (i + 1) for i in range(len(top)) if hit[i])
    gain = sum(hit[i] / math.log2(i + 2) for i in range(len(top)))
    best_gain = sum(1 / math.log2(i + 2) for i in range(min(k, len(truth))))
    return {
        "map": precision_sum / min(len(truth), k),
        "precision": sum(hit) / k,
        "recall": sum(hit) / len(truth),
        "ndcg": gain / best_gain,
        "calibrated_recall": sum(hit) / min(len(truth), k),
        "r_precision": sum(hit[: len(truth)]) / len(truth),
        "hit_rate": float(any(hit)),
        "reciprocal_rank": 1 / (hit.index(1) + 1) if any(hit) else 0.0,
    }


def test_a_case_worked_by_hand():
    # Hits at positions 1 and 3 of four; the truth has three tracks, so a perfect list has three.
    got = one([7, 1, 9, 2], truth=[7, 9, 11], k=[2, 4])
    assert got["precision@2"] == 1 / 2
    assert got["recall@2"] == 1 / 3
    assert got["calibrated_recall@2"] == 1 / 2
    assert got["map@2"] == pytest.approx((1 / 1) / 2)
    assert got["ndcg@2"] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert got["precision@4"] == 2 / 4
    assert got["recall@4"] == got["calibrated_recall@4"] == 2 / 3
    assert (got["r_precision@2"], got["r_precision@4"]) == (1 / 3, 2 / 3)
    assert got["hit_rate@4"] == got["reciprocal_rank@4"] == 1
    late = one([1, 2, 7], truth=[7], k=[2, 3])
    assert (late["hit_rate@2"], late["reciprocal_rank@2"]) == (0, 0)
    assert (late["hit_rate@3"], late["reciprocal_rank@3"]) == (1, 1 / 3)
    assert got["map@4"] == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert got["ndcg@4"] == pytest.approx((1 + 0.5) / (1 + 1 / math.log2(3) + 0.5))


def test_a_perfect_list_scores_one_but_for_precision_beyond_the_truth():
    got = one([3, 5], truth=[3, 5], k=[1, 2, 4])
    for k in (1, 2, 4):
        assert got[f"map@{k}"] == got[f"ndcg@{k}"] == 1
    assert [got[f"precision@{k}"] for k in (1, 2, 4)] == [1, 1, 1 / 2]
    assert [got[f"recall@{k}"] for k in (1, 2, 4)] == [1 / 2, 1, 1]


def test_truth_longer_than_k_divides_average_precision_by_k_and_recall_by_the_truth():
    got = one([0, 1], truth=range(10), k=[2])
    assert [got[name] for name in ("map@2", "precision@2", "ndcg@2")] == [1, 1, 1]
    assert (got["recall@2"], got["calibrated_recall@2"]) == (0.2, 1)


def test_a_short_list_counts_its_missing_positions_as_misses():
    got = one([4], truth=[4, 5, 6], k=[3])
    assert got["precision@3"] == pytest.approx(1 / 3)
    assert got["map@3"] == pytest.approx(1 / 3)
    padded = score([[4, -1, -1, -1]], [[4, 5, 6]], k=[3])
    assert {name: float(values[0]) for name, values in padded.items()} == got


def test_an_id_after_the_end_of_a_list_does_not_count():
    assert one([1, -1, 4], truth=[4], k=[3])["recall@3"] == 0


def test_empty_truth_and_empty_list_score_zero_and_stay_in_the_arrays():
    got = score([[1, 2], [], [1, 2]], [[], [1], [1]], k=[2])
    for name, values in got.items():
        assert values.shape == (3,)
        assert values[0] == values[1] == 0, name
        assert values[2] > 0, name


def test_a_user_who_has_played_everything_gets_no_list_and_zero():
    recommended = np.full((1, 5), -1, np.int32)
    scores = score_lists(recommended, np.array([0, 2]), np.array([8, 9], np.int32), [5])
    assert all(values[0] == 0 for values in scores.columns().values())


def test_one_track_one_user():
    assert set(one([0], [0], [1]).values()) == {1.0}
    assert set(one([0], [1], [1]).values()) == {0.0}


def test_lists_are_judged_in_the_order_given_so_a_swap_of_tied_tracks_shows():
    # Tracks 3 and 8 have equal scores; by rule the lower id comes first, and only that is a hit.
    assert one([3, 8], truth=[3], k=[1])["precision@1"] == 1
    assert one([8, 3], truth=[3], k=[1])["precision@1"] == 0


def test_a_track_twice_in_the_truth_counts_once_and_twice_in_a_list_twice():
    assert one([5, 6], truth=[5, 5, 6], k=[2]) == one([5, 6], truth=[5, 6], k=[2])
    assert one([5, 5], truth=[5, 6], k=[2])["precision@2"] == 1


def test_held_out_tracks_unknown_to_training_stay_in_the_denominators():
    assert one([0, 1], truth=[0, 1_000_000], k=[2])["recall@2"] == 1 / 2


def test_k_beyond_the_width_of_the_lists():
    assert one([2], truth=[2], k=[1, 100])["precision@100"] == 1 / 100


def test_k_in_any_order_and_repeated():
    recommended, indptr, indices = pack([[1, 2, 3]], [[3]])
    scores = score_lists(recommended, indptr, indices, [3, 1, 3])
    assert scores.k == (1, 3)
    assert scores["recall"].tolist() == [[0.0, 1.0]]


def test_whole_average_precision_divides_by_the_whole_truth():
    recommended, indptr, indices = pack([[1, 9, 2]], [[1, 2, 30, 31, 32]])
    scores = score_lists(recommended, indptr, indices, [2])
    assert scores.whole_average_precision[0] == pytest.approx((1 + 2 / 3) / 5)
    assert scores["map"][0, 0] == pytest.approx(1 / 2)


def test_no_users():
    scores = score_lists(np.empty((0, 5), np.int32), np.zeros(1), np.empty(0), [1])
    assert scores["ndcg"].shape == (0, 1)


users = st.lists(
    st.tuples(
        st.lists(st.integers(0, 30), unique=True, max_size=12),
        st.lists(st.integers(0, 40), unique=True, max_size=15),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(users=users, k=st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_equals_the_reference(users, k):
    lists, truths = zip(*users, strict=True)
    got = score(lists, truths, k)
    assert len(got) == len(HITS) * len(set(k))
    for name, values in got.items():
        metric, _, length = name.partition("@")
        expected = [reference(list(a), b, int(length))[metric] for a, b in users]
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=0, err_msg=name)
        assert ((values >= 0) & (values <= 1)).all()


@settings(max_examples=100, deadline=None)
@given(users=users)
def test_recall_and_precision_count_the_same_hits_and_recall_never_falls_with_k(users):
    lists, truths = zip(*users, strict=True)
    scores = score_lists(*pack(lists, truths), list(range(1, 21)))
    sizes = np.array([len(truth) for truth in truths])
    hits = scores["precision"] * np.array(scores.k)
    np.testing.assert_allclose(hits, scores["recall"] * sizes[:, None], atol=1e-12)
    assert (np.diff(scores["recall"], axis=1) >= 0).all()


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    lists = rng.permuted(np.tile(np.arange(200, dtype=np.int32), (3000, 1)), axis=1)[:, :50]
    lists = np.ascontiguousarray(lists)
    truth = np.sort(rng.integers(0, 200, (3000, 20), dtype=np.int32), axis=1).ravel()
    indptr = np.arange(3001) * 20
    with using_threads(1):
        alone = score_lists(lists, indptr, truth, [10, 50]).columns()
    with using_threads(4):
        together = score_lists(lists, indptr, truth, [10, 50]).columns()
    assert all(np.array_equal(alone[name], together[name]) for name in alone)


@pytest.mark.parametrize("k", [[], [0], [10, -1]])
def test_refuses_a_k_below_one(k):
    with pytest.raises(MusicRecError, match="at least 1"):
        score([[1]], [[1]], k)


def test_refuses_lists_that_do_not_fit_the_truth():
    with pytest.raises(MusicRecError, match="do not fit the truth of 2 users"):
        score_lists(np.zeros((3, 1), np.int32), np.array([0, 1, 2]), np.array([0, 1]), [1])


def test_precision_ceiling_is_what_perfect_lists_reach():
    truths = [list(range(n)) for n in (1, 3, 20)]
    ceiling = precision_ceiling(np.array([1, 3, 20]), [10, 2])
    perfect = score(truths, truths, [2, 10])
    assert list(ceiling) == ["precision@2_ceiling", "precision@10_ceiling"]
    for name, value in ceiling.items():
        assert value == pytest.approx(perfect[name.removesuffix("_ceiling")].mean())
    assert precision_ceiling(np.array([]), [5]) == {"precision@5_ceiling": 0.0}


def test_known_truth_drops_unknown_tracks_and_keeps_every_row():
    _, indptr, indices = pack([[]] * 4, [[0, 9], [], [10], [2, 3]], width=1)
    indptr, indices = known_truth(indptr, indices, n_items=9)
    assert indptr.tolist() == [0, 1, 1, 1, 3]
    assert indices.tolist() == [0, 2, 3]


def test_headline_metrics_are_of_hits():
    """Searches and baselines score their lists by these alone."""
    assert {name.partition("@")[0] for name in headline_metrics([10, 500], True)} <= set(HITS)
