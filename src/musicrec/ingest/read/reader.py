"""The files of a source as judged chunks, in order, read and judged on all cores."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.read import json_rows
from musicrec.ingest.read.columns import Mapping, path_fields
from musicrec.ingest.read.judge import Judged, Raw, judge
from musicrec.ingest.read.layout import HEAD, TextLayout, text_layout
from musicrec.ingest.read.parquet import MAGIC, parquet_readings
from musicrec.ingest.read.text import blocks, read_text
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import as_utf8, known_encoding, open_plain
from musicrec.ingest.source.unsupported import refuse_unsupported
from musicrec.jit.parallel import thread_count

Work = Callable[[], list[Raw]]


class Piece(NamedTuple):
    """Judged rows of one file."""

    table: str
    file: SourceFile
    judged: Judged


class Reader:
    """Reads the files of tables.

    Parameters
    ----------
    tables : dict
        Table -> its files.
    """

    def __init__(self, tables: dict[str, list[SourceFile]], mapping: Mapping) -> None:
        """Read nothing yet."""
        self._tables, self._mapping = tables, mapping
        self._params = mapping.params
        self._formats: dict[str, SourceFile] = {}
        self._layouts: list[tuple[TextLayout, SourceFile]] = []
        self._columns: dict[str, tuple[list[str], SourceFile]] = {}
        self._encoding = known_encoding(self._params.encoding)

    def pieces(self) -> Iterator[Piece]:
        """Yield what the files hold, in their order; a few pieces are in memory at a time.

        Raises
        ------
        MusicRecError
            A file is of no format that is read, or lacks a mapped column; formats are mixed.
        """
        threads = thread_count()
        waiting: deque[tuple[str, SourceFile, Future[list[Judged]]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for table, file, work in self._works():
                    waiting.append((table, file, pool.submit(self._judged, work, file)))
                    if len(waiting) > threads:
                        yield from _pieces(*waiting.popleft())
                while waiting:
                    yield from _pieces(*waiting.popleft())
            finally:
                for *_, future in waiting:
                    future.cancel()

    def _judged(self, work: Work, file: SourceFile) -> list[Judged]:
        found = []
        for raw in work():
            rows = len(next(iter(raw.fields.values()))) if raw.fields else 0
            fields = raw.fields | path_fields(self._mapping, file.relative, rows)
            found.append(
                judge(raw._replace(fields=fields), self._mapping, self._params, file.shown)
            )
        return found

    def _works(self) -> Iterator[tuple[str, SourceFile, Work]]:
        for table, files in self._tables.items():
            for file in files:
                for work in self._file(file, table):
                    yield table, file, work

    def _file(self, file: SourceFile, table: str) -> Iterator[Work]:
        stream = open_plain(file)
        with stream:
            raw = stream.peek(8)[:8]
            named = file.relative.endswith(".parquet") or raw.startswith(MAGIC)
            if self._params.format == "parquet" or (self._params.format == "auto" and named):
                self._require_alike("Parquet", file)
                yield from self._parquet(file, table)
                return
            text = as_utf8(stream, file, self._encoding)
            head = _head(text)
            refuse_unsupported(head, file.shown)
            wanted = self._params.format
            if wanted == "json" or (wanted == "auto" and json_rows.looks_json(head, file.relative)):
                self._require_alike("JSON", file)
                yield from self._json(text, head, file)
            else:
                self._require_alike("text", file)
                layout = text_layout(head, self._mapping, file.shown, whole=len(head) < HEAD)
                self._require_agreement(layout, file)
                self._require_same_columns(layout.columns, file, table)
                for number, data in enumerate(blocks(head, text, file.shown)):
                    yield _text_work(data, layout, number == 0)

    def _require_alike(self, kind: str, file: SourceFile) -> None:
        self._formats.setdefault(kind, file)
        if len(self._formats) > 1:
            names = " and ".join(sorted(self._formats))
            first, *_ = self._formats.values()
            raise MusicRecError(
                f"{first.shown} and {file.relative}: {names} are mixed; keep one format, or name "
                "the files that are meant in data.files"
            )

    def _require_same_columns(self, columns: tuple[str, ...], file: SourceFile, table: str) -> None:
        """Stop where files of a table have other columns, unless `data.files` names them."""
        mine = sorted(columns)
        first, other = self._columns.setdefault(table, (mine, file))
        if mine == first or self._params.files is not None or not columns:
            return
        largest = max(self._tables[table], key=lambda one: one.size)
        pattern = re.sub("[0-9]+", "*", largest.relative.split("/")[-1])
        shown = " and ".join(", ".join(names)[:100] or "nothing" for names in (first, mine))
        if not any(columns):
            shown = f"{len(first)} and {len(mine)} columns"
        raise MusicRecError(
            f"{other.shown} and {file.relative} have other columns ({shown}), so that not all may "
            f"be plays; name the files that are meant, such as data.files={pattern}, or all: "
            "data.files=*"
        )

    def _parquet(self, file: SourceFile, table: str) -> Iterator[Work]:
        with file.open() as plain:
            packed = not plain.read(4).startswith(MAGIC)
        with open_plain(file) as stream:
            if packed and stream.peek(4)[:4] == MAGIC:
                raise MusicRecError(f"{file.shown}: this is a packed Parquet file; unpack it")
        readings, columns = parquet_readings(file, self._mapping)
        if columns:
            self._require_same_columns(columns, file, table)
        yield from readings

    def _require_agreement(self, layout: TextLayout, file: SourceFile) -> None:
        """Stop where files that are mapped by position differ in separator or header."""
        if any(isinstance(column, str) for column in self._mapping.wanted):
            return
        self._layouts.append((layout, file))
        first, other = self._layouts[0]
        pair = f"{other.shown} and {file.relative}"
        if first.dialect.separator != layout.dialect.separator:
            raise MusicRecError(
                f"{pair}: their separators seem to be {first.dialect.separator!r} and "
                f"{layout.dialect.separator!r}; set data.separator"
            )
        if self._params.header is True and first.titles != layout.titles:
            raise MusicRecError(
                f"{pair}: with data.header: true their first lines, {first.titles} and "
                f"{layout.titles}, would be left out; give all files the same header or none"
            )
        self._layouts = self._layouts[:1]

    def _json(self, stream: io.BufferedReader, head: bytes, file: SourceFile) -> Iterator[Work]:
        lines = json_rows.is_lines(head) or _long_object(head)
        if not lines or self._params.records is not None:
            for raw in json_rows.read_document(head, stream, self._mapping, file.shown):
                yield lambda raw=raw: [raw]  # type: ignore[misc]
            return
        paths, kinds = None, None
        for data in blocks(head, stream, file.shown):
            if paths is None:
                records = json_rows.first_records(data[:HEAD] if b"\n" in data[:HEAD] else data)
                paths = json_rows.json_paths(records, self._mapping, file.shown)
                kinds = json_rows.arrow_kinds(records, paths, self._mapping.exact)
            yield _json_work(data, paths, kinds)


def _pieces(table: str, file: SourceFile, future: Future[list[Judged]]) -> Iterator[Piece]:
    for judged in future.result():
        yield Piece(table, file, judged)


def _text_work(data: bytes, layout: TextLayout, first: bool) -> Work:
    return lambda: [read_text(data, layout, first=first)]


def _json_work(data: bytes, paths: json_rows.Paths, kinds: pa.Schema | None) -> Work:
    return lambda: [json_rows.read_lines(data, paths, kinds)]


def _long_object(head: bytes) -> bool:
    """Whether the first object is longer than the head, and on one line as far as is seen."""
    return len(head) >= HEAD and head.startswith(b"{") and b"\n" not in head


def _head(stream: io.BufferedReader) -> bytes:
    parts, size = [], 0
    while size < HEAD and (part := stream.read(HEAD - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
