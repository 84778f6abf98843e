"""How a text file is laid out: separator, quotes, header and fields, told from its first lines."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import INVISIBLE, Column, Mapping, near, positions
from musicrec.ingest.read.dialect import (
    Dialect,
    choose_dialect,
    modal_width,
    no_separator,
    plain_title,
)
from musicrec.params import DataParams

HEAD = 1 << 16  # bytes looked at
_LINES = 1000  # looked at
_ABOVE = 20  # lines that may stand above the header
_SEP_LINE = re.compile(r'"?sep=(.+?)"?', re.I)
_COMMENT = ("#", "%", "//")
_NUMBER = re.compile(r"[+-]?(\d+[\d.,]*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_NO_VALUE = {"", "null", "none", "nan", "na", "n/a", "<na>", "nil", "undefined", "unknown", "\\n"}
_RULE = re.compile(r"[-=:+|_ ]*[-=]{2}[-=:+|_ ]*")  # a line drawn under the header
_TYPE = re.compile(
    r"(var)?char2?|n?varchar|n?text|str(ing)?|object|uuid|category|u?(big|small|tiny)?int(eger)?"
    r"|u?int(8|16|32|64)|long|double|float(32|64)?|real|numeric|decimal|number|bool(ean)?|date"
    r"|time|datetime(64)?|timestamp",
    re.I,
)
_KNOWN = (
    re.compile(r"(user|listener|member|account|session)[ _-]?(id|name)?", re.I),
    re.compile(r"(track|song|item|artist|movie|title|media|recording)[ _-]?(id|name|uri)?", re.I),
)
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class TextLayout:
    """What is known of a text file before its rows are read.

    Attributes
    ----------
    dialect : Dialect
    width : int
        Fields of a row.
    places : dict
        Mapped column -> its place among the fields.
    start : int
        Lines (that are not blank) above the first row.
    broken : tuple
        Of those above the header, what may be meant as a row: its number from 1 among the lines
        that are not blank, and its text.
    titles : tuple of str, optional
        User's and track's column as the header calls them, in lower case.
    count, time : int, optional
        Places of the count and of the time.
    columns : tuple of str
        Names of all fields; empty texts without a header.
    """

    dialect: Dialect
    width: int
    places: dict[Column, int]
    start: int
    broken: tuple[tuple[int, str], ...]
    titles: tuple[str, str] | None
    count: int | None
    time: int | None
    columns: tuple[str, ...]

    def kind(self, place: int) -> pa.DataType:
        """How Arrow is to read a field: times are mostly there once, ids and counts are not."""
        return pa.string() if place == self.time else pa.dictionary(pa.int32(), pa.string())


def text_layout(head: bytes, mapping: Mapping, name: str, *, whole: bool) -> TextLayout:
    """Tell a text file's layout from its first bytes.

    Parameters
    ----------
    head : bytes
        UTF-8, unpacked, without a byte order mark.
    name : str
        The file, for messages.
    whole : bool
        Whether `head` is the whole file, so that its last line is complete.

    Raises
    ------
    MusicRecError
        The file is not text, or no table with the columns asked for; rows do not fit the header.
    """
    params = mapping.params
    lines = head_lines(head, name, whole=whole)
    marked = _SEP_LINE.fullmatch(lines[0].strip()) if len(lines) > 1 else None
    lines = lines[bool(marked) :]
    names = [column for column in mapping.wanted if isinstance(column, str)]
    last = max((column for column in mapping.wanted if isinstance(column, int)), default=0)
    choice = marked[1] if marked and params.separator == "auto" else params.separator
    body = lines if names else lines[_comments(lines) :] or lines
    dialect, fits = choose_dialect(body, (names, last), choice, params, name)
    split = [dialect.split(line)[0] for line in lines]
    _refuse_aligned(dialect, split, name)
    at, titles = _header(split, lines, mapping, name)
    start = at + bool(titles)
    width = _row_width(split[start:], params, name) if split[start:] else len(titles)
    fields = _named(titles, split[start:], width, mapping, name) if titles else ("",) * width
    places = positions(mapping, fields, name, named=bool(titles))
    if not fits:
        raise MusicRecError(no_separator(body, dialect, name))
    above = [i for i in range(at) if len(split[i]) == width and not _is_comment(lines[i])]
    left_out = [lines[i] for i in range(at) if i not in above]
    if titles and split[start:] and _is_rule(split[start]):
        left_out.append(lines[start])
        start += 1
    if left_out:
        print(
            f"warning: {name}: {len(left_out)} line{'s' * (len(left_out) > 1)} above the first "
            f"row, first {left_out[0][:60]!r}, {'are' if len(left_out) > 1 else 'is'} left out",
            file=sys.stderr,
        )
    extra = bool(marked)
    own = _own_titles(titles, places, params)
    broken = tuple((i + 1 + extra, lines[i]) for i in above)
    count, time = [
        None if column is None or isinstance(column, tuple) else places.get(column)
        for column in (params.columns.count, params.columns.timestamp)
    ]
    return TextLayout(dialect, width, places, start + extra, broken, own, count, time, fields)


def head_lines(head: bytes, name: str, *, whole: bool) -> list[str]:
    """The lines of a file's first bytes that are not blank.

    Raises
    ------
    MusicRecError
        There is none, or the file is no text.
    """
    if b"\0" in head:
        raise MusicRecError(
            f"{name}: not text: it holds NUL bytes; set data.format or data.encoding (such as "
            "utf-16), or convert it"
        )
    lines = re.split("\r\n|\n|\r", head.decode("utf-8", "replace"))  # and not at U+2028
    if not whole:
        if len(lines) == 1:
            raise MusicRecError(
                f"{name}: the first line is longer than {len(head):,} bytes, so that its columns "
                "cannot be told; leave columns out that are not needed"
            )
        lines.pop()
    lines = [line for line in lines if line.strip()][:_LINES]
    if not lines:
        raise MusicRecError(f"{name}: the file holds no line of text")
    return lines


def _comments(lines: list[str]) -> int:
    """How many lines at the top are comments."""
    return next((i for i, line in enumerate(lines) if not _is_comment(line)), len(lines))


def _is_comment(line: str) -> bool:
    """Whether a line starts with `#`, `%` or `//` and a space: a user may be called `#1`."""
    return line.startswith(tuple(f"{sign} " for sign in _COMMENT)) or line.strip() in _COMMENT


def _bare(row: tuple[str, ...]) -> tuple[str, ...]:
    """A line's fields without the `#` that NumPy writes before the first name."""
    first = re.sub(r"^#\s*", "", row[0])
    fields = (first, *row[1:]) if first or row[0] != "#" else row[1:]
    return tuple(field.strip(INVISIBLE) for field in fields)


def _header(split: Rows, lines: list[str], mapping: Mapping, name: str) -> tuple[int, tuple]:  # type: ignore[type-arg]
    """How many lines stand above the table's first line, and its titles; () without a header."""
    params, top = mapping.params, _comments(lines)
    names = [column for column in mapping.wanted if isinstance(column, str)]
    if names and params.header is not False:
        for place, row in enumerate(split[:_ABOVE]):
            titles = _bare(row)
            if set(names) <= set(titles):
                return place, titles
        raise MusicRecError(_no_names(split, names, name))
    if params.header is False or names or top == len(lines):
        return (top if top < len(lines) else 0), ()
    if params.header is True or _are_names(split[top], mapping, lines[top], name):
        return top, tuple(field.strip(INVISIBLE) for field in split[top])
    return top, ()


def _no_names(split: Rows, names: list[str], name: str) -> str:
    first = next((row for row in split if len(row) > 1), split[0])
    hint = near([column for column in names if column not in first], first)
    missing = ", ".join(repr(column) for column in names if column not in first)
    return (
        f"{name}: no column {missing} in the first line, which is {' | '.join(first)[:200]!r}; "
        f"{hint}name the columns in data.columns, by position from 0 where there is no header"
    )


def _are_names(row: tuple[str, ...], mapping: Mapping, line: str, name: str) -> bool:
    """With positions alone: whether the first line does not parse as a play.

    Raises
    ------
    MusicRecError
        It may be both.
    """
    columns = mapping.params.columns

    def at(column: object) -> str | None:
        return row[column] if isinstance(column, int) and column < len(row) else None

    ids = [at(columns.user), at(columns.track)]
    if all(one is not None and p.fullmatch(one) for one, p in zip(ids, _KNOWN, strict=True)):
        return True
    numbers = tuple(map(str, range(len(row))))
    if row in (numbers, ("", *numbers[:-1])):
        raise MusicRecError(
            f"{name}: the first line, {line[:80]!r}, may be column names, as pandas writes them "
            "for a table without any, or a play; set data.header to true or false"
        )
    if max((c for c in mapping.wanted if isinstance(c, int)), default=0) >= len(row):
        return False  # which is said where the columns are found
    count, time = at(columns.count), at(columns.timestamp)
    if count is not None:
        return not _NUMBER.fullmatch(count) and _is_word(count)
    if time is not None:
        return _is_word(time) and not re.search(r"\d", time)
    if not any(re.search(r"\d", one or "1") for one in ids):
        raise MusicRecError(
            f"{name}: the first line, {line[:80]!r}, may be column names or a play; set "
            "data.header to true or false"
        )
    return False


def _is_word(field: str) -> bool:
    return bool(re.match(r"\W*[^\W\d_]", field)) and field.lower() not in _NO_VALUE


def _is_rule(row: tuple[str, ...]) -> bool:
    """Whether a line is drawn under the header, or names the types of the columns."""
    fields = [field for field in row if field]
    return bool(fields) and (
        all(_RULE.fullmatch(field) for field in fields)
        or all(_TYPE.fullmatch(re.sub(r"\(\d+(,\s*\d+)?\)$", "", field)) for field in fields)
    )


def _named(
    titles: tuple[str, ...], rows: Rows, width: int, mapping: Mapping, name: str
) -> tuple[str, ...]:
    """Name the fields of a row after the header; a last field that is always empty is none.

    Raises
    ------
    MusicRecError
        They differ in another way.
    """
    more = width - len(titles)
    alike = [row for row in rows if len(row) == width]
    if more == 0:
        return titles
    if not any(isinstance(column, str) for column in mapping.wanted):
        return ("",) * width
    if more == 1 and not any(row[-1] for row in alike):
        return (*titles, "")
    if more == -1 and not titles[-1]:
        return titles[:-1]
    by = "one field" if abs(more) == 1 else f"{abs(more)} fields"
    advice = "name every column in the header"
    if more == 1:
        typed = " ".join(
            f"{parameter}={titles.index(column) + 1}"
            for column, parameter in mapping.parameter.items()
            if column in titles
        )
        advice += f"; if the first field is a name of the row, set data.header=true {typed}"
    raise MusicRecError(
        f"{name}: the rows have {by} {'more' if more > 0 else 'fewer'} than the header, {width} "
        f"against {len(titles)}: the header is {' | '.join(titles)[:100]!r}, a row "
        f"{' | '.join(alike[0])[:100]!r}; {advice}"
    )


def _own_titles(
    titles: tuple[str, ...], places: dict[Column, int], params: DataParams
) -> tuple[str, str] | None:
    columns = (params.columns.user, params.columns.track)
    if not titles or any(isinstance(c, tuple) or c not in places for c in columns):
        return None
    found = [places[c] for c in columns if not isinstance(c, tuple)]
    if max(found) >= len(titles):
        return None
    user, track = (plain_title(titles[place]) for place in found)
    return user, track


def _refuse_aligned(dialect: Dialect, split: Rows, name: str) -> None:
    """Stop where runs of blanks align the columns, so that one blank separates nothing."""
    runs = sum("" in row[1:-1] for row in split)
    if dialect.separator == " " and 2 * runs > len(split):
        raise MusicRecError(
            f"{name}: its columns are aligned by runs of blanks; write one separator between two "
            f"fields, such as with: sed -E 's/ +/\\t/g' {shlex.quote(name)} > plays.tsv"
        )


def _row_width(rows: Rows, params: DataParams, name: str) -> int:
    """How many fields a row has, where most agree.

    Raises
    ------
    MusicRecError
        They do not, so that bad rows are no exception that could be dropped.
    """
    widths = [len(row) for row in rows]
    width, share = modal_width(widths)
    if share >= 0.5:
        return width
    raise MusicRecError(uneven(rows, params, name))


def uneven(rows: Rows, params: DataParams, name: str) -> str:
    """Say that lines have many lengths, and what that may be."""
    widths = [len(row) for row in rows]
    shown = f"lines of {min(widths)} to {max(widths)} fields, such as {' '.join(rows[0])[:60]!r}"
    if all(field.isalnum() for row in rows[:50] for field in row if field):
        return (
            f"{name}: {shown}: each line seems to hold a user and then the user's tracks, the form "
            "of graph recommenders; write one line a user and track: awk '{for (i = 2; i <= NF; "
            "i++) print $1, $i}'"
        )
    return (
        f"{name}: {shown}; this is no table with data.separator: {params.separator} and "
        f"data.quote: {params.quote}; set them"
    )
