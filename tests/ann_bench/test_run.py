"""The benchmark stage: stable figures apart from what a clock says."""

import json

import numpy as np
import pytest

from musicrec.ann_bench.methods import METHODS, Index, Method
from musicrec.ann_bench.run import Dataset, read_dataset, recall, run_benchmark
from musicrec.interactions.matrix import from_triples
from musicrec.params import AnnBenchParams
from tests.support.indexed_data import make_plays, write_factors, write_indexed
from tests.support.scripts import stage_process


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    plays = make_plays()
    write_indexed(root / "indexed", plays)
    write_factors(root / "factors", plays.users, plays.items)
    return root


def read(project, n_queries, seed):
    params = AnnBenchParams(n_queries=n_queries, seed=seed)
    return read_dataset(project / "factors", project / "indexed", params)


def test_query_users_are_known_held_out_and_chosen_by_hash(project):
    dataset = read(project, 30, 1)
    assert dataset.queries.shape == (30, 4) and dataset.queries.any(axis=1).all()
    assert (np.diff(dataset.truth.indptr) > 0).all()
    assert dataset.seen.n_users == 30
    fewer = read(project, 10, 1)
    np.testing.assert_array_equal(fewer.queries, dataset.queries[:10])
    other = read(project, 30, 2)
    assert not np.array_equal(other.queries, dataset.queries)


def test_stage_writes_stable_figures_apart_from_the_clock(project, tmp_path):
    params = """
        ann_bench: {k: 20, methods: [exact, annoy_dot, annoy], n_trees: [1, 2],
          search_k: [10, 40, 1000], n_queries: 15}
        export: {n_trees: 2}
        """
    inputs = {"factors": project / "factors", "indexed": project / "indexed"}
    texts = []
    for name in ("a", "b"):
        outputs = {"metrics": f"{name}.json", "plots": name}
        done = stage_process("ann_bench", tmp_path, params, **inputs, **outputs)
        assert done.returncode == 0, done.stderr
        texts.append((tmp_path / f"{name}.json").read_text())
    assert texts[0] == texts[1]
    figures = json.loads(texts[0])
    assert list(figures) == ["ann_recall"] and 0 < figures["ann_recall"] <= 1
    plots = tmp_path / "b"
    rows = json.loads((plots / "tradeoff.json").read_text())
    by_name = {(row["method"], row["setting"]): row for row in rows}
    named = dict.fromkeys(row["method"].partition(",")[0] for row in rows)
    assert list(named) == ["exact", "annoy_dot", "annoy"]  # the order of the parameters
    # No more than inspects every node of 120 tracks; the exported index has 2 trees.
    settings = [setting for method, setting in by_name if method == "annoy, n_trees 2"]
    assert settings == ["search_k 10", "search_k 40", "search_k 1000"]
    assert by_name["annoy, n_trees 2", "search_k 40"]["recall"] == figures["ann_recall"]
    assert all(row.keys() == rows[0].keys() for row in rows)  # or DVC leaves out the plot
    least = by_name["annoy_dot, n_trees 1", "search_k 10"]
    assert least["recall"] < 1 and least["map_lost"] > 0
    exact = by_name["exact", "exact"]
    assert (exact["recall"], exact["map_lost"]) == (1.0, 0.0)
    assert exact["map"] == pytest.approx(least["map"] + least["map_lost"], abs=2e-6)
    assert json.loads((plots / "machine.json").read_text())["cores"] >= 1


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
    """Items 0 and 1 score 3, items 2 and 3 tie at 2, item 4 scores 1."""
    items = np.array([[3], [3], [2], [2], [1]], np.float32)
    one, two = np.ones((1, 1), np.float32), np.ones((2, 1), np.float32)
    exact = np.array([[3, 3, 2]], np.float32)
    assert recall(items, one, [answer], exact) == pytest.approx(expected)
    short = np.array([[3, 3, -np.inf], [-np.inf] * 3], np.float32)
    assert recall(items, two, [[0, 1], []], short) == 1.0
    assert recall(items, two, [[0, 4], [1]], short) == 0.5


def test_figures_are_of_the_list_without_seen_tracks(monkeypatch):
    """Exact lists, those of a method that finds less, and what the clock says: by hand."""
    items = np.array([[4], [3], [2], [1]], np.float32)
    one, asked = np.array([0], np.int32), []
    dataset = Dataset(
        items,
        np.ones((1, 1), np.float32),
        seen=from_triples(one, np.array([0]), np.ones(1), 1, 4),
        truth=from_triples(one.repeat(2), np.array([1, 3]), np.ones(2), 1, 4),
    )

    def worse(items, build, seed):
        return Index(lambda vector, k, argument: asked.append((k, argument)) or [2, 3, 0])

    monkeypatch.setitem(METHODS, "exact_gemv", Method(worse))
    # Building, warm-up, runs of 3 and of 1 second; and the same again.
    ticks = iter([0, 5, 0, 1, 1, 4, 5, 6] * 2)
    monkeypatch.setattr("musicrec.ann_bench.run.time.perf_counter", lambda: next(ticks))
    params = AnnBenchParams(k=2, methods=("exact_argsort", "exact_gemv"), repeats=2)
    exact, other = run_benchmark(dataset, params)
    assert asked == [(3, 0)] * 3  # one more, as one is played
    wanted = {"recall": 1, "map": 0.5, "map_lost": 0}  # a hit at 1 of 2, of 2 held out
    assert exact.items() >= wanted.items()
    wanted = {"recall": 0, "map": 0.25, "map_lost": 0.25}  # at 2 of 2
    assert other.items() >= wanted.items()
    wanted = {"queries_per_second": 1, "median_milliseconds": 1000, "build_seconds": 5}
    assert other.items() >= wanted.items()
