"""The benchmark: every arm under one contract, recall and speed-up by hand, stable figures."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.ann_bench.methods import ARMS, grid
from musicrec.ann_bench.picture import draw_tradeoff, pareto_front
from musicrec.ann_bench.run import NEVER, read_query_users, run_benchmark, speed_up
from musicrec.ann_bench.timing import HeldOut, Job, Point, measure_here, recall
from musicrec.errors import MusicRecError
from musicrec.export.bundle import export_bundle
from musicrec.files import write_json
from musicrec.interactions import from_triples
from musicrec.params.ann_bench import AnnBenchParams
from musicrec.params.export import ExportParams
from tests.support.indexed_data import make_plays, write_factors, write_indexed

ROOT = Path(__file__).resolve().parents[2]
EXTRA = {"faiss_flat": "faiss", "faiss_ivf": "faiss", "hnsw": "hnswlib"}
PARAMS = AnnBenchParams(
    k=20, methods=("exact_gemv", "annoy"), n_trees=(2,), search_k=(50, 500), n_queries=15, repeats=1
)


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(5)
    items = (rng.gamma(0.4, size=(600, 6)) * np.exp(rng.normal(size=(600, 1)))).astype(np.float32)
    return items, rng.gamma(0.4, size=(25, 6)).astype(np.float32)


@pytest.fixture(params=list(ARMS))
def arm_name(request):
    if request.param in EXTRA:
        pytest.importorskip(EXTRA[request.param])
    return request.param


def test_every_arm_keeps_the_contract(arm_name, factors):
    """At its most thorough setting an arm finds what the full sort finds, best first."""
    items, queries = factors
    k = 30
    (build, arguments), *_ = grid(arm_name, [1], [10, len(items)], len(items), k)
    arm = ARMS[arm_name](build, 1)
    arm.fit(items)
    arm.set_query_argument(arguments[-1])
    answers = [np.asarray(arm.query(query, k)) for query in queries]
    scores = items @ queries.T
    exact = -np.sort(-scores, axis=0)[:k].T
    assert recall(items, queries, answers, exact) >= (1.0 if arm_name != "hnsw" else 0.95)
    for row, answer in enumerate(answers):
        assert len(answer) == len(set(answer.tolist())) == k
        found = scores[answer, row]
        assert (np.diff(found) <= 1e-4 * found[:-1]).all()
    has_batch = arm.query_batch(queries, k)
    assert has_batch == (arm_name not in ("exact_argsort", "annoy_dot", "annoy"))
    assert (arm.index_bytes == 0) == (arm_name in ("exact_argsort", "exact_gemv"))


def test_the_dot_metric_of_annoy_is_a_random_scan():
    """Why our index does not use it: recall is about the share of the items inspected."""
    rng = np.random.default_rng(0)
    items = rng.gamma(0.3, size=(20_000, 16)) * np.exp(1.5 * rng.normal(size=(20_000, 1)))
    items = items.astype(np.float32)
    queries = rng.gamma(0.3, size=(20, 16)).astype(np.float32)
    exact = -np.sort(-(items @ queries.T), axis=0)[:100].T
    recalls = {}
    for name in ("annoy_dot", "annoy"):
        arm = ARMS[name](10, 0)
        arm.fit(items)
        arm.set_query_argument(2_000)
        recalls[name] = recall(items, queries, [arm.query(q, 100) for q in queries], exact)
    assert recalls["annoy"] > 2 * recalls["annoy_dot"]


@pytest.mark.parametrize("name", list(EXTRA))
def test_a_missing_extra_is_one_sentence(name, factors, monkeypatch):
    monkeypatch.setitem(sys.modules, EXTRA[name], None)
    with pytest.raises(MusicRecError, match=r"pip install 'musicrec\[ann\]'"):
        ARMS[name](4, 0).fit(factors[0])


def test_grids_stop_where_every_node_is_inspected():
    assert grid("annoy", [1, 3], [500, 100, 1000, 2000], 1000, 10) == [
        (1, [100, 500, 1000]),
        (3, [100, 500, 1000, 2000]),
    ]
    assert grid("faiss_ivf", [1], [1], 385_371, 500)[0][0] == 1024
    assert grid("hnsw", [1], [1], 1000, 500) == [(16, [500, 1000, 2000])]
    assert grid("exact", [1], [1], 1000, 500) == [(0, [0])]


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


def point(arm, found, rate, argument=0):
    return Point(arm, 1, argument, found, {}, np.full(4, 1 / rate), 0.0, 0, 0, None)


def test_speed_up_is_against_the_best_exact_arm():
    points = [
        point("exact_argsort", 1.0, 10),
        point("exact", 1.0, 200),
        point("annoy", 0.6, 800),
        point("annoy", 0.85, 100),
        point("annoy", 0.92, 50),
        point("hnsw", 0.7, 400),
    ]
    table = speed_up(points)
    assert table["recall_0.5"] == {"annoy": pytest.approx(4), "hnsw": pytest.approx(2)}
    assert table["recall_0.8"] == {"annoy": pytest.approx(0.5), "hnsw": NEVER}
    assert table["recall_0.9"] == {"annoy": pytest.approx(0.25), "hnsw": NEVER}
    assert table["recall_0.99"] == {"annoy": NEVER, "hnsw": NEVER}
    assert speed_up(points[2:]) == {}


def test_pareto_front():
    places = [(1.0, 5.0), (0.9, 4.0), (0.8, 9.0), (0.5, 9.0), (0.2, 20.0)]
    assert pareto_front(places) == [(0.2, 20.0), (0.8, 9.0), (1.0, 5.0)]


def test_metric_loss_is_what_the_missing_tracks_cost(tmp_path):
    """An arm that finds one of two held-out tracks: the figures by hand."""
    items = np.array([[4], [3], [2], [1]], np.float32)
    np.save(tmp_path / "items.npy", items)
    one = np.array([0], np.int32)
    held_out = HeldOut(
        seen=from_triples(one, np.array([0]), np.ones(1), 1, 4),
        truth=from_triples(one.repeat(2), np.array([1, 2]), np.ones(2), 1, 4),
    )
    job = Job(
        arm="exact_argsort",
        items=tmp_path / "items.npy",
        queries=np.ones((1, 1), np.float32),
        k=2,
        plan=[(0, [0])],
        repeats=2,
        seed=0,
        exact_scores=np.array([[4, 3]], np.float32),
        held_out=held_out,
    )
    (found,) = measure_here(job)
    assert found.recall == 1.0  # the seen track counts here: recall is of the search alone
    assert found.quality == {"map_at_2": 1.0, "ndcg_at_2": 1.0}
    assert len(found.latencies) == 1 and found.latencies[0] > 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    plays = make_plays()
    write_indexed(root / "indexed", plays)
    write_factors(root / "factors", plays.users, plays.items)
    export_bundle(root / "indexed", root / "factors", root / "bundle", ExportParams(n_trees=2))
    return root


def test_query_users_are_known_held_out_and_chosen_by_hash(project):
    queries, held_out = read_query_users(project / "bundle", project / "indexed", 30, 1)
    assert queries.shape == (30, 4) and queries.any(axis=1).all()
    assert (np.diff(held_out.truth.indptr) > 0).all() and held_out.seen.n_users == 30
    fewer, _ = read_query_users(project / "bundle", project / "indexed", 10, 1)
    np.testing.assert_array_equal(fewer, queries[:10])
    other, _ = read_query_users(project / "bundle", project / "indexed", 30, 2)
    assert not np.array_equal(other, queries)


def test_stage_writes_stable_quality_and_separate_speed(project, tmp_path):
    (tmp_path / "params.yaml").write_text(
        "ann_bench: {k: 20, methods: [exact, annoy_dot, annoy], n_trees: [1],\n"
        "  search_k: [10, 1000], n_queries: 15, repeats: 1}\n"
    )
    texts = []
    for run in ("a", "b"):
        out = tmp_path / run
        subprocess.run(
            [sys.executable, ROOT / "stages/ann_bench.py", "--params", tmp_path / "params.yaml",
             "--bundle", project / "bundle", "--indexed", project / "indexed",
             "--metrics", out / "bench.json", "--speed", out / "speed.json",
             "--picture", out / "picture.svg"],
            check=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        texts.append((out / "bench.json").read_text())
    assert texts[0] == texts[1]
    quality, speed = json.loads(texts[0]), json.loads((out / "speed.json").read_text())
    full = quality["arms"]["annoy"]["n_trees_1"]["search_k_1000"]
    assert full == {"recall": 1.0, "map_at_20_lost": 0.0, "ndcg_at_20_lost": 0.0}
    assert quality["arms"]["exact"]["recall"] == 1.0
    least = quality["arms"]["annoy_dot"]["n_trees_1"]["search_k_10"]
    assert least["recall"] < 1 and least["ndcg_at_20_lost"] > 0
    assert quality["map_at_20"] > 0 and quality["n_queries"] == 15
    assert "second" not in texts[0]
    assert speed["arms"]["exact"]["queries_per_second"] > 0
    assert speed["arms"]["exact"]["batch_queries_per_second"] > 0
    assert set(speed["speed_up"]) == {f"recall_{x}" for x in (0.5, 0.8, 0.9, 0.95, 0.99)}
    assert len(speed["points"]) == 5 and speed["machine"]["cores"] >= 1
    picture = (out / "picture.svg").read_text()
    assert "Pareto front" in picture and "http-equiv" not in picture


def test_dvc_plots_can_read_the_points():
    """The template's fields are those of the points."""
    template = (ROOT / ".dvc/plots/tradeoff.json").read_text()
    assert '"type": "log"' in template and '"field": "arm"' in template
    dag = (ROOT / "dvc.yaml").read_text()
    assert "metrics/ann_speed.json: queries_per_second" in dag and "template: tradeoff" in dag


def test_the_picture_is_the_same_for_the_same_figures(tmp_path):
    points = [
        {"arm": "exact", "setting": "exact", "recall": 1.0, "queries_per_second": 900.0},
        {"arm": "annoy, n_trees 1", "setting": "s", "recall": 0.5, "queries_per_second": 2000.0},
        {"arm": "annoy, n_trees 1", "setting": "t", "recall": 0.9, "queries_per_second": 500.0},
    ]
    for name in ("a.svg", "b.svg"):
        draw_tradeoff(tmp_path / name, {"points": points}, "title")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nobody_to_query_for_is_one_sentence(project, tmp_path):
    plays = make_plays()
    write_indexed(tmp_path / "indexed", replace(plays, validation=set()))
    with pytest.raises(MusicRecError, match="nobody can be queried"):
        read_query_users(project / "bundle", tmp_path / "indexed", 5, 0)


@pytest.fixture(scope="module")
def search_script():
    spec = importlib.util.spec_from_file_location("search", ROOT / "benchmarks" / "search.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_factors_are_read_from_npy_and_parquet(search_script, factors, tmp_path):
    items = factors[0]
    np.save(tmp_path / "items.npy", items)
    np.testing.assert_array_equal(search_script.read_factors(str(tmp_path / "items.npy")), items)
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 6), pa.large_list(pa.float64())):
        table = pa.table({"id": range(600), "features": pa.array(items.tolist(), kind)})
        pq.write_table(table, tmp_path / "items.parquet")
        read = search_script.read_factors(str(tmp_path / "items.parquet"))
        np.testing.assert_array_equal(read, items)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "none.parquet")
    with pytest.raises(MusicRecError, match="0 list columns"):
        search_script.read_factors(str(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"v": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(MusicRecError, match="not all of one length"):
        search_script.read_factors(str(tmp_path / "ragged.parquet"))


def test_the_table_names_every_setting(search_script, factors, tmp_path, capsys):
    items, queries = factors
    np.save(tmp_path / "items.npy", items)
    report = run_benchmark(tmp_path / "items.npy", queries, PARAMS)
    search_script.print_table(report.quality, report.speed)
    write_json(tmp_path / "report.json", {"quality": report.quality, "speed": report.speed})
    table = capsys.readouterr().out
    assert "annoy n_trees_2 search_k_500" in table and "exact_gemv" in table
