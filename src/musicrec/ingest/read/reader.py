"""The files of a source as checked rows, in order, read and checked on all cores.

Bytes come in blocks of whole lines, which become `Raw` rows and then `CheckedRows`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.ingest.read.check import CheckedRows, Raw, check
from musicrec.ingest.read.columns import Column, ColumnMapping, positions
from musicrec.ingest.read.json_rows import JsonFields, first_records, json_form, read_document
from musicrec.ingest.read.layout import HEAD, text_layout
from musicrec.ingest.read.text import blocks, read_text
from musicrec.ingest.source.files import SourceFile, refuse_unsupported
from musicrec.ingest.source.packed import known_encoding, open_plain, text_chunks
from musicrec.jit.parallel import thread_count
from musicrec.storage.parquet import READING

MAGIC = b"PAR1"
_INDEXES = 1 << 22  # bytes that may lie between a file's rows and its footer
_ROWS = 1 << 20  # rows read at a time, of larger row groups
Work = Callable[[], Iterable[Raw]]
Piece = tuple[str, SourceFile, CheckedRows]  # some rows of a table's file
# What else than naming one kind of files helps.
_ELSE = {"columns": ", or all: data.files=*", "separators": ", or set data.separator"}


class Reader:
    """Reads the files of tables."""

    def __init__(self, tables: dict[str, list[SourceFile]], mapping: ColumnMapping) -> None:
        """Read nothing yet."""
        self.tables, self._mapping = tables, mapping
        self._params = mapping.params
        self._first: dict[str, tuple[object, SourceFile]] = {}  # what all files must have alike
        self._encoding = known_encoding(self._params.encoding)

    def pieces(self) -> Iterator[Piece]:
        """Yield what the files hold, in their order; a few pieces are in memory at a time."""
        waiting: deque[Future[list[Piece]]] = deque()
        works = (
            (table, file, work)
            for table, files in self.tables.items()
            for file in files
            for work in self._file(file, table)
        )
        threads = thread_count()
        pool = ThreadPoolExecutor(threads)
        try:
            for table, file, work in works:
                waiting.append(pool.submit(self._checked, table, file, work))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _checked(self, table: str, file: SourceFile, work: Work) -> list[Piece]:
        return [(table, file, check(raw, self._mapping, file)) for raw in work()]

    def _file(self, file: SourceFile, table: str) -> Iterator[Work]:
        with open_plain(file) as stream:
            by_name = file.relative.endswith(".parquet")
            if self._read_as("Parquet", file, by_name or stream.peek(4).startswith(MAGIC)):
                readings, columns = _parquet_groups(file, self._mapping)
                self._require_columns(columns, file, table)
                yield from readings
                return
            chunks = text_chunks(stream, file, self._encoding)
            head = b""
            while len(head) < HEAD and (chunk := next(chunks, b"")):
                head += chunk
            chunks, first = chain([head], chunks), head[:HEAD]
            refuse_unsupported(first, file.shown)
            form = json_form(first, file.relative)
            if self._read_as("JSON", file, form != ""):
                yield from self._json(chunks, form, file)
                return
            self._require_alike("formats", "text", file)
            layout = text_layout(first, self._mapping, file.shown, whole=len(head) < HEAD)
            if not self._mapping.names:
                self._require_alike("separators", repr(layout.dialect.separator), file)
                if self._params.header is True:
                    self._require_alike("first lines, with data.header: true", layout.titles, file)
            self._require_columns(layout.columns, file, table)
            for number, data in enumerate(blocks(chunks, file.shown)):
                yield partial(read_text, data, layout, first=number == 0)

    def _read_as(self, form: str, file: SourceFile, seems: bool) -> bool:
        """Whether to read a file as `data.format` says, or as it seems; as the files before it."""
        found = seems if self._params.format == "auto" else self._params.format == form.lower()
        if found:
            self._require_alike("formats", form, file)
        return found

    def _json(self, chunks: Iterable[bytes], form: str, file: SourceFile) -> Iterator[Work]:
        fields: JsonFields | None = None
        if form != "lines" or self._params.records is not None:
            lines = ([block] for block in blocks(chunks, file.shown))
            for part in lines if form == "lines" else [chunks]:
                if records := read_document(part, self._params.records, file.shown):
                    fields = fields or JsonFields(records[:1000], self._mapping, file.shown)
                    yield partial(fields.read_records, records)
            return
        for data in blocks(chunks, file.shown):
            head = data[:HEAD] if b"\n" in data[:HEAD] else data
            fields = fields or JsonFields(first_records(head), self._mapping, file.shown)
            yield partial(fields.read_lines, data)

    def _require_columns(self, columns: tuple[str, ...], file: SourceFile, table: str) -> None:
        """Stop where files of a table have other columns, unless `data.files` names them."""
        if columns and self._params.files is None:
            mine = ", ".join(sorted(columns)) if any(columns) else f"{len(columns)} columns"
            self._require_alike(f"columns of {table}", mine, file)

    def _require_alike(self, what: str, mine: object, file: SourceFile) -> None:
        """Stop where a file differs in something from the first one."""
        first, other = self._first.setdefault(what, (mine, file))
        if mine != first:
            largest = max(chain.from_iterable(self.tables.values()), key=lambda one: one.size)
            pattern = re.sub("[0-9]+", "*", largest.relative.split("/")[-1])
            raise MusicRecError(
                f"{other.shown} and {file.relative} have other {what.split(' of ')[0]} "
                f"({first!s:.100} and {mine!s:.100}), so that not all may be plays; name the files "
                f"that are meant, such as data.files={pattern}" + _ELSE.get(what.split(" ")[0], "")
            )


def _parquet_groups(file: SourceFile, mapping: ColumnMapping) -> tuple[list[Work], tuple[str, ...]]:
    """What reads each row group of a file, and its columns; none where it has no rows."""
    with file.open() as stream:
        head = stream.read(1 << 16)
    if not head.startswith(MAGIC):
        refuse_unsupported(head, file.shown)
        raise MusicRecError(
            f"{file.shown}: not a whole Parquet file: it does not start with Parquet's mark, as "
            "its name or data.format asks; unpack it, get it again, or give it its own ending"
        )
    try:
        with file.open() as stream, pq.ParquetFile(stream) as reader:
            metadata, schema = reader.metadata, reader.schema_arrow
            before_footer = file.size - 8 - metadata.serialized_size
            stream.seek(max(4, before_footer - _INDEXES))
            joined = MAGIC * 2 in stream.read(min(_INDEXES, before_footer))
    except (pa.ArrowException, OSError, UnicodeError) as error:
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
    readings: list[Work] = []
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
