"""Keep a hash-chosen share of the full-history users and every validation and test user.

Reads the ingested splits (`train`, `validation`, `test` below `--ingested`) and params.yaml (block
`downsample`). Writes the training plays that are kept, as Parquet parts, and as metrics the users
and plays kept and dropped.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

import sys

from musicrec.downsample import KINDS, describe, downsample, downsample_metrics
from musicrec.params import DownsampleParams, load_block
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments


def main() -> None:
    """Run the stage."""
    args = stage_arguments(
        __doc__, "params", "ingested", output=output_folder, metrics=output_file, plots=output_file
    )
    params = load_block(args.params, DownsampleParams)
    held_out = {split: args.ingested / split for split in KINDS[1:]}
    held_out = {split: path for split, path in held_out.items() if path.is_dir()}
    with atomic_directory(args.output) as folder:
        rows = downsample(args.ingested / "train", held_out, folder, params)
        figures = downsample_metrics(rows)
        write_json(args.plots, rows)
        write_json(args.metrics, figures)
    print(describe(figures, params), file=sys.stderr)
