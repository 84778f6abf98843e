"""Measure search as the list length and the rank grow: a table, a JSON and a picture.

With trained factors, on synthetic plays of the Taste Profile's shape:

    python benchmarks/search_scale.py --ranks 20 64 128 --picture docs/search_scale.svg

or on given factors, whatever their rank:

    python benchmarks/search_scale.py --factors items.npy --queries queries.npy

A figure is queries a second, one at a time on one thread; an approximate method's is that of its
fastest setting whose recall reaches --recall.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from musicrec.als.fit import fit
from musicrec.ann_bench.methods import METHODS
from musicrec.ann_bench.run import Dataset, Rows, describe_machine, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import checked_factors
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.params import ALSParams, AnnBenchParams
from musicrec.runtime import command
from musicrec.sample.plays import generate_plays, sample_sizes
from musicrec.storage.files import write_json


def synthetic_plays(scale: float, seed: int) -> Interactions:
    """Draw the training plays of the embedded sample."""
    sizes = sample_sizes(scale)
    chunks = []
    for plays in generate_plays(seed, sizes):
        train = plays.split == 0
        users = plays.user[train].astype(np.int32) + plays.first_user
        chunks.append((users, plays.track[train], plays.count[train]))
    users, tracks, counts = (np.concatenate(column) for column in zip(*chunks, strict=True))
    return from_triples(users, tracks, counts, sizes.users, sizes.tracks)


def models(args: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield item factors and queries of every model to search."""
    if args.factors:
        if not args.queries:
            raise MusicRecError("--factors needs --queries, the vectors to search for")
        items = checked_factors(np.load(args.factors), args.factors)
        yield items, checked_factors(np.load(args.queries), args.queries)[: args.n_queries]
        return
    plays = synthetic_plays(args.scale, args.seed)
    chosen = np.random.default_rng(args.seed).choice(plays.n_users, args.n_queries, replace=False)
    for rank in args.ranks:
        model = fit(plays, ALSParams(rank=rank, max_iter=args.iterations, seed=args.seed))
        yield model.items, model.users[np.sort(chosen)]


def best_rate(measured: Rows, method: str, recall: float) -> float | None:
    """Queries a second of a method's fastest setting that reaches the recall."""
    reached = (row for row in measured if row["recall"] >= recall)
    rates = [
        row["queries_per_second"] for row in reached if row["method"].partition(",")[0] == method
    ]
    return max(rates, default=None)


def draw(path: str, results: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    """Draw queries a second by list length, a panel a rank, a line a method."""
    ranks = list(dict.fromkeys(result["rank"] for result in results))
    figure = Figure(figsize=(3.6 * len(ranks), 3.6), layout="constrained")
    panels = figure.subplots(ncols=len(ranks), sharey=True, squeeze=False)[0]
    for panel, rank in zip(panels, ranks, strict=True):
        here = [result for result in results if result["rank"] == rank]
        for method in methods:
            reached = [(r["k"], r["rates"][method]) for r in here if r["rates"][method] is not None]
            if reached:
                panel.plot(*zip(*reached, strict=True), marker="o", label=method)
        panel.set(xscale="log", yscale="log", xlabel="k", title=f"rank {rank}")
        panel.grid(True, which="both", alpha=0.2)
    panels[0].set_ylabel("queries per second, one thread")
    panels[-1].legend(fontsize=7)
    figure.savefig(path)


@command
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--factors", help="item factors, .npy; without: train on synthetic plays")
    parser.add_argument("--queries", help="query vectors, .npy")
    parser.add_argument("--scale", type=float, default=0.05, help="size of the synthetic plays")
    parser.add_argument("--ranks", type=int, nargs="+", default=[20, 64, 128])
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100, 500])
    parser.add_argument("--recall", type=float, default=0.9)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=["exact_argsort", "exact_gemv", "exact", "annoy"],
    )
    parser.add_argument("--n-trees", type=int, nargs="+", default=[10])
    parser.add_argument(
        "--search-k", type=int, nargs="+", default=[50, 100, 500, 1000, 5000, 10000, 50000]
    )
    parser.add_argument("--n-queries", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--picture", help="where to draw them, as SVG")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    print(f"{'items':>9}{'rank':>6}{'k':>6}" + "".join(f"{name:>14}" for name in args.methods))
    for items, queries in models(args):
        for k in args.k:
            params = AnnBenchParams(
                k=k,
                methods=tuple(args.methods),
                n_trees=tuple(args.n_trees),
                search_k=tuple(args.search_k),
                repeats=args.repeats,
                seed=args.seed,
            )
            measured = run_benchmark(Dataset(items, queries), params)
            rates = {name: best_rate(measured, name, args.recall) for name in args.methods}
            shape = {"n_items": len(items), "rank": items.shape[1], "k": k}
            results.append({**shape, "rates": rates})
            cells = ("never" if rate is None else f"{rate:,.0f}" for rate in rates.values())
            numbers = "".join(f"{cell:>14}" for cell in cells)
            print(f"{len(items):>9,}{items.shape[1]:>6}{k:>6}{numbers}", flush=True)
    if args.json:
        report = {"recall": args.recall, "machine": describe_machine(), "runs": results}
        write_json(args.json, report)
    if args.picture:
        draw(args.picture, results, args.methods)


if __name__ == "__main__":
    sys.exit(main())
