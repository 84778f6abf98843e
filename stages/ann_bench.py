"""Measure approximate against exact search.

Reads data/bundle (user and item factors, training plays) and data/indexed (held-out plays);
params ann_bench. Writes metrics/ann_bench.json (recall, index bytes, metric loss: stable),
metrics/ann_speed.json (everything a clock says) and plots/ann_tradeoff.svg.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from musicrec.ann_bench.picture import draw_tradeoff
from musicrec.ann_bench.run import read_query_users, run_benchmark
from musicrec.files import write_json
from musicrec.params.ann_bench import AnnBenchParams
from musicrec.params.load import load_block


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--bundle", required=True, type=Path, help="folder of the export stage")
    parser.add_argument("--indexed", required=True, type=Path, help="folder of the index stage")
    parser.add_argument("--metrics", required=True, help="JSON of what is stable")
    parser.add_argument("--speed", required=True, help="JSON of what a clock says")
    parser.add_argument("--picture", required=True, help="SVG of the tradeoff")
    args = parser.parse_args()
    bench = load_block(args.params, AnnBenchParams)
    queries, held_out = read_query_users(args.bundle, args.indexed, bench.n_queries, bench.seed)
    report = run_benchmark(args.bundle / "item_factors.npy", queries, bench, held_out)
    write_json(args.metrics, report.quality)
    write_json(args.speed, report.speed)
    draw_tradeoff(args.picture, report.speed, f"Search for the {bench.k} best tracks")


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
