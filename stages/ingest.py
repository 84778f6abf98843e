"""Read plays of any format, check every row, and split them into train, validation and test.

Reads the source that params.yaml names (block `data`). Writes the splits in the canonical schema as
Parquet parts below `--output`, as metrics what was read, merged, rejected and kept, and the table
of play counts as rows for plots and the report. With `data.protocol: temporal`, `evaluate.split`
says which window is held out, and so where training ends.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

import sys

from musicrec.ingest.report import count_rows, data_metrics, rejected_rows, sentence
from musicrec.ingest.run import ingest
from musicrec.params import DataParams, EvaluateParams, load_block
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments


def main() -> None:
    """Run the stage."""
    args = stage_arguments(
        __doc__, "params", output=output_folder, metrics=output_file, plots=output_folder
    )
    data = load_block(args.params, DataParams)
    judged = load_block(args.params, EvaluateParams)
    with atomic_directory(args.output) as folder:
        summary = ingest(data, folder, judged.split)
        with atomic_directory(args.plots) as plots:
            write_json(plots / "counts.json", count_rows(summary))
            write_json(plots / "rejected.json", rejected_rows(summary))
        write_json(args.metrics, data_metrics(summary))
    print(sentence(summary), file=sys.stderr)
