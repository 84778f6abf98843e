"""Recall by score threshold and metric loss, by hand; which queries are timed."""

from __future__ import annotations

import numpy as np
import pytest

from musicrec.ann_bench.measure import (
    QueryPlays,
    ask_all,
    list_quality,
    recall,
    time_batch,
    time_queries,
)
from musicrec.ann_bench.methods import METHODS
from musicrec.interactions.matrix import from_triples

# Items 0 and 1 score 3, items 2 and 3 tie at 2, item 4 scores 1.
ITEMS = np.array([[3], [3], [2], [2], [1]], np.float32)
EXACT = np.array([[3, 3, 2]], np.float32)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([0, 1, 2], 1.0),
        ([0, 1, 3], 1.0),  # the tie counts whichever is found
        ([3, 2, 1], 1.0),  # recall does not look at the order
        ([0, 1], 2 / 3),  # a short answer misses what it lacks
        ([0, 0, 0], 1 / 3),  # one item given thrice counts once
        ([0, 1, 4], 2 / 3),
        ([0, 1, 2, 3], 1.0),  # never above one
        ([0, -1, -1], 1 / 3),
        ([], 0.0),
    ],
)
def test_recall_by_threshold(answer, expected):
    assert recall(ITEMS, np.ones((1, 1), np.float32), [answer], EXACT) == pytest.approx(expected)


def test_recall_of_exact_lists_that_are_short():
    exact = np.array([[3, 3, -np.inf], [-np.inf] * 3], np.float32)
    queries = np.ones((2, 1), np.float32)
    assert recall(ITEMS, queries, [[0, 1], []], exact) == 1.0
    assert recall(ITEMS, queries, [[0, 4], [1]], exact) == 0.5


def test_quality_is_of_the_list_without_seen_tracks():
    """A method that finds one of two held-out tracks: the figures by hand."""
    items = np.array([[4], [3], [2], [1]], np.float32)
    one = np.array([0], np.int32)
    plays = QueryPlays(
        seen=from_triples(one, np.array([0]), np.ones(1), 1, 4),
        truth=from_triples(one.repeat(2), np.array([1, 3]), np.ones(2), 1, 4),
    )
    method = METHODS["exact_argsort"](0, 0)
    method.fit(items)
    answers = ask_all(method, np.ones((1, 1), np.float32), np.array([3]))
    found = list_quality(answers, plays, 2)
    assert found["map"] == pytest.approx(0.5)  # a hit at 1 of 2, of 2 held out
    assert found["ndcg"] == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_each_query_is_timed_in_every_run_and_the_fastest_run_counts(monkeypatch):
    asked = []

    class Clocked(METHODS["exact_argsort"]):
        def query(self, vector, k):
            asked.append(k)
            return [0]

    ticks = iter([0, 3, 3, 6, 10, 11, 11, 13])  # runs of 3 + 3 and of 1 + 2 seconds
    monkeypatch.setattr("musicrec.ann_bench.measure.time.perf_counter", lambda: next(ticks))
    latencies = time_queries(Clocked(0, 0), np.ones((2, 1), np.float32), 5, 2)
    assert latencies.tolist() == [1, 2] and asked == [5] * 6
    assert time_batch(Clocked(0, 0), np.ones((2, 1), np.float32), 5, 2) is None
