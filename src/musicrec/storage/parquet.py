"""Parquet files with the same bytes for the same rows, and a checksum in every page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.storage.files import require_sound
from musicrec.storage.outputs import atomic_path

PARTS = 8  # files of every table of plays: pinned, so that bytes do not follow the core count
PLAYS = pa.schema([("user_id", pa.string()), ("track_id", pa.string()), ("count", pa.int64())])
LAST_PLAYED = pa.field("last_played", pa.int64())  # seconds UTC, where times are known
ROW_GROUP = 1 << 20  # rows of a Parquet row group
SPLITS = ("train", "validation", "test")
HISTORY = "_history"  # ends the name of a split whose plays its held-out users are folded in with
HISTORIES = tuple(f"{split}{HISTORY}" for split in SPLITS[1:])
WRITING: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
READING: dict[str, Any] = {"page_checksum_verification": True}  # of pages that have one


def plays_schema(*, timed: bool) -> pa.Schema:
    """Columns of plays; those with times have `last_played` too."""
    return PLAYS.append(LAST_PLAYED) if timed else PLAYS


def write_table(path: str | os.PathLike[str], table: pa.Table) -> None:
    """Write one Parquet file; the same table gives the same bytes."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROW_GROUP, **WRITING)


def write_rows(
    destination: str | os.PathLike[str], tables: Iterable[pa.Table], schema: pa.Schema
) -> None:
    """Write tables of any length as one Parquet file, whose bytes follow from its rows alone."""
    with (
        atomic_path(destination) as temporary,
        pq.ParquetWriter(temporary, schema, **WRITING) as writer,
    ):
        for table in _row_groups(tables, schema):
            writer.write_table(table, row_group_size=ROW_GROUP)


def _row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in tables of ROW_GROUP rows and a rest, however they came."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table.replace_schema_metadata()])
        while waiting.num_rows >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def parquet_parts(path: str | os.PathLike[str]) -> list[Path]:
    """List the Parquet files of a file or folder, in name order.

    Raises
    ------
    MusicRecError
        The path does not exist or holds no Parquet file.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    parts = sorted(root.glob("*.parquet"))
    if not parts:
        raise MusicRecError(f"{root}: no Parquet file found; run the stage that writes it first")
    return parts


def sound_parts(path: str | os.PathLike[str]) -> list[Path]:
    """List the Parquet files of a file or folder that a stage wrote; raises as `require_sound`."""
    require_sound(Path(path))
    return parquet_parts(path)


def has_columns(path: Path, names: Iterable[str]) -> bool:
    """Whether a file is Parquet whose columns begin with these."""
    try:
        found = pq.read_schema(path).names
    except pa.ArrowException:
        return False
    wanted = list(names)
    return found[: len(wanted)] == wanted


def read_table(path: str | os.PathLike[str], columns: Iterable[str] | None = None) -> pa.Table:
    """Read a stage's Parquet file, or a folder's in name order, as one table; see `sound_parts`."""
    return read_files(sound_parts(path), columns)


def read_files(paths: Iterable[Path], columns: Iterable[str] | None = None) -> pa.Table:
    """Read Parquet files as one table; pages are compared with their checksums.

    Raises
    ------
    MusicRecError
        A file lacks one of the columns.
    """
    wanted = None if columns is None else list(columns)
    return pa.concat_tables([_read_file(path, wanted) for path in paths])


def read_given(path: Path, texts: Iterable[str]) -> pa.Table:
    """Read a table that a person gives: Parquet, or text separated by commas or tabs.

    Parameters
    ----------
    texts : iterable of str
        Columns that are read as text, such as ids that look like numbers.

    Raises
    ------
    pyarrow.ArrowInvalid, UnicodeDecodeError
        It is neither.
    """
    with path.open("rb") as stream:
        head = stream.readline(1 << 16)
    if head.startswith(b"PAR1"):
        return read_files([path])
    tabs = b"\t" in head  # between them a quote is part of a name
    options = pa.csv.ParseOptions(
        delimiter="\t" if tabs else ",", quote_char=False if tabs else '"'
    )
    types = pa.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    return pa.csv.read_csv(path, parse_options=options, convert_options=types)


def _read_file(path: Path, columns: list[str] | None) -> pa.Table:
    """Read one file, not by `pq.read_table`, which imports pandas where it is installed."""
    with pq.ParquetFile(path, **READING) as file:
        if columns is None:
            return file.read()
        if missing := [name for name in columns if name not in file.schema_arrow.names]:
            raise MusicRecError(
                f"{path}: has no column {missing[0]!r}, only {', '.join(file.schema_arrow.names)}"
            )
        return file.read(columns=columns).select(columns)
