"""Files of plays read as Arrow, without Spark, as long as nothing about them is doubtful."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.columnar.coded import dictionary
from musicrec.columnar.memory import in_process
from musicrec.ingest.header import column_position
from musicrec.ingest.hive_columns import hive_columns
from musicrec.ingest.local_files import read_head
from musicrec.ingest.source_file import SourceFile
from musicrec.ingest.unpack import packing
from musicrec.parallel import for_blocks
from musicrec.params.data import ColumnParams, DataParams
from musicrec.parquet import READING

MAGIC = b"PAR1"
_SPARK_CANNOT = {"BROTLI", "LZO"}  # unpack: what it refuses is refused here


class Doubt(Exception):
    """The source may have a flaw, or is more than this road reads."""


class Chunk(NamedTuple):
    """Some rows of a file: ids without nulls, counts from 1."""

    users: pa.DictionaryArray
    tracks: pa.DictionaryArray
    counts: np.ndarray


Reading = Callable[[], Chunk]


def clean_chunks(tables: dict[str, list[SourceFile]], params: DataParams) -> dict[str, list[Chunk]]:
    """Read the files of each table.

    Raises
    ------
    Doubt
        A file is not plain Parquet, a value is missing or is no positive whole number, or the rows
        are more than memory holds.
    MusicRecError
        A mapped column is missing.
    """
    waiting: list[tuple[str, Reading]] = []
    rows = 0
    for name, files in tables.items():
        if hive_columns([file.relative for file in files], params.columns):
            raise Doubt
        for file in files:
            readings, within = _parquet(file, params)
            waiting += [(name, reading) for reading in readings]
            rows += within
    if not in_process(rows):
        raise Doubt
    read: list[Chunk | None] = [None] * len(waiting)

    def work(start: int, stop: int) -> None:
        for place in range(start, stop):
            try:
                read[place] = waiting[place][1]()
            except (pa.ArrowException, OSError, UnicodeError) as error:
                raise Doubt from error

    for_blocks(work, list(range(len(waiting) + 1)))
    found: dict[str, list[Chunk]] = {name: [] for name in tables}
    for (name, _), chunk in zip(waiting, read, strict=True):
        if chunk is not None and len(chunk.counts):
            found[name].append(chunk)
    return found


def _parquet(file: SourceFile, params: DataParams) -> tuple[list[Reading], int]:
    """What reads each row group of a file, and its number of rows."""
    assert file.path is not None
    raw = read_head(file.path, 16, unpack=False)
    named = file.relative.endswith(".parquet") or raw.startswith(MAGIC)
    wanted = params.format == "parquet" or (params.format == "auto" and named)
    if not wanted or packing(raw) is not None:
        raise Doubt
    path, columns = str(file.path), params.columns
    try:
        with pq.ParquetFile(path) as reader:
            places = _places(reader.schema_arrow, columns, file.shown)
            _require_sound_columns(reader, places)
            metadata = reader.metadata
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise Doubt from error
    return [_group(path, i, places) for i in range(metadata.num_row_groups)], metadata.num_rows


def _places(schema: pa.Schema, columns: ColumnParams, shown: str) -> dict[str, int]:
    names = tuple(schema.names)
    places = {}
    for role in ("user", "track", "count"):
        column = getattr(columns, role)
        if column is not None:
            places[role] = column_position(column, role, names, named=True, file=shown)
    if len(set(places.values())) < len(places):
        raise Doubt
    for role, place in places.items():
        kind = schema.field(place).type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if pa.types.is_dictionary(kind) and role != "count":
            text = pa.types.is_string(kind.value_type)
        number = pa.types.is_integer(kind)
        if role == "count":
            text, number = False, number or pa.types.is_float32(kind) or pa.types.is_float64(kind)
        if not text and not number:
            raise Doubt
    return places


def _require_sound_columns(reader: pq.ParquetFile, places: dict[str, int]) -> None:
    """Doubt nested columns anywhere, whose leaves would move the places, and foreign codecs."""
    metadata = reader.metadata
    if metadata.num_columns != len(reader.schema_arrow.names):
        raise Doubt
    for place in places.values():
        annotated = metadata.schema.column(place)
        if annotated.physical_type == "BYTE_ARRAY" and annotated.logical_type.type != "STRING":
            raise Doubt
        for group in range(metadata.num_row_groups):
            if metadata.row_group(group).column(place).compression in _SPARK_CANNOT:
                raise Doubt


def _group(path: str, group: int, places: dict[str, int]) -> Reading:
    def read() -> Chunk:
        with pq.ParquetFile(path, **READING) as plain:
            names = plain.schema_arrow.names
        wanted = [names[place] for place in places.values()]
        ids = [names[places[role]] for role in ("user", "track")]
        with pq.ParquetFile(path, read_dictionary=ids, **READING) as reader:
            rows = reader.read_row_group(group, columns=wanted, use_threads=False)
        users, tracks = (_ids(rows.column(name)) for name in ids)
        if "count" not in places:
            return Chunk(users, tracks, np.ones(rows.num_rows, np.int64))
        return Chunk(users, tracks, whole_counts(rows.column(names[places["count"]])))

    return read


def _ids(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if column.null_count:
        raise Doubt
    if column.num_chunks == 1:
        found = dictionary(column.chunk(0))
    else:
        chunks = [dictionary(chunk) for chunk in column.chunks] or [
            dictionary(pa.array([], pa.string()))
        ]
        found = pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
    if found.dictionary.null_count:
        raise Doubt
    return found


def whole_counts(column: pa.ChunkedArray) -> np.ndarray:
    """Counts as int64 from 1.

    Raises
    ------
    Doubt
        One is missing, no whole number, below 1 or above int64.
    """
    if column.null_count:
        raise Doubt
    values = column.cast(pa.int64())  # exact, or an ArrowInvalid
    found = values.to_numpy()
    if len(found) and found.min() < 1:
        raise Doubt
    return found
