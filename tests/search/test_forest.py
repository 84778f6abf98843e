"""What Annoy would follow wherever it leads is refused before Annoy reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from musicrec.errors import MusicRecError
from musicrec.search.annoy_index import build_index, load_index
from musicrec.search.forest import DOT, EUCLIDEAN, HEADER, mend

RANK, N = 4, 300
ITEMS = np.random.default_rng(0).gamma(0.4, size=(N, RANK)).astype(np.float32)


@pytest.fixture
def nodes(tmp_path: Path) -> np.ndarray:
    """The nodes of an index, as words; writing them writes the file."""
    build_index(ITEMS, tmp_path / "index.ann", 3, 0)
    load_index(tmp_path / "index.ann", ITEMS)
    return np.memmap(tmp_path / "index.ann", np.int32, "r+").reshape(-1, 4 + RANK + 1)


def inner(nodes: np.ndarray, n_indexed: int) -> tuple[int, int]:
    """First leaf and first split after the items."""
    counts = nodes[n_indexed:, 0]
    leaf = np.flatnonzero(counts <= RANK + 3)[0] + n_indexed
    return int(leaf), int(np.flatnonzero(counts > RANK + 3)[0] + n_indexed)


@pytest.mark.parametrize("trees", [1, 2, 7])
@pytest.mark.parametrize("n", [1, 2, 8, 30, 300])
def test_every_index_that_annoy_builds_is_sound(tmp_path: Path, n: int, trees: int) -> None:
    build_index(ITEMS[:n], tmp_path / "index.ann", trees, 1)
    assert load_index(tmp_path / "index.ann", ITEMS[:n]).n_items == n


def test_faults(nodes: np.ndarray, tmp_path: Path) -> None:
    n_indexed = N - N // 24
    leaf, split = inner(nodes, n_indexed)
    nan = np.float32(np.nan).view(np.int32)
    for node, word, value, sentence in (
        (0, 0, 2, "an item that is not one of the model's"),
        (0, 4, 1, "an item that is not one of the model's"),
        (0, 4 + RANK, nan, "not a number"),
        (split, 1, nan, "not a number"),
        (split, 5, nan, "not a number"),
        (leaf, 0, 0, "without descendants"),
        (leaf, 0, -1, "without descendants"),
        (leaf, 2, n_indexed, "a child outside the file"),
        (leaf, 2, -1, "a child outside the file"),
        (split, 2, split, "a child outside the file"),
        (split, 3, 2**31 - 1, "a child outside the file"),
        (split, 2, int(nodes[split, 3]), "reached twice"),
    ):
        before = nodes[node, word]
        nodes[node, word] = value
        nodes.flush()
        with pytest.raises(MusicRecError, match=sentence):
            load_index(tmp_path / "index.ann", ITEMS)
        nodes[node, word] = before
        nodes.flush()
    load_index(tmp_path / "index.ann", ITEMS)


def test_an_index_of_other_items(nodes: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(MusicRecError, match="not one of the model's"):
        load_index(tmp_path / "index.ann", ITEMS[:, ::-1])  # the same norms
    with pytest.raises(MusicRecError, match="not an index of"):
        load_index(tmp_path / "index.ann", ITEMS[:290])


@pytest.mark.parametrize(("metric", "other"), [(EUCLIDEAN, 2), (DOT, 2)])
def test_planes_that_are_not_numbers_are_mended_and_nothing_else(metric, other) -> None:
    offset, children = metric
    nodes = np.zeros((7, HEADER + RANK), np.int32)
    values = nodes.view(np.float32)
    nodes[:3, 0] = 1  # items
    nodes[3, 0], nodes[3, children:] = RANK + 4 - children, 2**31 - 1  # a leaf: ids are no numbers
    nodes[4:, 0], nodes[4:, children : children + 2] = 100, (3, 2)
    values[4:, HEADER:], values[4:, offset] = 0.5, -1.0
    before = nodes.copy()
    assert mend(nodes, 3, metric) == 0 and np.array_equal(nodes, before)
    values[4, offset] = np.nan
    values[6, HEADER + other] = -np.inf
    assert mend(nodes, 3, metric) == 2
    for node in (4, 6):
        assert not values[node, HEADER:].any() and values[node, offset] == 0.0
        assert nodes[node, children : children + 2].tolist() == [3, 2]
    assert np.array_equal(nodes[[0, 1, 2, 3, 5]], before[[0, 1, 2, 3, 5]])
