"""Measure what the flags of `make setup` cost: Annoy so compiled, beside its own `-march=native`.

    python benchmarks/annoy_build.py --factors items.npy --queries queries.npy --k 500

Compiles both into folders of their own (pip, a minute) and measures each in a process of its own,
by turns: CPU seconds to build ten trees over the augmented vectors, and queries a CPU second.
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
from pathlib import Path

import numpy as np

from musicrec.interactions.factors import norms_of
from musicrec.runtime import command
from musicrec.search.vectors import augment, checked_factors

ROOT = Path(__file__).resolve().parents[1]
SEARCH_K = (1_000, 10_000, 50_000)
TREES, TURNS = 10, 3


def compile_annoy(folder: Path, flags: str | None) -> None:
    """Compile Annoy into a folder."""
    environment = {**os.environ, "ANNOY_COMPILER_ARGS": flags or ""}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    options = ["--no-cache-dir", "--no-deps", "--no-binary", "annoy", "--no-build-isolation"]
    subprocess.run([*pip, *options, "annoy==1.17.3"], check=True, env=environment)


def measure(vectors: np.ndarray, queries: np.ndarray, k: int) -> dict[str, float]:
    """Build and query with the Annoy that is first on the path."""
    from annoy import AnnoyIndex

    forest = AnnoyIndex(vectors.shape[1], "euclidean")
    forest.set_seed(0)
    for item, vector in enumerate(vectors.tolist()):
        forest.add_item(item, vector)
    start = time.process_time()
    forest.build(TREES, n_jobs=1)
    figures = {"build_seconds": time.process_time() - start}
    for search_k in SEARCH_K:
        start = time.process_time()
        for query in queries.tolist():
            forest.get_nns_by_vector(query, k, search_k)
        rate = len(queries) / (time.process_time() - start)
        figures[f"queries_per_second at search_k {search_k:,}"] = rate
    return figures


@command
def main() -> None:
    """Run the benchmark, or one measurement in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--factors", required=True, help="item factors, .npy")
    parser.add_argument("--queries", required=True, help="query vectors, .npy")
    parser.add_argument("--k", type=int, default=500)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        items = checked_factors(np.load(args.factors), args.factors)
        queries = np.load(args.queries)[:100]
        norms = norms_of(items)
        queries = queries / np.linalg.norm(queries, axis=1)[:, None] * (4 * norms.max())
        vectors = augment(items, norms, norms.max())
        print(json.dumps(measure(vectors, np.pad(queries, ((0, 0), (0, 1))), args.k)))
        return
    found = re.search(r"ANNOY_COMPILER_ARGS=(\S+)", (ROOT / "scripts/setup.sh").read_text())
    assert found
    best: dict[str, dict[str, float]] = {"native": {}, "make setup": {}}
    with tempfile.TemporaryDirectory() as name:
        for build, flags in zip(best, (None, found[1]), strict=True):
            compile_annoy(Path(name) / build, flags)
        for build in list(best) * TURNS:
            path = os.pathsep.join([str(Path(name) / build), str(ROOT / "src")])
            done = subprocess.run(
                [sys.executable, *sys.argv, "--one"],
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


if __name__ == "__main__":
    sys.exit(main())
