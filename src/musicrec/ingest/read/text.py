"""Rows of text: by Arrow, and line by line where it would not read one row a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial, reduce
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Column, Fields
from musicrec.ingest.read.judge import Raw
from musicrec.ingest.read.layout import Dialect, TextLayout

BLOCK = 1 << 24  # bytes of lines read by one thread
_FEW = 1 << 18  # bytes that are read line by line where Arrow cannot
_LONGEST = 1 << 28  # bytes of a line
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x02")  # for a separator of several characters
Rows = tuple[list[list[str | None]], str]  # rows of a line or object, and what is wrong with it
T = TypeVar("T")


def blocks(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield blocks of whole lines that end in a line feed each."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        while len(rest) >= BLOCK:
            cut = (rest.rfind(b"\n", 0, BLOCK) + 1) or (rest.find(b"\n", BLOCK) + 1)
            if not cut:
                break
            yield rest[:cut]
            rest = rest[cut:]
        if len(rest) > _LONGEST + BLOCK:
            raise MusicRecError(f"{name}: a line is longer than {_LONGEST >> 20} MB")
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def read_block(
    data: bytes,
    columns: Collection[Column],
    by_arrow: Callable[[bytes, int], Fields | None],
    by_line: Callable[[str], Rows],
) -> Iterator[Raw]:
    """Read a block of lines, in pieces where Arrow cannot read it at once.

    `by_arrow` makes fields of lines and their number, one row for each line that is not blank, or
    None where it would be otherwise; `by_line` as that of `read_each`.
    """
    waiting = [data]
    while waiting:
        piece = waiting.pop()
        lines = piece.count(b"\n")
        fields = by_arrow(piece, lines)
        if fields is not None:
            yield Raw(fields, partial(_nth_line, piece), lines, [])
            continue
        middle = piece.rfind(b"\n", 0, len(piece) // 2) + 1
        if len(piece) > _FEW and middle:
            waiting += [piece[middle:], piece[:middle]]
            continue
        yield read_each(piece.decode("utf-8", "replace").split("\n")[:-1], columns, by_line)


def read_each(items: list[T], columns: Collection[Column], by_item: Callable[[T], Rows]) -> Raw:
    """Read lines or objects one by one: `by_item` gives the rows of one, and a reason if none."""
    rows: list[list[str | None]] = []
    numbers: list[int] = []
    broken = []
    for number, item in enumerate(items, 1):
        found, reason = by_item(item)
        rows += found
        numbers += [number] * len(found)
        if reason:
            broken.append((number, item if isinstance(item, str) else json.dumps(item), reason))
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    fields = {c: pa.array(v, pa.string()) for c, v in zip(columns, values, strict=True)}
    return Raw(fields, numbers.__getitem__, len(items), broken)


def _nth_line(data: bytes, row: int) -> int:
    """The line of a row, from 1, where each line that is not blank is a row."""
    filled = (i for i, line in enumerate(data.split(b"\n"), 1) if line.strip())
    return next(islice(filled, row, None))


def read_text(data: bytes, layout: TextLayout, *, first: bool) -> Iterator[Raw]:
    """The mapped fields of a block of lines of delimited text, the file's `first` one or not."""
    above = _first_lines(data, layout.start) if first else 0
    if above:
        nothing = dict.fromkeys(layout.places, pa.array([], pa.string()))
        yield Raw(nothing, lambda row: row, data[:above].count(b"\n"), [], layout)
    pieces = read_block(
        data[above:] if above else data,
        layout.places,
        lambda piece, lines: _by_arrow(piece, lines, layout),
        lambda line: _by_line(line, layout),
    )
    for raw in pieces:
        yield raw._replace(layout=layout)


def _first_lines(data: bytes, n: int) -> int:
    """Where the first n lines end, of those that are not blank."""
    end = 0
    while n and end < len(data):
        start, end = end, data.index(b"\n", end) + 1
        n -= bool(data[start:end].strip())
    return end


def _by_line(line: str, layout: TextLayout) -> Rows:
    row, well_formed = layout.dialect.split(line)
    fits = len(row) == layout.width
    counted = fits and layout.count is not None and row[layout.count].isdigit()
    if line.startswith("#") and not counted:  # a user may be called #1
        return [], "not_a_row"
    if not any(row):  # as spreadsheets write empty rows
        return [], ""
    if not well_formed or not fits:
        return [], "ragged_line"
    return [[row[place] for place in layout.places.values()]], ""


def _by_arrow(data: bytes, lines: int, layout: TextLayout) -> Fields | None:
    """Fields as Arrow reads them; None where it might not read one row a line, as the rules say."""
    dialect, separator = layout.dialect, layout.dialect.separator.encode()
    if b"#" in data and (data.startswith(b"#") or b"\n#" in data):
        return None
    if not _quotes_are_sound(data, dialect):
        return None
    if len(separator) > 1:
        stand_in = next((sign for sign in _STAND_INS if sign not in data), None)
        if stand_in is None:
            return None
        data, separator = data.replace(separator, stand_in), stand_in
    kinds = {f"f{place}": pa.string() for place in layout.places.values()}
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(
                use_threads=False,
                block_size=len(data) + 1,
                column_names=[f"f{i}" for i in range(layout.width)],
            ),
            csv.ParseOptions(
                delimiter=separator.decode(),
                quote_char=dialect.quote if len(dialect.quote.encode()) == 1 else False,
                double_quote=True,
                escape_char=False,
            ),
            csv.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
        )
    except pa.ArrowInvalid:  # a ragged line, or bytes that are no UTF-8
        return None
    if table.num_rows != lines and table.num_rows != filled_lines(data):
        return None
    fields = {c: table.column(f"f{place}").combine_chunks() for c, place in layout.places.items()}
    blank = reduce(pc.and_, (pc.equal(column, "") for column in fields.values()))
    return None if pc.any(blank).as_py() else fields


def filled_lines(data: bytes) -> int:
    """How many lines are not blank."""
    return sum(1 for line in data.split(b"\n") if line.strip())


def _quotes_are_sound(data: bytes, dialect: Dialect) -> bool:
    """Whether quotes do nothing but begin and end fields, or are doubled within, in each line.

    Counted from 0, even ones begin a field or are the second of a pair, odd ones end a field or are
    the first of a pair. A field over two lines shows in the number of rows.
    """
    quote, separator = dialect.quote.encode(), dialect.separator.encode()
    if not quote or quote not in data:
        return True
    if len(quote) > 1 or len(separator) > 1:
        return False
    content = np.frombuffer(b"\n" + data, np.uint8)
    found = np.flatnonzero(content == quote[0])
    before, after = content[found[::2] - 1], content[found[1::2] + 1]
    edge = np.zeros(256, bool)
    edge[list(separator + b"\n" + quote)] = True
    return len(found) % 2 == 0 and bool(edge[before].all() and edge[after].all())
