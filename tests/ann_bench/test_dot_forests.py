"""A forest cut from a larger one is the one Annoy builds, byte for byte."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import pytest
from annoy import AnnoyIndex as Forest
from hypothesis import given, settings

from musicrec.ann_bench.dot_forests import write_forests
from musicrec.ann_bench.methods import AnnoyDot
from musicrec.ann_bench.recall import recall
from musicrec.search.exact import ExactIndex
from tests.support.extreme_factors import extreme_factors


def built(items: np.ndarray, n_trees: int, seed: int, path) -> bytes:
    forest = Forest(items.shape[1], "dot")
    forest.set_seed(seed)
    for item, vector in enumerate(items.tolist()):
        forest.add_item(item, vector)
    forest.build(n_trees, n_jobs=1)
    forest.save(str(path))
    return path.read_bytes()


@pytest.mark.parametrize(("n_items", "rank"), [(1, 2), (2, 1), (30, 8), (700, 3), (5000, 16)])
def test_fewer_trees_are_the_first_of_more(tmp_path, n_items, rank):
    rng = np.random.default_rng(n_items)
    items = (rng.normal(size=(n_items, rank)) * rng.gamma(0.5, size=(n_items, 1))).astype("f4")
    items[n_items // 2 :][:3] = 0  # a track without plays has no vector
    seconds = write_forests(items, [5, 1, 12, 3], 7, tmp_path)
    for n_trees in (1, 3, 5, 12):
        expected = built(items, n_trees, 7, tmp_path / "expected")
        assert (tmp_path / f"{n_trees}.ann").read_bytes() == expected, n_trees
    assert 0 < seconds[1] < seconds[3] < seconds[5] < seconds[12]


def test_methods_of_one_build_answer_as_those_built_alone():
    items = np.random.default_rng(1).normal(size=(2000, 6)).astype(np.float32)
    together = [AnnoyDot(trees, 3) for trees in (1, 4)]
    AnnoyDot.fit_all(together, items)
    for method in together:
        alone = AnnoyDot(method.build, 3)
        alone.fit(items)
        assert alone.index_bytes == method.index_bytes
        for one in (alone, method):
            one.set_query_argument(300)
        for query in items[:20]:
            assert list(alone.query(query, 30)) == list(method.query(query, 30))


@settings(max_examples=100, deadline=None)
@given(extreme_factors(), st.integers(0, 2**31 - 1))
def test_any_finite_factors_give_forests_of_numbers(items, seed):
    """Every number of the files is one, and a search of all nodes finds every item."""
    rng = np.random.default_rng(seed)
    n_items, rank = items.shape
    query = rng.normal(size=rank).astype(np.float32)
    exact = ExactIndex(items).search(query[None], min(10, n_items))[1]
    for method in (AnnoyDot(1, seed), AnnoyDot(4, seed)):
        with TemporaryDirectory() as folder:
            write_forests(items, [method.build], seed, Path(folder))
            nodes = np.fromfile(Path(folder) / f"{method.build}.ann", np.float32)
            split = nodes.view(np.int32).reshape(-1, 4 + rank)[:, 0] > rank + 3
            assert np.isfinite(nodes.reshape(-1, 4 + rank)[split, 3:]).all()
        method.fit(items)
        method.set_query_argument(method.build * n_items)
        found = method.query(query, n_items)
        assert sorted(found) == list(range(n_items))
        assert recall(items, query[None], [found[:10]], exact) == 1.0


def test_items_without_a_square_do_not_spoil_the_planes_of_others(tmp_path):
    rng = np.random.default_rng(0)
    items = rng.normal(size=(3_000, 5)).astype(np.float32)
    items[::3] *= np.float32(1e-22)
    zeros = items.copy()
    zeros[::3] = 0
    nodes = []
    for number, factors in enumerate((items, zeros)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_forests(factors, [5], 0, folder)
        nodes.append(np.fromfile(folder / "5.ann", np.float32).reshape(-1, 4 + 5))
    assert np.array_equal(nodes[0][:3_000, 4:], items)
    assert nodes[0][3_000:].tobytes() == nodes[1][3_000:].tobytes()
