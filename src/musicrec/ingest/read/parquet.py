"""Rows of Parquet files: the mapped columns alone, a row group at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Column, Mapping, positions
from musicrec.ingest.read.judge import Raw
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.unsupported import refuse_unsupported
from musicrec.storage.parquet import READING

MAGIC = b"PAR1"
_INDEXES = 1 << 22  # bytes that may lie between a file's rows and its footer
_ROWS = 1 << 20  # rows read at a time, of larger row groups


def parquet_readings(
    file: SourceFile, mapping: Mapping
) -> tuple[list[Callable[[], list[Raw]]], tuple[str, ...]]:
    """What reads each row group of a file, and its columns; none where it has no rows.

    Raises
    ------
    MusicRecError
        The file is truncated, is not Parquet or several files joined; a column is missing.
    """
    with file.open() as stream:
        head = stream.read(1 << 16)
    if not head.startswith(MAGIC):
        refuse_unsupported(head, file.shown)
        raise MusicRecError(
            f"{file.shown}: not a whole Parquet file: it does not start with Parquet's mark, as by "
            "its name or data.format it should; get the file again, or give it the name of what it "
            "is"
        )
    try:
        with file.open() as stream, pq.ParquetFile(stream) as reader:
            metadata, schema = reader.metadata, reader.schema_arrow
            _refuse_joined(file, metadata)
            if metadata.num_rows == 0:
                return [], ()  # its columns may be of no type
            names = tuple(schema.names)
            at = positions(mapping, names, file.shown, named=True)
            wanted = {column: names[place] for column, place in at.items()}
            _require_kinds(schema, wanted, mapping, file)
    except (pa.ArrowException, OSError) as error:
        raise _unsound(file, error) from None
    ids = [
        wanted[column]
        for column in wanted
        if column in mapping.ids and _is_string(schema.field(wanted[column]).type)
    ]
    readings = [
        _group(file, group, wanted, ids, metadata.row_group(group).num_rows)
        for group in range(metadata.num_row_groups)
    ]
    return readings, names


def _unsound(file: SourceFile, error: BaseException) -> MusicRecError:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return MusicRecError(f"{file.shown}: not a whole Parquet file ({reason}); get the file again")


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind)


def _require_kinds(
    schema: pa.Schema, wanted: dict[Column, str], mapping: Mapping, file: SourceFile
) -> None:
    for column, name in wanted.items():
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            raise MusicRecError(
                f"{file.shown}: column {name!r} ({mapping.parameter[column]}) holds lists or "
                "structs; it must hold single values"
            )


def _group(
    file: SourceFile, group: int, wanted: dict[Column, str], ids: list[str], rows: int
) -> Callable[[], list[Raw]]:
    def read() -> list[Raw]:
        try:
            with (
                file.open() as stream,
                pq.ParquetFile(stream, read_dictionary=ids, **READING) as reader,
            ):
                columns = list(wanted.values())
                if rows <= 2 * _ROWS:
                    tables: list[Any] = [
                        reader.read_row_group(group, columns=columns, use_threads=False)
                    ]
                else:
                    tables = list(
                        reader.iter_batches(
                            _ROWS, row_groups=[group], columns=columns, use_threads=False
                        )
                    )
                return _raws(tables, wanted, sum_before(reader, group))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, MemoryError):
                raise
            raise _unsound(file, error) from None

    return read


def sum_before(reader: pq.ParquetFile, group: int) -> int:
    """Rows of the row groups before one."""
    return sum(reader.metadata.row_group(i).num_rows for i in range(group))


def _raws(tables: list[Any], wanted: dict[Column, str], before: int) -> list[Raw]:
    found = []
    for table in tables:
        fields = {column: _plain(_one(table.column(name))) for column, name in wanted.items()}
        start = before
        found.append(Raw(fields, lambda row, start=start: start + row + 1, 0, []))  # type: ignore[misc]
        before += table.num_rows
    return found


def _one(column: Any) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks()


def _plain(column: pa.Array) -> pa.Array:
    """Bytes and UUIDs as text."""
    if isinstance(column, pa.ExtensionArray):
        if str(column.type) == "extension<arrow.uuid>":
            return _uuids(column.storage)
        column = column.storage
    kind = column.type
    if pa.types.is_dictionary(kind):
        if pa.types.is_string(kind.value_type):
            return column
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or str(kind) == "binary_view":
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:
            values = [v if v is None else v.decode("utf-8", "replace") for v in column.to_pylist()]
            return pa.array(values, pa.string())
    return column


def _uuids(column: pa.Array) -> pa.Array:
    texts = pc.utf8_lower(pc.binary_join_element_wise(_hexadecimal(column), "", ""))
    return pc.replace_substring_regex(
        texts, r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5"
    )


def _hexadecimal(column: pa.Array) -> pa.Array:
    return pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())


def _refuse_joined(file: SourceFile, metadata: pq.FileMetaData) -> None:
    """Stop at Parquet files joined end to end, of which only the last would be read.

    They are told by two marks side by side, as far from the start as the rows of the last one end
    before its footer.
    """
    end = 4
    if metadata.num_row_groups:
        group = metadata.row_group(metadata.num_row_groups - 1)
        chunks = [group.column(i) for i in range(group.num_columns)]
        end = max((_start(chunk) + chunk.total_compressed_size for chunk in chunks), default=4)
    gap = file.size - 8 - metadata.serialized_size - end
    if gap <= 0:
        return
    with file.open() as stream:
        stream.seek(max(0, file.size - 8 - metadata.serialized_size - min(gap, _INDEXES)))
        joined = MAGIC * 2 in stream.read(min(gap, _INDEXES) + 4)
    if joined:
        raise MusicRecError(
            f"{file.shown}: Parquet files joined end to end, of which only one would be read; put "
            "the files into a folder instead"
        )


def _start(chunk: Any) -> int:
    return chunk.dictionary_page_offset or chunk.data_page_offset
