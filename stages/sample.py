"""Write the embedded default source: synthetic plays of the Taste Profile's shape.

Reads params.yaml (block `sample`). Writes a folder with `train.parquet`, `validation.parquet` and
`test.parquet` (`user_id`, `count`, `track_id`).
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.params import SampleParams, load_block
from musicrec.sample.plays import write_sample


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    params = load_block(args.params, SampleParams)
    write_sample(params, args.output)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
