"""A forest cut from a larger one is the one Annoy builds, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from annoy import AnnoyIndex as Forest

from musicrec.ann_bench.dot_forests import write_forests
from musicrec.ann_bench.methods import AnnoyDot


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
