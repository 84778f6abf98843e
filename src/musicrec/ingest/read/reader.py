"""The files of a source as judged chunks, in order, read and judged on all cores."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import NamedTuple

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Mapping
from musicrec.ingest.read.json_rows import JsonLines, json_form, read_document
from musicrec.ingest.read.judge import Judged, Raw, judge
from musicrec.ingest.read.layout import HEAD, TextLayout, text_layout
from musicrec.ingest.read.parquet import MAGIC, parquet_readings
from musicrec.ingest.read.text import blocks, read_text
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import known_encoding, open_plain, text_chunks
from musicrec.ingest.source.unsupported import refuse_unsupported
from musicrec.jit.parallel import thread_count

Work = Callable[[], Iterable[Raw]]


class Piece(NamedTuple):
    """Judged rows of one file."""

    table: str
    file: SourceFile
    judged: Judged


class Reader:
    """Reads the files of tables."""

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
        waiting: deque[tuple[str, SourceFile, Future[list[Judged]]]] = deque()
        works = (
            (table, file, work)
            for table, files in self._tables.items()
            for file in files
            for work in self._file(file, table)
        )
        threads = thread_count()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for table, file, work in works:
                    waiting.append((table, file, pool.submit(self._judged, work, file)))
                    if len(waiting) > threads:
                        yield from _pieces(*waiting.popleft())
                while waiting:
                    yield from _pieces(*waiting.popleft())
            finally:
                for *_, future in waiting:
                    future.cancel()

    def _judged(self, work: Work, file: SourceFile) -> list[Judged]:
        return [
            judge(
                raw._replace(fields=self._mapping.with_path(raw.fields, file.relative)),
                self._mapping,
                file.shown,
            )
            for raw in work()
        ]

    def _file(self, file: SourceFile, table: str) -> Iterator[Work]:
        with open_plain(file) as stream, file.open() as plain:
            is_parquet = stream.peek(4).startswith(MAGIC)
            by_name = file.relative.endswith(".parquet")
            if self._params.format == "parquet" or (
                self._params.format == "auto" and (is_parquet or by_name)
            ):
                if is_parquet and not plain.read(4).startswith(MAGIC):
                    raise MusicRecError(f"{file.shown}: this is a packed Parquet file; unpack it")
                self._require_alike("Parquet", file)
                readings, columns = parquet_readings(file, self._mapping)
                self._require_same_columns(columns, file, table)
                yield from readings
                return
            chunks = text_chunks(stream, file, self._encoding)
            head = b""
            while len(head) < HEAD and (chunk := next(chunks, b"")):
                head += chunk
            chunks, first = chain([head], chunks), head[:HEAD]
            refuse_unsupported(first, file.shown)
            form = json_form(first, file.relative)
            if self._params.format == "json" or (self._params.format == "auto" and form):
                self._require_alike("JSON", file)
                yield from self._json(chunks, form, file)
                return
            self._require_alike("text", file)
            layout = text_layout(first, self._mapping, file.shown, whole=len(head) < HEAD)
            self._require_agreement(layout, file)
            self._require_same_columns(layout.columns, file, table)
            for number, data in enumerate(blocks(chunks, file.shown)):
                yield partial(read_text, data, layout, first=number == 0)

    def _json(self, chunks: Iterable[bytes], form: str, file: SourceFile) -> Iterator[Work]:
        if form != "lines" or self._params.records is not None:
            for raw in read_document(chunks, self._mapping, file.shown):
                yield partial(list, [raw])
            return
        lines: JsonLines | None = None
        for data in blocks(chunks, file.shown):
            head = data[:HEAD] if b"\n" in data[:HEAD] else data
            lines = lines or JsonLines(head, self._mapping, file.shown)
            yield partial(lines.read, data)

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

    def _require_agreement(self, layout: TextLayout, file: SourceFile) -> None:
        """Stop where files that are mapped by position differ in separator or header."""
        if self._mapping.names:
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


def _pieces(table: str, file: SourceFile, future: Future[list[Judged]]) -> Iterator[Piece]:
    for judged in future.result():
        yield Piece(table, file, judged)
