"""Ranking metrics: cases worked by hand, and a slow reference that reads like the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import using_threads
from musicrec.metrics.definitions import HITS, headline_metrics
from musicrec.metrics.ranking import precision_ceiling, score_lists


def pack(lists, truths):
    """Turn Python lists into the arrays that score_lists takes; ids are below 1,000."""
    recommended = np.full((len(lists), max(map(len, lists))), -1, np.int32)
    for row, items in zip(recommended, lists, strict=True):
        row[: len(items)] = items
    indptr = np.cumsum([0] + [len(truth) for truth in truths]).astype(np.int64)
    flat = np.array([item for truth in truths for item in truth], np.int32)
    return recommended, Interactions(indptr, flat, np.ones(len(flat), np.float32), 1000)


def score(lists, truths, k):
    return score_lists(*pack(lists, truths), k)


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


def test_odd_lists_truths_and_k():
    assert one([1, -1, 4], truth=[4], k=[3])["recall@3"] == 0  # an id after the end of a list
    assert one([5, 6], truth=[5, 5, 6], k=[2]) == one([5, 6], truth=[5, 6], k=[2])
    assert one([5, 5], truth=[5, 6], k=[2])["precision@2"] == 1
    found = one([1, 2, 3], truth=[3], k=[3, 1, 3])
    assert [name for name in found if name.startswith("recall")] == ["recall@1", "recall@3"]
    nobody = pack([[]], [[]])[1].rows(np.arange(0))
    assert score_lists(np.empty((0, 5), np.int32), nobody, [1])["ndcg@1"].shape == (0,)


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


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    lists = rng.permuted(np.tile(np.arange(200), (3000, 1)), axis=1)[:, :50].tolist()
    packed = pack(lists, rng.integers(0, 200, (3000, 20)).tolist())
    with using_threads(1):
        alone = score_lists(*packed, [10, 50])
    with using_threads(4):
        together = score_lists(*packed, [10, 50])
    assert all(np.array_equal(alone[name], together[name]) for name in alone)


def test_refuses_a_k_below_one_and_lists_that_do_not_fit_the_truth():
    for k in ([], [0], [10, -1]):
        with pytest.raises(MusicRecError, match="at least 1"):
            score([[1]], [[1]], k)
    with pytest.raises(MusicRecError, match="do not fit the truth of 2 users"):
        score_lists(np.zeros((3, 1), np.int32), pack([[], []], [[0], [1]])[1], [1])


def test_precision_ceiling_is_what_perfect_lists_reach():
    truths = [list(range(n)) for n in (1, 3, 20)]
    perfect = score(truths, truths, [2, 10])
    for k in (2, 10):
        ceiling = precision_ceiling(np.array([1, 3, 20]), k)
        assert ceiling == pytest.approx(perfect[f"precision@{k}"].mean())
    assert precision_ceiling(np.array([]), 5) == 0


def test_headline_metrics_are_of_hits():
    """Searches and baselines score their lists by these alone."""
    assert {name.partition("@")[0] for name in headline_metrics([10, 500], True)} <= set(HITS)


def test_means_equal_those_of_spark(spark):
    """To 1e-9, as the `spark` protocol promises; for ranx see tests/evaluate/test_lists.py.

    Lists are short or empty, truths empty or longer than k, and tracks stand twice in either.
    """
    from pyspark.mllib.evaluation import RankingMetrics

    rng = np.random.default_rng(5)
    drawn = [rng.permutation(200).tolist() for _ in range(800)]
    lists = [row[: rng.choice([50, 50, rng.integers(0, 50)])] for row in drawn[:400]]
    truths = [row[: rng.choice([1, 5, 40, 80])] for row in drawn[400:]]
    truths[0], lists[1] = [], []
    truths[2] = lists[2] = list(range(50))
    twice = [[1, 1, 2, 3], [4, 5, 4], [7]], [[1, 1, 3], [4, 4], [7, 7, 7, 8]]
    for case in ((lists, truths), twice):
        pairs = [tuple(list(map(float, part)) for part in pair) for pair in zip(*case, strict=True)]
        theirs = RankingMetrics(spark.sparkContext.parallelize(pairs, 2))
        ours = {name: values.mean() for name, values in score(*case, [1, 10, 60, 1000]).items()}
        assert ours["map@1000"] == pytest.approx(theirs.meanAveragePrecision, rel=1e-9)
        for k in (1, 10, 60):
            found = [ours[f"{name}@{k}"] for name in ("map", "precision", "recall", "ndcg")]
            at_k = (theirs.meanAveragePrecisionAt, theirs.precisionAt, theirs.recallAt)
            assert found == pytest.approx([at(k) for at in (*at_k, theirs.ndcgAt)], rel=1e-9)
