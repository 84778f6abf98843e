"""Rows of Parquet files: the mapped columns alone, a row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Column, Mapping, positions
from musicrec.ingest.read.judge import Raw
from musicrec.ingest.source.files import SourceFile, refuse_unsupported
from musicrec.storage.parquet import READING

MAGIC = b"PAR1"
_INDEXES = 1 << 22  # bytes that may lie between a file's rows and its footer
_ROWS = 1 << 20  # rows read at a time, of larger row groups


def parquet_readings(
    file: SourceFile, mapping: Mapping
) -> tuple[list[Callable[[], Iterator[Raw]]], tuple[str, ...]]:
    """What reads each row group of a file, and its columns; none where it has no rows."""
    with file.open() as stream:
        head = stream.read(1 << 16)
    if not head.startswith(MAGIC):
        refuse_unsupported(head, file.shown)
        raise MusicRecError(
            f"{file.shown}: not a whole Parquet file: it does not start with Parquet's mark, as "
            "its name or data.format asks; get it again, or give it the name of what it is"
        )
    try:
        with file.open() as stream, pq.ParquetFile(stream) as reader:
            metadata, schema = reader.metadata, reader.schema_arrow
            before_footer = file.size - 8 - metadata.serialized_size
            stream.seek(max(4, before_footer - _INDEXES))
            joined = MAGIC * 2 in stream.read(min(_INDEXES, before_footer))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None
    if joined:
        raise MusicRecError(
            f"{file.shown}: Parquet files joined end to end, of which only one would be read; put "
            "the files into a folder instead"
        )
    if metadata.num_rows == 0:
        return [], ()  # its columns may be of no type
    names = tuple(schema.names)
    wanted = {c: names[i] for c, i in positions(mapping, names, file.shown, named=True).items()}
    for column, name in wanted.items():
        if pa.types.is_nested(schema.field(name).type):
            raise MusicRecError(
                f"{file.shown}: column {name!r} ({mapping.parameter[column]}) holds lists or "
                "structs; it must hold single values"
            )
    ids = [wanted[c] for c in wanted if c in mapping.ids]
    ids = [name for name in ids if pa.types.is_string(schema.field(name).type)]
    readings: list[Callable[[], Iterator[Raw]]] = []
    before = 0
    for group in range(metadata.num_row_groups):
        readings.append(partial(_read_group, file, group, wanted, ids, before))
        before += metadata.row_group(group).num_rows
    return readings, names


def _damaged(file: SourceFile, error: BaseException) -> BaseException:
    if isinstance(error, MemoryError):  # which is one of Arrow's, too
        return error
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return MusicRecError(f"{file.shown}: not a whole Parquet file ({reason}); get the file again")


def _read_group(
    file: SourceFile, group: int, wanted: dict[Column, str], ids: list[str], start: int
) -> Iterator[Raw]:
    """Rows of a row group behind `start` rows of the file, its ids as dictionaries."""
    columns = list(wanted.values())
    try:
        with (
            file.open() as stream,
            pq.ParquetFile(stream, read_dictionary=ids, **READING) as reader,
        ):
            for table in reader.iter_batches(
                _ROWS, row_groups=[group], columns=columns, use_threads=False
            ):
                fields = {c: _plain(table.column(name)) for c, name in wanted.items()}
                yield Raw(fields, (start + 1).__add__, 0, [])
                start += table.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _plain(column: pa.Array) -> pa.Array:
    """Bytes as text."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        column = column.cast(kind.value_type)
    if "binary" not in str(column.type):
        return column
    encoded = column.dictionary_encode()
    texts = [value.decode("utf-8", "replace") for value in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(texts, pa.string()))
