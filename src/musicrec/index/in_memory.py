"""Dense ids in this process: each id a number from the first read on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.index.id_maps import COLUMNS, id_map, write_id_maps
from musicrec.interactions.coded import Coded, IndexSizes, code_ids, dictionary
from musicrec.jit.parallel import on_threads
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import (
    LAST_PLAYED,
    PARTS,
    READING,
    ROW_GROUP,
    parquet_parts,
    write_rows,
)

SCHEMA = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("count", pa.int64())])


class Rows(NamedTuple):
    """Plays of a split: indices, and the columns that stay as they are, in order of their names."""

    users: np.ndarray
    items: np.ndarray
    values: list[np.ndarray]


def index_in_memory(inputs: Mapping[str, Path], folder: Path) -> IndexSizes:
    """Replace string ids by dense ones, as `index_on_spark` does, and with the same bytes.

    Parameters
    ----------
    inputs : mapping
        Split -> folder of Parquet parts with columns `user_id`, `track_id`, `count`; `train` first.
    folder : Path
        Existing; receives what `index_on_spark` writes.

    Returns
    -------
    IndexSizes
    """
    files = [(name, part) for name, path in inputs.items() for part in parquet_parts(path)]
    schema = indexed_schema(timed=is_timed(files[0][1]))
    read = on_threads(lambda file: _read(file[1], schema.names[2:]), files)
    users, tracks, values = zip(*read, strict=True)
    bounds = dict.fromkeys(inputs, 0)
    for (name, _), rows in zip(files, values, strict=True):
        bounds[name] += len(rows[0])
    tables, columns = {}, []
    for name, chunks in (("users", users), ("items", tracks)):
        table, numbers = _numbered(code_ids(chunks), bounds["train"], *COLUMNS[name])
        tables[name] = table
        columns.append(numbers)
    sizes = write_id_maps(tables, folder)
    whole = [np.concatenate(column) for column in zip(*values, strict=True)]
    end = 0
    for name, n in bounds.items():
        start, end = end, end + n
        here = [column[start:end] for column in (*columns, *whole)]
        _write_split(Rows(here[0], here[1], here[2:]), schema, folder / name)
    return sizes


def is_timed(part: Path) -> bool:
    """Whether plays have the time they were last played."""
    return LAST_PLAYED.name in pq.read_schema(part).names


def indexed_schema(*, timed: bool) -> pa.Schema:
    """Columns of indexed plays."""
    return SCHEMA.append(LAST_PLAYED) if timed else SCHEMA


def _read(
    part: Path, names: list[str]
) -> tuple[pa.DictionaryArray, pa.DictionaryArray, list[np.ndarray]]:
    """Users, tracks and the columns of `names` of a file."""
    ids = ["user_id", "track_id"]
    with pq.ParquetFile(part, read_dictionary=ids, **READING) as reader:
        rows = reader.read(columns=[*ids, *names], use_threads=False).unify_dictionaries()
    users, tracks, *values = rows.combine_chunks().columns
    return _coded(users), _coded(tracks), [column.to_numpy() for column in values]


def _coded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return dictionary(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))


def _numbered(coded: Coded, n_train: int, column: str, index: str) -> tuple[pa.Table, np.ndarray]:
    """The id map, and the index of every row; the first `n_train` rows are those of training."""
    plays = np.bincount(coded.codes[:n_train], minlength=len(coded.ids))
    table = id_map(coded.ids, pa.array(plays, pa.int64()), column, index)
    order = np.argsort(-plays, kind="stable")  # ids are in the order of their bytes already
    indices = np.empty(len(order), np.int32)
    indices[order] = np.arange(len(order), dtype=np.int32)
    return table, indices[coded.codes]


def _write_split(rows: Rows, schema: pa.Schema, folder: Path) -> None:
    folder.mkdir()
    parts = rows.users % PARTS

    def write(number: int) -> None:
        mine = np.flatnonzero(parts == number)
        if len(mine):
            key = rows.users[mine].astype(np.int64) << 32 | rows.items[mine]
            path = folder / f"part-{number:05d}.parquet"
            write_rows(path, _tables(rows, mine[np.argsort(key)], schema), schema)

    on_threads(write, range(PARTS))
    write_checksums(folder)


def _tables(rows: Rows, chosen: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    columns = [rows.users, rows.items, *rows.values]
    for start in range(0, len(chosen), ROW_GROUP):
        block = chosen[start : start + ROW_GROUP]
        yield pa.table([pa.array(column[block]) for column in columns], schema)
