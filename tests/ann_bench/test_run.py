"""The benchmark stage: stable figures apart from what a clock says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from musicrec.ann_bench.methods import METHODS, Index
from musicrec.ann_bench.run import (
    Dataset,
    _quality,
    _speed,
    read_dataset,
    recall,
)
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import from_triples
from musicrec.params import AnnBenchParams
from tests.support.indexed_data import make_plays, write_factors, write_indexed
from tests.support.scripts import run_stage


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
        run_stage("ann_bench", tmp_path, params, **inputs, metrics=f"{name}.json", plots=name)
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


def test_nobody_to_query_for_is_one_sentence(project, tmp_path):
    plays = make_plays()
    write_indexed(tmp_path / "indexed", replace(plays, validation=set()))
    with pytest.raises(MusicRecError, match="holds no play"):
        read_dataset(project / "factors", tmp_path / "indexed", AnnBenchParams())


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


def test_quality_is_of_the_list_without_seen_tracks():
    """Exact lists, and those of a method that finds less: the figures by hand."""
    items = np.array([[4], [3], [2], [1]], np.float32)
    one = np.array([0], np.int32)
    dataset = Dataset(
        items,
        np.ones((1, 1), np.float32),
        seen=from_triples(one, np.array([0]), np.ones(1), 1, 4),
        truth=from_triples(one.repeat(2), np.array([1, 3]), np.ones(2), 1, 4),
    )

    index = METHODS["exact_argsort"].build(items, 0, 0)
    found = _quality(index, 0, dataset, 2)
    assert found == {"recall": 1, "map": 0.5, "map_lost": 0}  # a hit at 1 of 2, of 2 held out
    worse = _quality(Index(lambda vector, k, _: [2, 3, 0]), 0, dataset, 2)
    assert worse == {"recall": 0, "map": 0.25, "map_lost": 0.25}  # at 2 of 2


def test_each_query_is_timed_in_every_run_and_the_fastest_run_counts(monkeypatch):
    asked = []
    index = Index(lambda vector, k, argument: asked.append((k, argument)))
    ticks = iter([0, 1, 1, 2, 0, 3, 3, 6, 10, 11, 11, 13])  # warm-up, runs of 3 + 3 and of 1 + 2
    monkeypatch.setattr("musicrec.ann_bench.run.time.perf_counter", lambda: next(ticks))
    found = _speed(index, 7, np.ones((2, 1), np.float32), 5, 2)
    assert asked == [(5, 7)] * 6
    assert (found["queries_per_second"], found["median_milliseconds"]) == (2 / 3, 1500)
