"""Files that are written whole or not at all, with the same bytes for the same content."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError

METRIC_DECIMALS = 6
ROW_GROUP = 1 << 20  # rows of a Parquet row group


@contextmanager
def atomic_path(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file path that becomes `destination` if the block succeeds.

    The temporary lies in the destination's folder, so the rename cannot cross devices; when
    the block raises (or is interrupted) it is removed and `destination` stays as it was.
    """
    target = Path(destination)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 is too tight for a shared output
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces `destination` if the block succeeds."""
    target = Path(destination)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any] | list[Any]) -> None:
    """Write metrics as JSON: keys sorted, floats rounded to 6 decimals, finite numbers only.

    Raises
    ------
    MusicRecError
        A number is NaN or infinite; the message names its key.
    """
    text = json.dumps(_plain(content, ""), indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{name}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise MusicRecError(f"metric {name} is {value}, which JSON cannot hold")
        return round(float(value), METRIC_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    return value


def write_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as `.npy` in C order, never pickled."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)


def write_table(path: str | os.PathLike[str], table: pa.Table) -> None:
    """Write one Parquet file; the same table gives the same bytes."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=ROW_GROUP)


def rewrite_table(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> None:
    """Copy a Parquet file so that its bytes follow from its rows alone.

    Spark's own files do not: the footer lists encodings in the order of a Java hash set, which
    changes from run to run, and the size of row groups follows heap and cores. Reads and writes
    one row group at a time.
    """
    with atomic_path(destination) as temporary, pq.ParquetFile(source) as reader:
        schema = reader.schema_arrow.remove_metadata()
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for table in _row_groups(reader, schema):
                writer.write_table(table, row_group_size=ROW_GROUP)


def _row_groups(reader: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield a file's rows in tables of ROW_GROUP rows and a rest, however the file groups them."""
    waiting = schema.empty_table()
    for batch in reader.iter_batches(batch_size=ROW_GROUP // 8):
        rows = pa.Table.from_batches([batch]).replace_schema_metadata()
        waiting = pa.concat_tables([waiting, rows])
        if waiting.num_rows >= ROW_GROUP:
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


def read_table(path: str | os.PathLike[str], columns: Iterable[str] | None = None) -> pa.Table:
    """Read a Parquet file, or a folder's `*.parquet` files in name order, as one table."""
    wanted = None if columns is None else list(columns)
    tables = [pq.read_table(part, columns=wanted) for part in parquet_parts(path)]
    return pa.concat_tables(tables)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
