"""How a text file is laid out, told from its first lines by stated rules.

- Separator: what `data.separator` or a line `sep=;` says, else the one that cuts nine lines of ten
  alike and gives the mapped columns. A space counts only where no other one does.
- Quotes: what `data.quote` says, else `"` around fields, doubled within; between tabs and
  separators of several characters they are text, unless the header has them.
- Header: the first of 20 lines that has the mapped names; where columns are positions none, unless
  the first line's count or time is a word.
- Lines above the header and a rule below it are left out with a warning that shows the first.

What does not follow from these is a sentence that names the parameter and the value to type.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.read.columns import INVISIBLE, TITLES, Column, ColumnMapping, positions
from musicrec.ingest.read.values import USUAL_NULLS
from musicrec.params import ROLES

HEAD = 1 << 16  # bytes looked at
_LINES = 1000  # looked at
_ABOVE = 20  # lines that may stand above the header
_ALIKE = 0.9  # share of lines with the same number of fields that makes a separator
_TRIED = ("\t", ",", ";", "|", "::", "<SEP>", " ")
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_SEP_LINE = re.compile(r'"?sep=(.+?)"?', re.I)
_NO_VALUE = {null.lower() for null in USUAL_NULLS} | {"unknown", "inf", "infinity"}
_RULE = re.compile(r"[-=:+|_ ]*[-=]{2}[-=:+|_ ]*")  # a line drawn under the header
Row = tuple[str, ...]


@dataclass(frozen=True)
class Dialect:
    """How a line is cut."""

    separator: str  # one character or more
    quote: str = '"'  # one character, or "" where quotes are part of the text
    asks: bool = False  # whether quotes are taken for text, which is not stated

    def split(self, line: str) -> tuple[Row, bool]:
        """Cut one line into trimmed fields, and tell whether its quotes are well formed.

        They are not where a quote is never closed, something follows a closed one, or a field that
        does not begin with one holds one.
        """
        if not self.quote or self.quote not in line:
            return tuple(map(str.strip, line.split(self.separator))), True
        fields, well_formed = [], True
        for quoted, plain in self._field.findall(line + self.separator):
            well_formed = well_formed and self.quote not in plain
            fields.append((quoted.replace(self.quote * 2, self.quote) if quoted else plain).strip())
        return tuple(fields), well_formed

    @cached_property
    def _field(self) -> re.Pattern[str]:
        quote, separator = re.escape(self.quote), re.escape(self.separator)
        blank = rf"[^\S{separator}]*" if self.separator.isspace() else r"\s*"
        return re.compile(
            rf"{blank}{quote}((?:[^{quote}]|{quote * 2})*+){quote}{blank}{separator}"
            rf"|((?:(?!{separator}).)*){separator}",
            re.S,
        )


@dataclass(frozen=True)
class TextLayout:
    """What is known of a text file before its rows are read."""

    dialect: Dialect
    width: int  # fields of a row
    places: dict[Column, int]  # mapped column -> its place among the fields
    start: int  # lines (that are not blank) above the first row
    titles: tuple[str, str] | None  # user's and track's column in the header, in lower case
    columns: Row  # names of all fields; empty texts without a header
    count: int | None  # place of the count


def text_layout(head: bytes, mapping: ColumnMapping, name: str, *, whole: bool) -> TextLayout:
    """Tell a text file's layout from its first bytes, of `packed.text_chunks`.

    `whole`: they are the whole file, so that its last line is complete.

    Raises
    ------
    MusicRecError
        The file is no table with the columns asked for; rows do not fit the header.
    """
    params = mapping.params
    lines = head.decode("utf-8", "replace").split("\n")  # and not at U+2028
    lines = [line for line in (lines if whole else lines[:-1]) if line.strip()][:_LINES]
    if not lines:
        raise MusicRecError(f"{name}: the file holds no line of text of up to {HEAD:,} bytes")
    marked = _SEP_LINE.fullmatch(lines[0].strip()) if len(lines) > 1 else None
    lines = lines[bool(marked) :]
    choice = marked[1] if marked and params.separator == "auto" else params.separator
    body = lines if mapping.names else lines[_comments(lines) :] or lines
    dialect = _choose_dialect(body, mapping, choice, name)
    split = [dialect.split(line)[0] for line in lines]
    at, titles = _header(split, lines, mapping, name)
    rows = split[at + bool(titles) :]
    below = lines[at + bool(titles) :]
    width = _row_width(rows, below, mapping, choice, name) if rows else len(titles)
    columns = _named(titles, rows, width, mapping, name) if titles else ("",) * width
    places = positions(mapping, columns, name, named=bool(titles))
    fields = [field for field in rows[0] if field] if titles and rows else []
    ruled = bool(fields) and all(map(_RULE.fullmatch, fields))
    alike = [lines[i] for i in range(at) if len(split[i]) == width and not _is_comment(lines[i])]
    if alike:
        raise MusicRecError(
            f"{name}: lines above the header may be plays, first {alike[0][:60]!r}; move the "
            "header to the first line, or remove them"
        )
    left_out = lines[:at] + lines[at + 1 : at + 1 + ruled]
    if left_out:
        warn(
            f"{name}: {len(left_out)} line{'s' * (len(left_out) > 1)} above the first row, first "
            f"{left_out[0][:60]!r}, {'are' if len(left_out) > 1 else 'is'} left out"
        )
    user, track, count, _ = (places.get(getattr(params.columns, role)) for role in ROLES)
    called = None
    if user is not None and track is not None and max(user, track) < len(titles):
        called = titles[user].lower(), titles[track].lower()
    start = bool(marked) + at + bool(titles) + ruled
    return TextLayout(dialect, width, places, start, called, columns, count)


def _choose_dialect(lines: list[str], mapping: ColumnMapping, choice: str, name: str) -> Dialect:
    """The separator (of `choice`: `data.separator` or the file's own) and quotes that fit best."""
    quote = mapping.params.quote
    if quote not in ("auto", "none") and len(quote) != 1:
        raise MusicRecError(f"data.quote = {quote!r} must be auto, none or one character")
    stated = _SEPARATORS.get(choice, choice.replace("\\t", "\t")) or "\n"
    split: dict[Dialect, list[Row]] = {}
    for separator in _TRIED if choice == "auto" else (stated,):
        dialect = _quoting(lines, separator, mapping)
        rows = [dialect.split(line)[0] for line in lines]
        if max(map(len, rows)) > 1:
            split[dialect] = rows
    if not split:
        raise MusicRecError(
            f"{name}: only one column found with data.separator: {choice!r}; the first line is "
            f"{lines[0][:80]!r}"
        )
    fitting = [one for one in split if _fits(split[one], mapping)]
    if not fitting:
        modal = {dialect: _modal_width(rows) for dialect, rows in split.items()}
        return max(modal, key=lambda one: (modal[one][0] > 1, modal[one][1]))
    fitting = [one for one in fitting if one.separator != " "] or fitting
    if len(fitting) > 1:
        names = " and ".join(repr(one.separator) for one in fitting)
        raise MusicRecError(
            f"{name}: {names} cut its lines into as many fields each, such as "
            f"{'; '.join(repr(line[:60]) for line in lines[:2])}; set data.separator to the one "
            "that is meant"
        )
    return fitting[0]


def _quoting(lines: list[str], separator: str, mapping: ColumnMapping) -> Dialect:
    choice = mapping.params.quote
    as_text = choice == "auto" and (separator == "\t" or len(separator) > 1)
    quoted = {f'"{name}"' for name in mapping.names}
    in_quotes = quoted and any(quoted <= set(line.split(separator)) for line in lines[:_ABOVE])
    if choice == "none" or (as_text and not in_quotes):
        return Dialect(separator, "", asks=choice != "none")
    return Dialect(separator, '"' if choice == "auto" else choice)


def _place_of_names(split: list[Row], names: list[str]) -> int | None:
    """The first line that has all mapped names, of those where a header may stand."""
    return next((i for i, row in enumerate(split[:_ABOVE]) if {*names} <= {*_bare(row)}), None)


def _fits(split: list[Row], mapping: ColumnMapping) -> bool:
    """Whether lines have the mapped columns and, from the header on, mostly as many fields."""
    start = _place_of_names(split, mapping.names)
    if start is None:
        return False
    width, share = _modal_width(split[start:])
    return width > max(1, mapping.last) and (share >= _ALIKE or len(split) - start < 3)


def _modal_width(split: list[Row]) -> tuple[int, float]:
    """The most frequent number of fields, and the share of lines that have it."""
    ((width, lines),) = Counter(map(len, split)).most_common(1)
    return width, lines / len(split)


def _is_comment(line: str) -> bool:
    """Whether a line starts with `#` and a space: a user may be called `#1`."""
    return f"{line} ".startswith("# ")


def _comments(lines: list[str]) -> int:
    """How many lines at the top are comments."""
    return next((i for i, line in enumerate(lines) if not _is_comment(line)), len(lines))


def _bare(row: Row) -> Row:
    """A line's fields without the `#` that NumPy writes before the first name."""
    first = re.sub(r"^#\s*", "", row[0])
    fields = (first, *row[1:]) if first or row[0] != "#" else row[1:]
    return tuple(field.strip(INVISIBLE) for field in fields)


def _header(
    split: list[Row], lines: list[str], mapping: ColumnMapping, name: str
) -> tuple[int, Row]:
    """How many lines stand above the table's first line, and its titles; () without a header."""
    header, names, top = mapping.params.header, mapping.names, _comments(lines)
    if names and header is not False:
        place = _place_of_names(split, names)
        if place is not None:
            return place, _bare(split[place])
        first = next((row for row in split if len(row) > 1), split[0])
        missing = [f"{c!r} ({mapping.parameter[c]})" for c in names if c not in first]
        raise MusicRecError(
            f"{name}: no column {', '.join(missing)} in the first line, which is "
            f"{' | '.join(first)[:200]!r}; name the columns in data.columns, "
            "by position from 0 where there is no header"
        )
    if header is False or names or top == len(lines):
        return (top if top < len(lines) else 0), ()
    if header is True or _are_names(split[top], mapping, lines[top], name):
        return top, tuple(field.strip(INVISIBLE) for field in split[top])
    return top, ()


def _are_names(row: Row, mapping: ColumnMapping, line: str, name: str) -> bool:
    """With positions alone: whether the first line does not parse as a play; stop if it may."""
    columns = mapping.params.columns
    ids, values = (
        [row[c] for c in group if isinstance(c, int) and c < len(row)]
        for group in ((columns.user, columns.track), (columns.count, columns.timestamp))
    )
    if len(ids) == 2 and all(map(re.match, TITLES, ids)):
        return True
    numbers = tuple(map(str, range(len(row))))  # as pandas writes for a table without names
    numbered = row in (numbers, ("", *numbers[:-1]))
    if not numbered and mapping.last >= len(row):
        return False  # which is said where the columns are found
    if values and not numbered:
        named = re.match(r"\W*[^\W\d_]+\D*$", values[0])
        return bool(named) and values[0].lower() not in _NO_VALUE
    if numbered or not any(re.search(r"\d", one or "1") for one in ids):
        raise MusicRecError(
            f"{name}: the first line, {line[:80]!r}, may be column names or a play; set "
            "data.header to true or false"
        )
    return False


def _named(titles: Row, rows: list[Row], width: int, mapping: ColumnMapping, name: str) -> Row:
    """Name the fields of a row after the header; a last field that is always empty is none."""
    more = width - len(titles)
    alike = [row for row in rows if len(row) == width]
    if not mapping.names:
        return titles if more == 0 else ("",) * width
    if more == 0 or (more == -1 and not titles[-1]):
        return titles[:width]
    if more == 1 and not any(row[-1] for row in alike):
        return (*titles, "")
    raise MusicRecError(
        f"{name}: rows have {width} fields, the header {len(titles)}: the header is "
        f"{' | '.join(titles)[:100]!r}, a row {' | '.join(alike[0])[:100]!r}; name every column in "
        "the header, or set data.header: true and data.columns to positions in the rows"
    )


def _row_width(
    rows: list[Row], lines: list[str], mapping: ColumnMapping, choice: str, name: str
) -> int:
    """How many fields a row has; where too few agree, bad rows are no exception to drop."""
    width, share = _modal_width(rows)
    if share >= (_ALIKE if choice == "auto" else 0.5) or len(rows) < 3:
        return width
    usual, other = (
        next(i for i, row in enumerate(rows) if (len(row) == width) == same)
        for same in (True, False)
    )
    raise MusicRecError(
        f"{name}: lines of {width} and of {len(rows[other])} fields, such as {lines[usual][:60]!r} "
        f"and {lines[other][:60]!r}, are no table with data.separator: {choice} and data.quote: "
        f"{mapping.params.quote}; mend the lines, set these two, or, if a line holds a user and "
        "the user's tracks with blanks between them, write one line a track: "
        "awk '{for (i = 2; i <= NF; i++) print $1, $i}'"
    )
