"""Dense ids in this process, each id a number from the first read on; and the id maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.interactions.coded import IndexSizes, code_ids, dictionary
from musicrec.interactions.matrix import pair_keys
from musicrec.jit.parallel import on_threads
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.parquet import (
    LAST_PLAYED,
    PARTS,
    READING,
    ROW_GROUP,
    parquet_parts,
    write_rows,
    write_table,
)

COLUMNS = {"users": ("user_id", "user"), "items": ("track_id", "item")}
SCHEMA = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("count", pa.int64())])


def index_in_memory(inputs: Mapping[str, Path], folder: Path) -> IndexSizes:
    """Do what `run.index_splits` says in this process; `train` comes first in `inputs`."""
    files = [(name, part) for name, path in inputs.items() for part in parquet_parts(path)]
    schema = SCHEMA.append(LAST_PLAYED) if is_timed(files[0][1]) else SCHEMA
    read = on_threads(lambda file: _read(file[1], schema.names[2:]), files)
    users, tracks, values = zip(*read, strict=True)
    bounds = dict.fromkeys(inputs, 0)
    for (name, _), rows in zip(files, values, strict=True):
        bounds[name] += len(rows[0])
    tables, columns = {}, []
    for name, chunks in (("users", users), ("items", tracks)):
        codes, ids = code_ids(chunks)
        plays = np.bincount(codes[: bounds["train"]], minlength=len(ids))
        tables[name], indices = id_map(ids, plays, *COLUMNS[name])
        columns.append(indices[codes])
    sizes = write_id_maps(tables, folder)
    columns += [np.concatenate(column) for column in zip(*values, strict=True)]
    end = 0
    for name, n in bounds.items():
        start, end = end, end + n
        _write_split([column[start:end] for column in columns], schema, folder / name)
    return sizes


def is_timed(part: Path) -> bool:
    """Whether plays have the time they were last played."""
    return LAST_PLAYED.name in pq.read_schema(part).names


def _read(
    part: Path, names: list[str]
) -> tuple[pa.DictionaryArray, pa.DictionaryArray, list[np.ndarray]]:
    """Users, tracks and the columns of `names` of a file."""
    ids = ["user_id", "track_id"]
    with pq.ParquetFile(part, read_dictionary=ids, **READING) as reader:
        rows = reader.read(columns=[*ids, *names], use_threads=False).unify_dictionaries()
    users, tracks = (dictionary(rows.column(name).combine_chunks()) for name in ids)
    return users, tracks, [rows.column(name).to_numpy() for name in names]


def _write_split(columns: list[np.ndarray], schema: pa.Schema, folder: Path) -> None:
    folder.mkdir()
    users, items = columns[:2]
    parts = users % PARTS

    def tables(chosen: np.ndarray) -> Iterator[pa.Table]:
        for start in range(0, len(chosen), ROW_GROUP):
            block = chosen[start : start + ROW_GROUP]
            yield pa.table([pa.array(column[block]) for column in columns], schema)

    def write(number: int) -> None:
        mine = np.flatnonzero(parts == number)
        if len(mine):
            path = folder / f"part-{number:05d}.parquet"
            write_rows(path, tables(mine[np.argsort(pair_keys(users[mine], items[mine]))]), schema)

    on_threads(write, range(PARTS))
    write_checksums(folder)


def id_map(
    ids: pa.StringArray, plays: np.ndarray, column: str, index: str
) -> tuple[pa.Table, np.ndarray]:
    """Give every id an index by falling number of training rows; ties by its bytes.

    This is the order of Spark's `StringIndexer` (frequencyDesc). Ids without training rows come
    last, so that they get indices above all known ones.

    Parameters
    ----------
    ids : pyarrow.StringArray (n), ascending by their bytes
    plays : int64 array (n), training rows of each

    Returns
    -------
    pyarrow.Table
        Columns `index` (int32: 0, 1, …), `column` (string), `plays` (int64).
    int32 array (n)
        The index of each id.

    Raises
    ------
    MusicRecError
        There are more ids than int32 can number.
    """
    if len(ids) > np.iinfo(np.int32).max:
        raise MusicRecError(f"{column}: {len(ids)} ids are more than int32 can number")
    order = np.argsort(-plays, kind="stable")  # ids are in the order of their bytes already
    numbers = np.arange(len(ids), dtype=np.int32)
    indices = np.empty_like(numbers)
    indices[order] = numbers
    arrays = [pa.array(numbers), ids.take(pa.array(order)), pa.array(plays[order])]
    return pa.table(arrays, names=[index, column, "plays"]), indices


def write_id_maps(tables: Mapping[str, pa.Table], folder: Path) -> IndexSizes:
    """Write `users.parquet` and `items.parquet`, of `id_map`, `sizes.json` and their checksums."""
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
