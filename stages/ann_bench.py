"""Measure approximate against exact search.

Reads the factors and the indexed plays; params `ann_bench`, and `export` for the Annoy index as
it is exported. Writes as metrics that index's recall, which is stable, and a folder of all that a
clock says: `tradeoff.json`, `speed_up.json`, `machine.json` and a picture, `tradeoff.svg`.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.ann_bench.machine import describe_machine
from musicrec.ann_bench.picture import draw_tradeoff
from musicrec.ann_bench.run import (
    headline,
    read_catalogue,
    run_benchmark,
    setting_rows,
    speed_up_rows,
)
from musicrec.params import AnnBenchParams, ExportParams, load_block
from musicrec.process.progress import progress
from musicrec.search.annoy_build import warn_of_another_build
from musicrec.storage.files import atomic_directory, write_json


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", default="params.yaml", help="parameter file")
    parser.add_argument("--factors", required=True, type=Path, help="folder of the train stage")
    parser.add_argument("--indexed", required=True, type=Path, help="folder of the index stage")
    parser.add_argument("--metrics", required=True, help="JSON file of what is stable")
    parser.add_argument("--plots", required=True, help="folder of what a clock says")
    args = parser.parse_args()
    params = load_block(args.params, AnnBenchParams)
    export = load_block(args.params, ExportParams)
    warn_of_another_build()
    catalogue = read_catalogue(args.factors, args.indexed, params, export)
    measured = run_benchmark(catalogue, params, progress)
    figures = headline(catalogue, params.k)
    rows = setting_rows(measured)
    with atomic_directory(args.plots) as folder:
        write_json(folder / "tradeoff.json", rows)
        write_json(folder / "speed_up.json", speed_up_rows(measured))
        write_json(folder / "machine.json", describe_machine())
        draw_tradeoff(folder / "tradeoff.svg", rows, f"Search for the {params.k} best tracks")
    write_json(args.metrics, figures)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
