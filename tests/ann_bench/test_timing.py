"""How many queries are clocked, by a clock that is told what to say."""

from __future__ import annotations

import numpy as np
import pytest

from musicrec.ann_bench import timing
from musicrec.ann_bench.methods import ExactArgsort
from musicrec.ann_bench.timing import time_batch, time_queries

QUERIES = np.ones((50, 1), np.float32)


class Slow(ExactArgsort):
    """Answers after `seconds` of a clock of its own."""

    def __init__(self, seconds: float) -> None:
        super().__init__(0, 0)
        self.seconds, self.now, self.asked = seconds, 0.0, 0

    def query(self, vector, k):
        self.now += self.seconds
        self.asked += 1
        return [0]


@pytest.mark.parametrize(
    ("seconds", "repeats", "budget", "answered", "asked"),
    [
        (0.001, 3, 1.0, 50, 10 + 3 * 50),  # all queries, all runs
        (0.015, 3, 1.0, 50, 10 + 50),  # all queries, but no time for another run
        (0.050, 3, 1.0, 20, 6 + 20),  # as many as the budget buys, a quarter of it to warm up
        (0.500, 3, 1.0, 10, 2 + 10),  # never fewer than two and ten
        (0.500, 2, np.inf, 50, 10 + 2 * 50),
    ],
)
def test_a_budget_cuts_runs_and_then_queries(
    monkeypatch, seconds, repeats, budget, answered, asked
):
    method = Slow(seconds)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: method.now)
    latencies = time_queries(method, QUERIES, 1, repeats, budget)
    assert (len(latencies), method.asked) == (answered, asked)
    np.testing.assert_allclose(latencies, seconds)


def test_a_method_without_batch_search_has_no_batch_time():
    assert time_batch(Slow(0.1), QUERIES, 1, 1) is None
