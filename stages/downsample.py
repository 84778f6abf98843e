"""Keep a hash-chosen share of the full-history users and every validation and test user.

Reads the ingested splits (`train`, `validation`, `test` below `--ingested`) and params.yaml (block
`downsample`). Writes the training plays that are kept, as Parquet parts, and as metrics the users
and plays kept and dropped.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.downsample import describe, downsample, headline, kept_rows
from musicrec.params import DownsampleParams, load_block
from musicrec.storage.files import atomic_directory, write_json


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--ingested", type=Path, required=True, help="folder of the three splits")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, required=True, help="JSON file of rows to write")
    args = parser.parse_args()
    params = load_block(args.params, DownsampleParams)
    held_out = {split: args.ingested / split for split in ("validation", "test")}
    with atomic_directory(args.output) as folder:
        summary = downsample(args.ingested / "train", held_out, folder, params)
        write_json(args.plots, kept_rows(summary))
        write_json(args.metrics, headline(summary))
    print(describe(summary, params), file=sys.stderr)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
