"""Rows of delimited text: by Arrow, and line by line where Arrow would not read a line alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from musicrec.errors import MusicRecError
from musicrec.ingest.read.dialect import Dialect
from musicrec.ingest.read.judge import Raw
from musicrec.ingest.read.layout import TextLayout

BLOCK = 1 << 24  # bytes of text read at a time
_LONGEST = 1 << 28  # bytes of a line
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x02")  # for a separator of several characters


def blocks(head: bytes, stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield blocks of whole lines that end in a line feed each, whatever ended them before.

    Parameters
    ----------
    head : bytes
        What has been read from the stream already.
    """
    rest = head
    while True:
        part = stream.read(BLOCK)
        data = rest + part if rest else part
        if not part:
            if data:
                yield _line_feeds(data, final=True)
            return
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        if not cut:
            if len(data) > _LONGEST:
                raise MusicRecError(f"{name}: a line is longer than {_LONGEST >> 20} MB")
            rest = data
            continue
        rest = data[cut:]
        yield _line_feeds(data[:cut], final=False)


def _line_feeds(data: bytes, *, final: bool) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data + b"\n" if final and not data.endswith(b"\n") else data


def read_text(data: bytes, layout: TextLayout, *, first: bool) -> Raw:
    """The mapped fields of a block of lines.

    Parameters
    ----------
    data : bytes
        As `blocks` yields.
    first : bool
        Whether it is the file's first block, which may begin with a header.
    """
    lines = _Lines(data)
    broken = []
    if first:
        broken += [(number, text, "not_a_row") for number, text in layout.broken]
        lines.drop_first(layout.start)
    odd = _odd_lines(lines, layout.dialect)
    fields, numbers, wrong = _by_arrow(lines, odd, layout)
    n_fast = len(next(iter(fields.values()), ()))
    slow: list[tuple[int, list[str]]] = []
    for place in wrong:
        text = lines.text(place)
        if not text.strip():
            continue
        row, sound = layout.dialect.split(text)
        if text.startswith("#") and not _counts(row, layout):
            broken.append((lines.number(place), text, "not_a_row"))
        elif sound and len(row) == layout.width:
            slow.append((place, [row[i] for i in layout.places.values()]))
        else:
            broken.append((lines.number(place), text, "ragged_line"))
    if slow:
        fields = {
            column: pa.concat_arrays(
                [_plain(fields[column]), pa.array([row[i] for _, row in slow], pa.string())]
            )
            for i, column in enumerate(layout.places)
        }
    places = [place for place, _ in slow]

    def number(row: int) -> int:
        if row >= n_fast:
            return lines.number(places[row - n_fast])
        return lines.number(row if numbers is None else int(numbers[row]))

    quotes_open = not layout.dialect.quote and not layout.dialect.stated
    return Raw(fields, number, lines.total, broken, layout.titles, quotes_open, is_text=True)


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _counts(row: tuple[str, ...], layout: TextLayout) -> bool:
    """Whether a line that begins with `#` is as wide as a row and has a count where it should."""
    return len(row) == layout.width and layout.count is not None and row[layout.count].isdigit()


class _Lines:
    """Where the lines of a block begin and end, told when asked; blank ones are left out."""

    def __init__(self, data: bytes) -> None:
        self._data, self._from, self._dropped = data, 0, 0

    @property
    def data(self) -> bytes:
        """The block, as far as it is not left out."""
        return self._data[self._from :] if self._from else self._data

    @cached_property
    def content(self) -> np.ndarray:
        """The block's bytes: uint8."""
        return np.frombuffer(self._data, np.uint8)

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ends = np.flatnonzero(self.content == 10)
        starts = np.append(0, ends[:-1] + 1)
        kept = np.flatnonzero((ends > starts) & (starts >= self._from))
        return starts[kept], ends[kept], kept

    @property
    def starts(self) -> np.ndarray:
        """Where each line begins."""
        return self._bounds[0]

    @cached_property
    def total(self) -> int:
        """How many lines the block has, blank ones too."""
        return self._data.count(b"\n")

    def drop_first(self, n: int) -> None:
        """Leave out the first n lines, of those that are not made of white space alone."""
        while n and self._from < len(self._data):
            end = self._data.index(b"\n", self._from) + 1
            n -= bool(self._data[self._from : end].strip())
            self._from, self._dropped = end, self._dropped + 1

    def without_blank(self) -> int:
        """How many lines are left, none of them blank where that can be told fast."""
        left = self.total - self._dropped
        blank = b"\n\n" in self._data or self._data[self._from : self._from + 1] == b"\n"
        return len(self.starts) if blank else left

    def text(self, place: int) -> str:
        """One line."""
        line = self._data[self.starts[place] : self._bounds[1][place]]
        return line.decode("utf-8", "replace")

    def number(self, place: int) -> int:
        """The line's number in the block, from 1."""
        return int(self._bounds[2][place]) + 1

    def kept(self, odd: np.ndarray) -> bytes:
        """The lines that are not `odd` (places, ascending)."""
        if not len(odd):
            return self.data
        starts, ends, _ = self._bounds
        parts, begin = [], self._from
        for place in odd:
            parts.append(self._data[begin : starts[place]])
            begin = int(ends[place]) + 1
        return b"".join([*parts, self._data[begin:]])


def _odd_lines(lines: _Lines, dialect: Dialect) -> np.ndarray:
    """Places of the lines that are to be read one by one: comments, and quotes amiss."""
    data = lines.data
    odd = [np.zeros(0, np.int64)]
    if data.startswith(b"#") or b"\n#" in data:
        odd.append(np.flatnonzero(lines.content[lines.starts] == ord("#")))
    if dialect.quote and dialect.quote.encode() in data:
        if len(dialect.separator.encode()) == 1 and len(dialect.quote.encode()) == 1:
            odd.append(_lines_of_odd_quotes(lines, dialect))
            if dialect.escape == "\\":
                slashes = np.flatnonzero(lines.content == ord("\\"))
                slashes = slashes[slashes >= len(lines.content) - len(data)]
                odd.append(np.searchsorted(lines.starts, slashes, "right") - 1)
        else:
            odd.append(np.arange(len(lines.starts)))
    return np.unique(np.concatenate(odd))


def _lines_of_odd_quotes(lines: _Lines, dialect: Dialect) -> np.ndarray:
    """Places of the lines whose quotes Arrow might read in another way.

    Quotes are sound where each field that begins with one ends with one, and every other one within
    is doubled: counted within the line, those of even rank begin a field or are the second of a
    pair, those of odd rank end a field or are the first of a pair.
    """
    content, separator, quote = lines.content, ord(dialect.separator), ord(dialect.quote)
    first_byte = len(content) - len(lines.data)
    found = np.flatnonzero(content == quote)
    found = found[found >= first_byte]
    before, after = content[np.maximum(found - 1, 0)], content[found + 1]
    begins = (before == separator) | (before == 10) | (found == first_byte)
    ends = (after == separator) | (after == 10)
    if len(found) % 2 == 0 and begins[::2].all() and ends[1::2].all():
        return np.zeros(0, np.int64)  # a field over two lines shows in the number of rows
    line = np.searchsorted(lines.starts, found, "right") - 1
    first = np.searchsorted(line, line, "left")
    even = (np.arange(len(found)) - first) % 2 == 0
    pair = ~even & (after == quote)
    second = even & np.append(False, pair[:-1]) & (before == quote)
    good = np.where(even, begins | second, ends | pair)
    good &= ~(np.append(line[1:] != line[:-1], True) & even)  # the last of a line ends a field
    return line[~good]


def _by_arrow(
    lines: _Lines, odd: np.ndarray, layout: TextLayout
) -> tuple[dict[str | int, pa.Array], np.ndarray | None, list[int]]:
    """Read all lines but the odd ones; returns fields, the lines they are of, and lines left.

    None for the lines stands for all.
    """
    data, separator = lines.kept(odd), layout.dialect.separator.encode()
    if len(separator) > 1:
        stand_in = next((sign for sign in _STAND_INS if sign not in data), None)
        if stand_in is None:
            data = b""
        else:
            data, separator = data.replace(separator, stand_in), stand_in
    skipped: list[int] = []
    table = _table(data, separator, layout, skipped) if data and not data.isspace() else None
    fast = 0 if table is None else table.num_rows
    if table is None or fast + len(skipped) + len(odd) != lines.without_blank():
        empty = {column: pa.array([], pa.string()) for column in layout.places}
        return empty, None, list(range(len(lines.starts)))
    fields = {
        column: table.column(f"f{place}").combine_chunks()
        for column, place in layout.places.items()
    }
    blank = _maybe_blank(fields)
    if not len(odd) and not skipped and not blank:
        return fields, None, []
    places = np.delete(np.arange(len(lines.starts)), odd)
    wrong = sorted([*odd.tolist(), *places[skipped].tolist()])
    places = np.delete(places, skipped)
    if blank:
        fields, places = _not_blank(fields, places, lines, layout)
    return fields, places, wrong


def _maybe_blank(fields: dict[str | int, pa.Array]) -> bool:
    """Whether all mapped fields may be blank in a row."""
    return all(
        pc.any(pc.equal(c.dictionary if pa.types.is_dictionary(c.type) else c, "")).as_py()
        for c in fields.values()
    )


def _not_blank(
    fields: dict[str | int, pa.Array], places: np.ndarray, lines: _Lines, layout: TextLayout
) -> tuple[dict[str | int, pa.Array], np.ndarray]:
    """Leave out lines of separators alone, as spreadsheets write empty rows."""
    blank = np.ones(len(places), bool)
    for column in fields.values():
        blank &= pc.equal(_plain(column), "").to_numpy(zero_copy_only=False)
    nothing = layout.dialect.separator + " \t"
    kept = ~blank
    for row in np.flatnonzero(blank):
        kept[row] = bool(lines.text(int(places[row])).strip(nothing))
    return {name: column.filter(pa.array(kept)) for name, column in fields.items()}, places[kept]


def _table(
    data: bytes, separator: bytes, layout: TextLayout, skipped: list[int]
) -> pa.Table | None:
    """A block as Arrow reads it, and the lines it leaves; None where it cannot read it."""

    def skip(row: csv.InvalidRow) -> str:
        skipped.append(row.number - 1)
        return "skip"

    kinds = {f"f{place}": layout.kind(place) for place in layout.places.values()}
    quote = layout.dialect.quote if len(layout.dialect.quote.encode()) == 1 else False

    def read(data: bytes) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(
                use_threads=False,
                block_size=len(data) + 1,
                column_names=[f"f{i}" for i in range(layout.width)],
            ),
            csv.ParseOptions(
                delimiter=separator.decode(),
                quote_char=quote,
                double_quote=True,
                escape_char=False,
                invalid_row_handler=skip,
            ),
            csv.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
        )

    for attempt in (data, None):
        skipped.clear()
        try:
            return read(_replaced(data) if attempt is None else attempt)
        except pa.ArrowInvalid:  # bytes that are no UTF-8, or what Arrow cannot cut
            continue
    return None


def _replaced(data: bytes) -> bytes:
    """Text with U+FFFD for what is no UTF-8."""
    return data.decode("utf-8", "replace").encode()
