"""Parquet files read as Arrow, as long as their columns are what they seem."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.ingest.formats.header import column_position
from musicrec.ingest.formats.parquet_columns import rows_of_sound
from musicrec.ingest.in_process.chunk import Chunk, Doubt, Reading, ids_of
from musicrec.ingest.in_process.times import times_of
from musicrec.ingest.source.source_file import SourceFile
from musicrec.params import ROLES, ColumnParams
from musicrec.storage.parquet import READING

_SPARK_CANNOT = {"BROTLI", "LZO"}  # unpack: what it refuses is refused here


def parquet_chunks(file: SourceFile, columns: ColumnParams) -> tuple[list[Reading], int]:
    """What reads each row group of a file, and its number of rows.

    Raises
    ------
    Doubt
        A mapped column is neither of text nor of numbers, as its role asks.
    """
    assert file.path is not None
    if rows_of_sound(file.path, file.shown) == 0:
        return [], 0  # whose columns may be of no type
    path = str(file.path)
    with pq.ParquetFile(path) as reader:
        places = _places(reader.schema_arrow, columns, file.shown)
        _require_sound_columns(reader, places)
        metadata = reader.metadata
    return [_group(path, i, places) for i in range(metadata.num_row_groups)], metadata.num_rows


def _places(schema: pa.Schema, columns: ColumnParams, shown: str) -> dict[str, int]:
    names = tuple(schema.names)
    places = {}
    for role in ROLES:
        column = getattr(columns, role)
        if column is not None:
            places[role] = column_position(column, role, names, named=True, file=shown)
    if len(set(places.values())) < len(places):
        raise Doubt
    for role, place in places.items():
        kind = schema.field(place).type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if pa.types.is_dictionary(kind) and role in ("user", "track"):
            text = pa.types.is_string(kind.value_type)
        known = text or pa.types.is_integer(kind)
        if role == "count":
            known = pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())
        elif role == "timestamp":
            known |= pa.types.is_timestamp(kind) or pa.types.is_date32(kind)
        if not known:
            raise Doubt
    return places


def _require_sound_columns(reader: pq.ParquetFile, places: dict[str, int]) -> None:
    """Doubt nested columns anywhere, whose leaves would move the places, and foreign codecs."""
    metadata = reader.metadata
    if metadata.num_columns != len(reader.schema_arrow.names):
        raise Doubt
    for place in places.values():
        annotated = metadata.schema.column(place)
        if annotated.physical_type == "INT96":
            raise Doubt
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
        users, tracks = (ids_of(rows.column(name)) for name in ids)
        counts, times = np.ones(rows.num_rows, np.int64), None
        if "count" in places:
            counts = _whole_counts(rows.column(names[places["count"]]))
        if "timestamp" in places:
            times = times_of(rows.column(names[places["timestamp"]]))
        return Chunk(users, tracks, counts, times)

    return read


def _whole_counts(column: pa.ChunkedArray) -> np.ndarray:
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
