"""Measure approximate against exact search.

Reads the factors and the indexed plays; params `ann_bench`, and `export` for the Annoy index as
it is exported. Writes as metrics that index's recall, which is stable, and a folder of all that a
clock says: `tradeoff.json` and `machine.json`.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.ann_bench.run import (
    describe_machine,
    exported_recall,
    read_dataset,
    run_benchmark,
)
from musicrec.params import AnnBenchParams, ExportParams, load_block
from musicrec.runtime import progress
from musicrec.search.annoy_index import warn_of_another_build
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments


def main() -> None:
    """Run the benchmark."""
    args = stage_arguments(
        __doc__, "params", "factors", "indexed", metrics=output_file, plots=output_folder
    )
    params = load_block(args.params, AnnBenchParams)
    export = load_block(args.params, ExportParams)
    warn_of_another_build()
    dataset = read_dataset(args.factors, args.indexed, params)
    rows = run_benchmark(dataset, params, progress)
    figures = exported_recall(dataset, params.k, export)
    with atomic_directory(args.plots) as folder:
        write_json(folder / "tradeoff.json", rows)
        write_json(folder / "machine.json", describe_machine())
    write_json(args.metrics, figures)
