"""Forests of Annoy's `dot` metric: the largest is built, those of fewer trees are cut from it.

Annoy 1.17.3 with one job grows its trees one after the other, from one generator of random numbers.
So the first trees of a forest are, bit for bit, the forest of fewer trees. Its file is an array of
nodes of 4 + rank words of four bytes, the first of which counts the items below the node: first the
items, then tree by tree the inner nodes, a root after all below it; last stands a copy of every
root.

Annoy divides an item by its norm to find planes. Where the norm's square is no normal float32, that
gives infinities, and every plane with a share of such an item is NaN. These items are zero
to Annoy while it builds, and themselves in the file, by which answers are ranked; of planes that
are NaN for another reason see `musicrec.search.forest`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.search.forest import DOT, HEADER, mend
from musicrec.search.vectors import moderate, norms_of

FAINT = 2.0**-60  # norms below it have squares that float32 may not hold
BLOCK = 4096  # items handed over at once, as Python's numbers, which take eight times the memory


def write_forests(
    items: np.ndarray, n_trees: Sequence[int], seed: int, folder: Path
) -> dict[int, float]:
    """Write a forest for each number of trees to `<n_trees>.ann`, as Annoy would have built it.

    Items are multiplied by `moderate` of their largest norm: by 1, unless that is far from 1.

    Parameters
    ----------
    items : float32 array (n_items, rank)
    n_trees : sequence of int
    seed : int
    folder : Path

    Returns
    -------
    dict
        Number of trees -> seconds that building such a forest takes: adding the items, and of the
        seconds of the largest its share by trees.
    """
    most = max(n_trees)
    norms = norms_of(items)
    scale = moderate(float(norms.max(initial=0.0)))
    items = (items * np.float64(scale)).astype(np.float32) if scale != 1.0 else items
    faint = norms * scale < FAINT
    built_from = np.where(faint[:, None], np.float32(0), items) if faint.any() else items
    started = time.perf_counter()
    forest = Forest(items.shape[1], "dot")
    forest.set_seed(seed)
    for start in range(0, len(items), BLOCK):
        for item, vector in enumerate(built_from[start : start + BLOCK].tolist(), start):
            forest.add_item(item, vector)
    added = time.perf_counter()
    forest.build(most, n_jobs=1)
    built = time.perf_counter()
    forest.save(str(folder / f"{most}.ann"))
    forest.unload()
    words = np.memmap(folder / f"{most}.ann", np.int32, "r+")
    nodes = words.reshape(-1, HEADER + items.shape[1])
    nodes.view(np.float32)[: len(items), HEADER:][faint] = items[faint]
    mend(nodes, len(items), DOT)
    words.flush()
    for fewer in set(n_trees) - {most}:
        _write_first(nodes, len(items), fewer, folder / f"{fewer}.ann")
    return {trees: added - started + (built - added) * trees / most for trees in n_trees}


def _write_first(nodes: np.ndarray, n_items: int, n_trees: int, path: Path) -> None:
    """Write the first trees of a forest: int32 nodes (n_nodes, 4 + rank)."""
    roots = n_items + np.flatnonzero(nodes[n_items:, 0] == n_items)[:n_trees]
    with path.open("wb") as stream:
        nodes[: roots[-1] + 1].tofile(stream)
        nodes[roots].tofile(stream)
