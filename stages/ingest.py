"""Read plays of any format, check every row, and split them into train, validation and test.

Reads the source that params.yaml names (block `data`). Writes the three splits in the canonical
schema as Parquet parts below `--output`, as metrics what was read, merged, rejected and kept, and
the table of play counts as rows for plots and the report.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.ingest.figures import count_rows, headline, rejected_rows, sentence
from musicrec.ingest.run import ingest
from musicrec.params import DataParams, load_block
from musicrec.storage.files import atomic_directory, write_json


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True, help="parameter file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder of rows to write")
    args = parser.parse_args()
    data = load_block(args.params, DataParams)
    with atomic_directory(args.output) as folder:
        summary = ingest(data, folder)
        with atomic_directory(args.plots) as plots:
            write_json(plots / "counts.json", count_rows(summary))
            write_json(plots / "rejected.json", rejected_rows(summary))
        write_json(args.metrics, headline(summary))
    print(sentence(summary), file=sys.stderr)


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
