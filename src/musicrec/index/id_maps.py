"""The order of the ids, and the files that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.interactions.coded import IndexSizes
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.parquet import write_table

COLUMNS = {"users": ("user_id", "user"), "items": ("track_id", "item")}


def id_map(ids: pa.StringArray, plays: pa.Array, column: str, index: str) -> pa.Table:
    """Give every id an index by falling number of training rows.

    This is the order of Spark's `StringIndexer` (frequencyDesc). Ids without training rows come
    last, so that they get indices above all known ones. Equal numbers are ordered by the bytes of
    the id.

    Parameters
    ----------
    ids : pyarrow.StringArray (n)
        Each once, in any order.
    plays : pyarrow.Array, int64 (n)
        Training rows of each.
    column, index : str
        Names of the ids and of their index.

    Returns
    -------
    pyarrow.Table
        Columns `index` (int32: 0, 1, …), `column` (string), `plays` (int64).

    Raises
    ------
    MusicRecError
        There are more ids than int32 can number.
    """
    if len(ids) > np.iinfo(np.int32).max:
        raise MusicRecError(f"{column}: {len(ids)} ids are more than int32 can number")
    table = pa.table([ids, plays], names=[column, "plays"])
    table = table.sort_by([("plays", "descending"), (column, "ascending")])
    numbers = pa.array(np.arange(len(ids), dtype=np.int32))
    arrays = [numbers, *(table.column(name).combine_chunks() for name in (column, "plays"))]
    return pa.table(arrays, names=[index, column, "plays"])


def write_id_maps(tables: Mapping[str, pa.Table], folder: Path) -> IndexSizes:
    """Write `users.parquet`, `items.parquet`, `sizes.json` and their checksums.

    Parameters
    ----------
    tables : mapping
        `users` and `items` -> what `id_map` returns.
    """
    known = {}
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
        known[name] = pc.sum(pc.greater(table["plays"], 0)).as_py() or 0
    sizes = IndexSizes(
        known["users"], known["items"], tables["users"].num_rows, tables["items"].num_rows
    )
    write_json(folder / "sizes.json", asdict(sizes))
    write_checksums(folder)
    return sizes
