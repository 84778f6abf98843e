"""Give users and tracks dense ids, the most frequent first, and rewrite the splits with them.

Reads the downsampled training plays and all other ingested plays: `validation`, `test` and what
their users are folded in with, where the protocol does that. Writes a folder with the id maps
(`users.parquet`, `items.parquet`), `sizes.json` and the indexed splits under the same names, and as
metrics the sizes and what training does not know.
"""

from __future__ import annotations

if __name__ == "__main__":
    import musicrec.process.early  # noqa: F401  (first, for signals during the imports below)

import argparse
import sys
from pathlib import Path

from musicrec.files import atomic_directory, write_json
from musicrec.index import headline, index_splits, split_rows
from musicrec.parquet import HISTORY, sound_parts
from musicrec.spark.failures import quiet, readable_errors
from musicrec.spark.parts import read_parts
from musicrec.spark.session import spark_session


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="training plays")
    parser.add_argument("--ingested", type=Path, required=True, help="folder of held-out plays")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--plots", type=Path, required=True, help="JSON file of rows to write")
    args = parser.parse_args()
    inputs = {"train": args.train}
    for split in ("validation", "test"):
        inputs[split] = args.ingested / split
        history = args.ingested / f"{split}{HISTORY}"
        if history.is_dir():  # data.protocol: strong_generalization
            inputs[history.name] = history
    for path in inputs.values():
        sound_parts(path)  # before Spark starts
    with (
        atomic_directory(args.output) as folder,
        spark_session("index", inputs=inputs.values()) as spark,
        quiet(spark),
        readable_errors("index"),
    ):
        frames = {name: read_parts(spark, path) for name, path in inputs.items()}
        summary = index_splits(spark, frames, folder)
        write_json(args.plots, split_rows(summary))
        write_json(args.metrics, headline(summary))


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
