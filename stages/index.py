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

from musicrec.index.figures import headline, split_rows
from musicrec.index.run import index_splits
from musicrec.storage.files import atomic_directory, write_json
from musicrec.storage.parquet import HISTORY


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
    with atomic_directory(args.output) as folder:
        summary = index_splits(inputs, folder)
        write_json(args.plots, split_rows(summary))
        write_json(args.metrics, headline(summary))


if __name__ == "__main__":
    from musicrec.command import run_stage

    sys.exit(run_stage(main))
