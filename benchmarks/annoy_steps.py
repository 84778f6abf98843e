"""Measure what each step of the product's Annoy index gave (docs/ann.md), and what its build costs.

    python benchmarks/annoy_steps.py --factors item_factors.npy --queries queries.npy --k 500

One thread, one query at a time. A line is one way to build and query; its cells are recall and
queries a second at every search_k. Lines of one build share the forest.

With --flags: Annoy as `make setup` compiles it, beside its own `-march=native`. Compiles both into
folders of their own (pip, a minute) and measures each in a process of its own, by turns: CPU
seconds to build ten trees over the augmented vectors, and queries a CPU second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.ann_bench.run import recall
from musicrec.interactions.factors import checked_factors
from musicrec.runtime import command
from musicrec.search.exact import ExactIndex

ROOT = Path(__file__).resolve().parents[1]
TURNS = 3  # of --flags
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


def compile_annoy(folder: Path, flags: str | None) -> None:
    """Compile Annoy into a folder."""
    environment = {**os.environ, "ANNOY_COMPILER_ARGS": flags or ""}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    options = ["--no-cache-dir", "--no-deps", "--no-binary", "annoy", "--no-build-isolation"]
    subprocess.run([*pip, *options, "annoy==1.17.3"], check=True, env=environment)


def cost(items: np.ndarray, queries: np.ndarray, k: int, search_ks: Sequence[int]) -> None:
    """Print as JSON what a build and its queries cost with the Annoy that is first on the path."""
    start = time.process_time()
    variant = Variant(items, 0, "euclidean", 10)
    figures = {"build_seconds": time.process_time() - start}
    for search_k in search_ks:
        start = time.process_time()
        for query in queries:
            variant.search(query, k, search_k, 4)
        rate = len(queries) / (time.process_time() - start)
        figures[f"queries_per_second at search_k {search_k:,}"] = rate
    print(json.dumps(figures))


def compare_flags() -> None:
    """Print what the flags of `make setup` cost: this script's `--cost` with each build."""
    found = re.search(r"ANNOY_COMPILER_ARGS=(\S+)", (ROOT / "scripts/setup.sh").read_text())
    assert found
    best: dict[str, dict[str, float]] = {"native": {}, "make setup": {}}
    with tempfile.TemporaryDirectory() as name:
        for build, flags in zip(best, (None, found[1]), strict=True):
            compile_annoy(Path(name) / build, flags)
        for build in list(best) * TURNS:
            path = os.pathsep.join([str(Path(name) / build), str(ROOT / "src")])
            done = subprocess.run(
                [sys.executable, *sys.argv, "--cost"],
                env={**os.environ, "PYTHONPATH": path},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            for what, value in json.loads(done.stdout).items():
                pick = min if what == "build_seconds" else max
                best[build][what] = pick(value, best[build].get(what, value))
    print("| | native | make setup | ratio |\n|---|---:|---:|---:|")
    for what, native in best["native"].items():
        fixed = best["make setup"][what]
        print(f"| {what} | {native:,.2f} | {fixed:,.2f} | {fixed / native:.2f} |")


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
    parser.add_argument("--flags", action="store_true", help="what the compiler's flags cost")
    parser.add_argument("--cost", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.flags and not args.cost:
        return compare_flags()
    items = checked_factors(np.load(args.factors), args.factors)
    queries = checked_factors(np.load(args.queries), args.queries)[: args.n_queries]
    if args.cost:
        return cost(items, queries, args.k, args.search_k)
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
