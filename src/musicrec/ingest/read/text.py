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
from musicrec.ingest.read.check import Raw
from musicrec.ingest.read.columns import Column, Fields
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
    by_arrow: Callable[[bytes], Fields | None],
    by_line: Callable[[str], Rows],
    layout: TextLayout | None = None,
) -> Iterator[Raw]:
    """Read a block of lines, in pieces where Arrow cannot read it at once.

    `by_arrow` makes fields of lines, or None where they would not be as they are written; they
    count if they are one row for each line that is not blank. `by_line` is that of `read_each`.
    """
    waiting = [data]
    while waiting:
        piece = waiting.pop()
        lines = piece.count(b"\n")
        try:
            fields = by_arrow(piece)
        except (pa.ArrowException, UnicodeError):  # a ragged line, or bytes that are no UTF-8
            fields = None
        rows = -1 if fields is None else len(next(iter(fields.values())))
        below = lines - len(piece) + len(piece.lstrip(b"\n"))  # a header's lines are blank
        if fields is not None and (rows == below or rows == sum(1 for _ in _filled(piece))):
            yield Raw(fields, partial(_nth_line, piece), lines, [], layout)
            continue
        middle = piece.rfind(b"\n", 0, len(piece) // 2) + 1
        if len(piece) > _FEW and middle:
            waiting += [piece[middle:], piece[:middle]]
            continue
        texts = piece.decode("utf-8", "replace").split("\n")[:-1]
        yield read_each(texts, columns, by_line)._replace(layout=layout)


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


def _filled(data: bytes) -> Iterator[int]:
    """The numbers, from 1, of the lines that are not blank."""
    return (i for i, line in enumerate(data.split(b"\n"), 1) if line.strip())


def _nth_line(data: bytes, row: int) -> int:
    """The line of a row, where each line that is not blank is a row."""
    return next(islice(_filled(data), row, None))


def read_text(data: bytes, layout: TextLayout, *, first: bool) -> Iterator[Raw]:
    """The mapped fields of a block of lines of delimited text, the file's `first` one or not."""
    if first:  # what stands above the rows becomes blank lines
        above = next(islice(_filled(data), layout.start, None), data.count(b"\n") + 1) - 1
        data = b"\n" * above + data.split(b"\n", above)[above]
    by_arrow, by_line = partial(_by_arrow, layout), partial(_by_line, layout)
    yield from read_block(data, layout.places, by_arrow, by_line, layout)


def _by_line(layout: TextLayout, line: str) -> Rows:
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


def _by_arrow(layout: TextLayout, data: bytes) -> Fields | None:
    """Fields as Arrow reads them; None where it might not read them as the rules say."""
    dialect, separator = layout.dialect, layout.dialect.separator.encode()
    commented = b"#" in data and (data.startswith(b"#") or b"\n#" in data)
    if commented or not _quotes_are_sound(data, dialect):
        return None
    if len(separator) > 1:
        stand_in = next((sign for sign in _STAND_INS if sign not in data), None)
        if stand_in is None:
            return None
        data, separator = data.replace(separator, stand_in), stand_in
    kinds = {f"f{place}": pa.string() for place in layout.places.values()}
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
        ),
        csv.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
    )
    fields = {c: table.column(f"f{place}").combine_chunks() for c, place in layout.places.items()}
    blank = reduce(pc.and_, (pc.equal(column, "") for column in fields.values()))
    return None if pc.any(blank).as_py() else fields


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
