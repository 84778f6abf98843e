"""Delimited text read as Arrow, as long as its lines are plain: quotes, if any, enclose fields."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from musicrec.ingest.formats.delimited import places_of
from musicrec.ingest.formats.header import KNOWN_NAMES, plain_title
from musicrec.ingest.formats.table_text import Dialect
from musicrec.ingest.formats.text_layout import TextLayout, text_layout
from musicrec.ingest.in_process.chunk import Chunk, Doubt, Reading, ids_of
from musicrec.ingest.in_process.times import times_of
from musicrec.ingest.rows.ids import unseen_signs
from musicrec.ingest.source.source_file import SourceFile
from musicrec.params import DataParams

BLOCK = 1 << 25  # bytes of text read at a time
_FIRST_LINE = re.compile(rb"(\xef\xbb\xbf)?([ \t]*(\r\n|\n|\r))*[^\r\n]*(\r\n|\n|\r|$)")
_TITLES = 1000  # so many are looked for among the users
_LONGEST_NAME = 24  # bytes of what a column may be called
_COUNT = "^[0-9]{1,18}$"


def text_chunks(
    file: SourceFile, head: bytes, params: DataParams, *, whole: bool
) -> tuple[str, list[Reading], int]:
    """What reads each block of a file's lines, and about how many lines it has.

    Before that, what this file must share with the others of the source.

    Raises
    ------
    Doubt
        Quotes do more than enclose fields, or other lines than the header may not be part of the
        table.
    MusicRecError
        The file is no table, or lacks a mapped column.
    """
    layout = text_layout(head, params, file.shown, whole=whole)
    places = places_of(layout, params.columns, file.shown)
    separator = layout.dialect.separator
    doubtful = layout.before or layout.aside or layout.comments or layout.warnings
    if doubtful or len(separator.encode()) != 1 or separator == " ":
        raise Doubt
    start = 0
    if layout.titles:
        first = _FIRST_LINE.match(head)
        start = first.end() if first else 0
    elif head.startswith(b"\xef\xbb\xbf"):
        start = 3
    assert file.path is not None
    bounds = _line_bounds(file.path, start, file.size)
    lines = head.count(b"\n") + head.count(b"\r") + 1
    readings = [
        _block(file.path, begin, end, layout, places) for begin, end in itertools.pairwise(bounds)
    ]
    return _shared(layout, places, params), readings, lines * file.size // len(head)


def _shared(layout: TextLayout, places: dict[str, int], params: DataParams) -> str:
    """How fields are cut, and the titles where nobody compares them with the columns' names."""
    titles: list[str] = []
    if params.header is True and layout.titles:
        own = (places[role] for role in ("user", "track"))
        titles = [plain_title(layout.titles[place]) for place in own if place < len(layout.titles)]
    named = any(isinstance(c, str) for c in (params.columns.user, params.columns.track))
    return repr((layout.dialect.separator, layout.dialect.quote, [] if named else titles))


def _line_bounds(path: Path, start: int, size: int) -> list[int]:
    """Where blocks of whole lines begin, and the file's end."""
    bounds = [start]
    with path.open("rb") as stream:
        while bounds[-1] < size:
            stream.seek(bounds[-1] + BLOCK)
            stream.readline(BLOCK)
            bounds.append(min(max(stream.tell(), bounds[-1] + 1), size))
    return bounds


def _block(path: Path, begin: int, end: int, layout: TextLayout, places: dict[str, int]) -> Reading:
    def read() -> Chunk:
        with path.open("rb") as stream:
            stream.seek(begin)
            text = stream.read(end - begin)
        _require_plain(text, layout)
        if end < path.stat().st_size and not text.endswith(b"\n"):
            raise Doubt  # a line longer than a block, or lines that end in another way
        rows = _table(text, layout, places)
        users, tracks = ids_of(rows.column("user")), ids_of(rows.column("track"))
        if _holds_title(users.dictionary, layout):
            raise Doubt  # a header amid the rows, where files were joined
        counts, times = np.ones(rows.num_rows, np.int64), None
        if "count" in places:
            counts = _counts(ids_of(rows.column("count")))
        if "timestamp" in places:
            times = times_of(rows.column("timestamp"))
        return Chunk(users, tracks, counts, times)

    return read


def _holds_title(users: pa.Array, layout: TextLayout) -> bool:
    """Whether a user is called as a column is, without case and unseen signs around it."""
    titles = [plain_title(title) for title in layout.titles[:_TITLES] if title]
    plain = pc.utf8_lower(pc.utf8_trim(users, unseen_signs())) if titles else users
    if layout.by_guess:
        titles = sorted(KNOWN_NAMES[0])
        short = users.filter(pc.less_equal(pc.binary_length(users), _LONGEST_NAME))
        plain = pc.utf8_lower(pc.replace_substring_regex(short, r"[^\pL\pN]", ""))
    return bool(titles) and bool(pc.any(pc.is_in(plain, pa.array(titles, pa.string()))).as_py())


def _require_plain(text: bytes, layout: TextLayout) -> None:
    """Doubt quotes that do more than enclose, comments, and bytes that are no text."""
    strange = text.startswith(b"#") or any(sign in text for sign in (b"\n#", b"\r#", b"\0"))
    if strange or not _quotes_enclose(text, layout.dialect):
        raise Doubt


def _quotes_enclose(text: bytes, dialect: Dialect) -> bool:
    """Whether every quote is the first or last sign of a field that no line end is in.

    Read from the left this leaves one way to cut the lines: a quote within a field, doubled or
    behind a backslash, one that is never closed, and text after a closing one are all left over.
    """
    quote, separator = (re.escape(sign.encode()) for sign in (dialect.quote, dialect.separator))
    if not quote:
        if not dialect.strict or b'""' not in text:
            return True
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return not re.search(dialect.enclosed_late().encode(), lines, re.M)
    if dialect.quote.encode() not in text:
        return True
    fields = re.compile(
        rb"(?<![^%b\r\n])%b[^%b\\\r\n]*%b(?![^%b\r\n])"
        % (separator, quote, quote, quote, separator)
    )
    found = sum(1 for _ in fields.finditer(text))
    return len(dialect.quote.encode()) == 1 and text.count(dialect.quote.encode()) == 2 * found


def _table(text: bytes, layout: TextLayout, places: dict[str, int]) -> pa.Table:
    """The mapped fields of lines of text, under the names of their roles."""
    kinds = dict.fromkeys(places, pa.dictionary(pa.int32(), pa.string()))
    if "timestamp" in kinds:  # most are there once
        kinds["timestamp"] = pa.string()
    if text.isspace():
        return pa.schema(kinds.items()).empty_table()
    names = [f"f{i}" for i in range(len(layout.fields))]
    for role, place in places.items():
        names[place] = role
    return csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
        csv.ParseOptions(
            delimiter=layout.dialect.separator,
            quote_char=layout.dialect.quote if len(layout.dialect.quote.encode()) == 1 else False,
            double_quote=False,
            escape_char=False,
        ),
        csv.ConvertOptions(column_types=kinds, include_columns=list(places)),
    )


def _counts(texts: pa.DictionaryArray) -> np.ndarray:
    plain = pc.all(pc.match_substring_regex(texts.dictionary, _COUNT)).as_py()
    values = texts.dictionary.cast(pa.int64()).to_numpy() if plain else np.zeros(1, np.int64)
    if len(values) and values.min() < 1:
        raise Doubt
    return values[texts.indices.to_numpy()]
