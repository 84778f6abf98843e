"""Annoy's file: mended after Annoy wrote it, and checked before Annoy reads it.

Annoy follows the numbers of a file wherever they lead: a flipped bit may send it out of the file
or round in circles. The check, one pass over the file, leaves it nowhere to go but down a tree
to items that are there.

The format (annoylib.h of Annoy 1.17, metric `euclidean`, f dimensions) is an array of nodes of
4 + f words of four bytes: n_descendants, offset of the plane, two children, vector. Items come
first, then the inner nodes, children before parents; last stands a copy of every root. An inner
node of at most f + 2 descendants is a leaf: it holds their ids from the children on. The metric
`dot` has the children before the offset, and so room for one id more in a leaf.

A split is the plane between two means, p - q divided by its length. Where both lie so close that
the square of this length is no normal float32 (below 2^-126), Annoy, whose compiler flags put a
fast approximation in the place of the square root, divides by a number that is not the length, and
the plane is of infinities and NaN. A query cannot tell such means apart. Annoy has a plane for a
split that separates nothing, where it tossed a coin: zero, from which both sides are equally near.
`mend` writes that.
"""

from __future__ import annotations

import numpy as np

from musicrec.jit.kernel import kernel

HEADER = 4  # words of a node before its vector
EUCLIDEAN = (1, 2)  # words of a node where the plane's offset and the children stand
DOT = (3, 1)
FAULTS = {
    1: "a vector or plane that is not a number",
    2: "an item that is not one of the model's",
    3: "a node without descendants",
    4: "a child outside the file",
    5: "a node that is reached twice",
}


def mend(nodes: np.ndarray, n_items: int, metric: tuple[int, int]) -> int:
    """Put zero in the place of every plane that is not of finite numbers; return how many.

    Parameters
    ----------
    nodes : int32 array (n_nodes, 4 + dimensions)
        A file that Annoy just wrote, which is changed.
    n_items : int
        Items indexed.
    metric : EUCLIDEAN or DOT
    """
    nodes = np.asarray(nodes)  # of a memory map, the plain array that numba compiles for
    mended: int = _mend(nodes, nodes.view(np.float32), n_items, metric)
    return mended


@kernel()
def _mend(nodes, values, n_items, metric):
    offset, children = metric
    n_nodes, width = nodes.shape
    mended = 0
    for node in range(n_items, n_nodes):
        if nodes[node, 0] <= width - children:
            continue  # a leaf, which has ids there
        sound = np.isfinite(values[node, offset])
        for place in range(HEADER, width):
            sound &= np.isfinite(values[node, place])
        if not sound:
            values[node, offset] = 0.0
            values[node, HEADER:] = 0.0
            mended += 1
    return mended


def find_fault(
    nodes: np.ndarray, factors: np.ndarray, items: np.ndarray, scale: float
) -> str | None:
    """Say what is wrong with the nodes of a file, or None.

    Parameters
    ----------
    nodes : int32 array (n_nodes, 4 + rank + 1)
        The file.
    factors : float32 array (n_items, rank)
    items : int32 array (n_indexed)
        The items indexed, in their order.
    scale : float
        What their factors are multiplied by in the file.
    """
    roots = len(nodes)
    while roots > 0 and nodes[roots - 1, 0] == len(items):
        roots -= 1
    if roots < len(nodes) - 1 and np.array_equal(nodes[roots], nodes[-1]):
        roots += 1  # the last root itself, which its copy follows
    if len(nodes) <= len(items) or roots == len(nodes):
        return f"not an index of {len(items)} items"
    fault, node = _check(nodes, nodes.view(np.float32), factors, items, scale, roots)
    return f"{FAULTS[fault]} (node {node})" if fault else None


@kernel()
def _check(nodes, values, factors, items, scale, roots):
    """Return the first fault and its node; `roots` is where the copies of the roots begin."""
    n_nodes, width = nodes.shape
    rank = factors.shape[1]
    n_items = len(items)
    parents = np.zeros(n_nodes, np.uint8)
    for node in range(n_nodes):
        if node == roots:
            parents[:] = 0  # the copies have the children of the roots themselves
        if not np.isfinite(values[node, 1]) and node >= n_items:
            return 1, node
        if node < n_items:
            if nodes[node, 0] != 1:
                return 2, node
            for factor in range(rank):
                handed = np.float32(np.float64(factors[items[node], factor]) * scale)
                if values[node, HEADER + factor] != handed:
                    return 2, node
            if not np.isfinite(values[node, HEADER + rank]):
                return 1, node
            continue
        descendants = nodes[node, 0]
        if descendants < 1:
            return 3, node
        if descendants <= width - 2:
            for place in range(2, 2 + descendants):
                if not 0 <= nodes[node, place] < n_items:
                    return 4, node
            continue
        for factor in range(rank + 1):
            if not np.isfinite(values[node, HEADER + factor]):
                return 1, node
        for place in range(2, 4):
            child = nodes[node, place]
            if not 0 <= child < node:
                return 4, node
            if child >= n_items:
                if parents[child]:
                    return 5, node
                parents[child] = 1
    return 0, -1
