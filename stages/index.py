"""Give users and tracks dense ids, the most frequent first, and rewrite the splits with them.

Reads the downsampled training plays and all other ingested plays: `validation`, `test` and what
their users are folded in with, where the protocol does that. Writes a folder with the id maps
(`users.parquet`, `items.parquet`), `sizes.json` and the indexed splits under the same names, and as
metrics the sizes and what training does not know.
"""

from __future__ import annotations

if __name__ == "__main__":
    from musicrec.runtime import run_stage

    run_stage(__file__)

from musicrec.index import index_metrics, index_splits, split_rows
from musicrec.storage.files import write_json
from musicrec.storage.outputs import atomic_directory, output_file, output_folder, stage_arguments
from musicrec.storage.parquet import HISTORIES, SPLITS


def main() -> None:
    """Run the stage."""
    args = stage_arguments(
        __doc__, "train", "ingested", output=output_folder, metrics=output_file, plots=output_file
    )
    held_out = [args.ingested / split for split in (*SPLITS[1:], *HISTORIES)]
    inputs = {"train": args.train} | {path.name: path for path in held_out if path.is_dir()}
    with atomic_directory(args.output) as folder:
        summary = index_splits(inputs, folder)
        write_json(args.plots, split_rows(summary))
        write_json(args.metrics, index_metrics(summary))
