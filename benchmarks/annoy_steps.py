"""Measure what each step of the product's Annoy index gave (docs/ann.md).

    python benchmarks/annoy_steps.py --factors item_factors.npy --queries queries.npy --k 500

One thread, one query at a time. A line is one way to build and query; its cells are recall and
queries a second at every search_k. Lines of one build share the forest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Literal

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.ann_bench.measure import recall
from musicrec.runtime import command
from musicrec.search.exact import ExactIndex
from musicrec.search.vectors import checked_factors

Metric = Literal["dot", "euclidean"]


class Variant:
    """Items of `tail` in a forest of the augmented vectors, those of `head` searched exactly."""

    def __init__(self, items: np.ndarray, head_share: float, metric: Metric, n_trees: int) -> None:
        """Build the forest."""
        norms = np.linalg.norm(items, axis=1)
        order = np.argsort(-norms, kind="stable")
        n_head = int(len(items) * head_share)
        self.head, self.tail = np.sort(order[:n_head]), order[n_head:]
        self.exact = ExactIndex(items[self.head]) if n_head else None
        self.largest = float(norms[self.tail[0]])
        vectors = items[self.tail]
        self.pad: list[float] = []
        if metric == "euclidean":
            extra = np.sqrt(np.maximum(0, self.largest**2 - norms[self.tail] ** 2))
            vectors, self.pad = np.column_stack((vectors, extra)), [0.0]
        self.forest = Forest(vectors.shape[1], metric)
        self.forest.set_seed(0)
        for position, vector in enumerate(vectors.tolist()):
            self.forest.add_item(position, vector)
        self.forest.build(n_trees, n_jobs=1)

    def search(self, query: np.ndarray, k: int, search_k: int, scale: float) -> np.ndarray:
        """Candidates of head and tail together; without the cost of merging them."""
        found = self.exact.search_one(query, k)[0] if self.exact else np.empty(0, np.int64)
        scaled = query * (scale * self.largest / np.linalg.norm(query))
        near = self.forest.get_nns_by_vector([*scaled.tolist(), *self.pad], k, search_k)
        return np.concatenate((self.head[found], self.tail[near]))


def measure(
    name: str, variant: Variant, scale: float, setup: tuple[np.ndarray, np.ndarray, np.ndarray],
    search_ks: Sequence[int],
) -> None:  # fmt: skip
    """Print one line."""
    items, queries, exact_scores = setup
    k = exact_scores.shape[1]
    cells = []
    for search_k in search_ks:
        variant.search(queries[0], k, search_k, scale)
        start = time.perf_counter()
        answers = [variant.search(query, k, search_k, scale) for query in queries]
        rate = len(queries) / (time.perf_counter() - start)
        cells.append(f"{recall(items, queries, answers, exact_scores):.3f} at {rate:,.0f}")
    print(f"{name:48}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


@command
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--factors", required=True, help="item factors, .npy")
    parser.add_argument("--queries", required=True, help="query vectors, .npy")
    parser.add_argument("--k", type=int, default=500)
    parser.add_argument("--n-queries", type=int, default=100)
    parser.add_argument("--search-k", type=int, nargs="+", default=[500, 2000, 10000])
    args = parser.parse_args()
    items = checked_factors(np.load(args.factors), args.factors)
    queries = checked_factors(np.load(args.queries), args.queries)[: args.n_queries]
    setup = (items, queries, ExactIndex(items).search(queries, args.k)[1])
    print(f"{'search_k':48}" + "".join(f"{value:>18,}" for value in args.search_k))
    measure("dot, query of norm M", Variant(items, 0, "dot", 10), 1, setup, args.search_k)
    augmented = Variant(items, 0, "euclidean", 10)
    measure("euclidean reduction, query of norm M", augmented, 1, setup, args.search_k)
    measure("  query of norm 4 M", augmented, 4, setup, args.search_k)
    for parts in (96, 48, 32, 24):
        tiered = Variant(items, 1 / parts, "euclidean", 10)
        for scale in (1, 4) if parts == 32 else (4,):
            name = f"  exact head of 1/{parts}, query of norm {scale} M"
            measure(name, tiered, scale, setup, args.search_k)
    for trees in (1, 30):
        tiered = Variant(items, 1 / 32, "euclidean", trees)
        measure(f"  exact head of 1/32, 4 M, {trees} trees", tiered, 4, setup, args.search_k)


if __name__ == "__main__":
    sys.exit(main())
