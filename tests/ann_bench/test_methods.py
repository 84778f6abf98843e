"""Every search method under one contract, and the settings that are tried of each."""

import sys

import numpy as np
import pytest

from musicrec.ann_bench.methods import METHODS, grid
from musicrec.ann_bench.run import Dataset, recall, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.params import AnnBenchParams

EXTRA = {"faiss_flat": "faiss", "faiss_ivf": "faiss", "hnsw": "hnswlib"}


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(5)
    items = (rng.gamma(0.4, size=(600, 6)) * np.exp(rng.normal(size=(600, 1)))).astype(np.float32)
    return items, rng.gamma(0.4, size=(25, 6)).astype(np.float32)


@pytest.fixture(params=list(METHODS))
def method_name(request):
    if request.param in EXTRA:
        pytest.importorskip(EXTRA[request.param])
    return request.param


def test_every_method_keeps_the_contract(method_name, factors):
    """Where it inspects most, a method finds what the full sort finds, best first."""
    items, queries = factors
    k = 30
    params = AnnBenchParams(n_trees=(1,), search_k=(10, len(items)))
    (build, arguments), *_ = grid(method_name, params, len(items), k)
    index = METHODS[method_name].build(items, build, 1)
    answers = [np.asarray(index.query(query, k, arguments[-1])) for query in queries]
    scores = items @ queries.T
    exact = -np.sort(-scores, axis=0)[:k].T
    assert recall(items, queries, answers, exact) >= (1.0 if method_name != "hnsw" else 0.95)
    for row, answer in enumerate(answers):
        assert len(answer) == len(set(answer.tolist())) == k
        found = scores[answer, row]
        assert (np.diff(found) <= 1e-4 * found[:-1]).all()
    assert (index.n_bytes == 0) == (method_name in ("exact_argsort", "exact_gemv"))


@pytest.mark.parametrize("name", list(EXTRA))
def test_a_missing_extra_is_one_sentence(name, factors, monkeypatch):
    monkeypatch.setitem(sys.modules, EXTRA[name], None)
    with pytest.raises(MusicRecError, match=r"pip install (faiss-cpu|hnswlib), or leave"):
        METHODS[name].build(factors[0], 4, 0)


def test_factors_alone_have_speed_and_recall(factors):
    params = AnnBenchParams(k=20, methods=("exact", "annoy_dot"), n_trees=(1, 5), search_k=(20,))
    rows = run_benchmark(Dataset(*factors), params)
    names = [row["method"] for row in rows]
    assert names == ["exact", "annoy_dot, n_trees 1", "annoy_dot, n_trees 5"]
    assert all(row["build_seconds"] > 0 and "map" not in row for row in rows)


def test_grids_stop_where_every_node_is_inspected():
    params = AnnBenchParams(n_trees=(1, 3), search_k=(500, 100, 1000, 2000, 4000))
    assert grid("annoy", params, 1000, 10) == [
        (1, [100, 500, 1000]),
        (3, [100, 500, 1000, 2000, 4000]),
    ]
    assert grid("faiss_ivf", params, 385_371, 500)[0][0] == 1024
    assert grid("hnsw", params, 1000, 500) == [(16, [500, 1000, 2000])]
    assert grid("exact", params, 1000, 500) == [(0, [0])]
