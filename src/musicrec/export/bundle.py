"""Write the serving bundle: factors, id maps, play histories and an Annoy index in one folder."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from musicrec.export.annoy_index import build_index
from musicrec.factors import read_factors, read_trained_with
from musicrec.files import atomic_directory, fingerprint, write_array, write_json
from musicrec.interactions import read_interactions, read_sizes
from musicrec.params.export import ExportParams
from musicrec.parquet import read_table, write_table

FORMAT = 1


def export_bundle(
    indexed: str | os.PathLike[str],
    factors: str | os.PathLike[str],
    output: str | os.PathLike[str],
    export: ExportParams,
) -> None:
    """Write the bundle of a trained model.

    Parameters
    ----------
    indexed, factors : path
        Outputs of the index and train stages.
    output : path
        Folder to write; it appears whole or not at all.
    export : ExportParams

    Raises
    ------
    MusicRecError
        The factors do not fit the index.
    """
    indexed, factors = Path(indexed), Path(factors)
    sizes = read_sizes(indexed / "sizes.json")
    user_factors, item_factors = read_factors(factors, sizes.n_users, sizes.n_items)
    seen = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    with atomic_directory(output) as folder:
        write_array(folder / "user_factors.npy", user_factors)
        write_array(folder / "item_factors.npy", item_factors)
        write_array(folder / "seen_indptr.npy", seen.indptr)
        write_array(folder / "seen_indices.npy", seen.indices)
        for name, count in (("users", sizes.n_users), ("items", sizes.n_items)):
            write_table(folder / f"{name}.parquet", _known(indexed / f"{name}.parquet", count))
        build_index(item_factors, folder / "index.ann", export.n_trees, export.seed)
        write_json(
            folder / "manifest.json",
            {
                "format": FORMAT,
                "n_users": sizes.n_users,
                "n_items": sizes.n_items,
                "rank": item_factors.shape[1],
                **read_trained_with(factors),
                "export": export.model_dump(),
                "files": {path.name: fingerprint(path) for path in sorted(folder.iterdir())},
            },
        )


def _known(path: Path, count: int) -> pa.Table:
    """Rows of an id map that training knows; they come first."""
    return read_table(path).slice(0, count).combine_chunks()
