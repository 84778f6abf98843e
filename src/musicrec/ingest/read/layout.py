"""How a text file is laid out, told from its first lines by stated rules.

- Separator: what `data.separator` or a line `sep=;` says, else the one that cuts nine lines of ten
  alike and gives the mapped columns. A space counts only where no other one does, and so does one
  that a space mostly follows, as in a text.
- Quotes: what `data.quote` says, else `"` around fields, doubled within or behind a backslash;
  between tabs and separators of several characters they are text, unless the header has them.
- Header: the first of 20 lines that has the mapped names; where columns are positions none, unless
  the first line's count or time is a word.
- Lines above the header and a rule below it are left out with a warning.

What does not follow from these is a sentence that names the parameter and the value to type.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.read.columns import INVISIBLE, TITLES, Column, Mapping, near, positions
from musicrec.params import ROLES

HEAD = 1 << 16  # bytes looked at
_LINES = 1000  # looked at
_ABOVE = 20  # lines that may stand above the header
_ALIKE = 0.9  # share of lines with the same number of fields that makes a separator
_TRIED = ("\t", ",", ";", "|", "::", "<SEP>", " ")
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_SEP_LINE = re.compile(r'"?sep=(.+?)"?', re.I)
_COMMENT = ("#", "%", "//")
_NUMBER = re.compile(r"[+-]?(\d+[\d.,]*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_NO_VALUE = {"", "null", "none", "nan", "na", "n/a", "<na>", "nil", "undefined", "unknown", "\\n"}
_RULE = re.compile(r"[-=:+|_ ]*[-=]{2}[-=:+|_ ]*")  # a line drawn under the header
_TYPE = re.compile(
    r"((var)?char2?|n?varchar|n?text|str(ing)?|object|uuid|category|u?(big|small|tiny)?int(eger)?"
    r"|u?int(8|16|32|64)|long|double|float(32|64)?|real|numeric|decimal|number|bool(ean)?|date"
    r"|time|datetime(64)?|timestamp)(\(\d+(,\s*\d+)?\))?",
    re.I,
)
Row = tuple[str, ...]


@dataclass(frozen=True)
class Dialect:
    """How a line is cut."""

    separator: str  # one character or more
    quote: str = '"'  # one character, or "" where quotes are part of the text
    escape: str = '"'  # what stands before a quote within quotes: the quote, or a backslash
    stated: bool = True  # whether `data.quote` says what quotes are

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
            fields.append((self._escaped.sub(r"\1", quoted) if quoted else plain).strip())
        return tuple(fields), well_formed

    @cached_property
    def _field(self) -> re.Pattern[str]:
        quote, separator = re.escape(self.quote), re.escape(self.separator)
        inner = rf"[^{quote}]|{quote * 2}" if self.escape == self.quote else rf"[^{quote}\\]|\\."
        blank = rf"[^\S{separator}]*" if self.separator.isspace() else r"\s*"
        return re.compile(
            rf"{blank}{quote}((?:{inner})*+){quote}{blank}{separator}"
            rf"|((?:(?!{separator}).)*){separator}",
            re.S,
        )

    @cached_property
    def _escaped(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.escape) + f"([{re.escape(self.quote + self.escape)}])")


@dataclass(frozen=True)
class TextLayout:
    """What is known of a text file before its rows are read."""

    dialect: Dialect
    width: int  # fields of a row
    places: dict[Column, int]  # mapped column -> its place among the fields
    start: int  # lines (that are not blank) above the first row
    broken: dict[int, str]  # of these, what may be meant as a row: number from 1, and text
    titles: tuple[str, str] | None  # user's and track's column in the header, in lower case
    columns: Row  # names of all fields; empty texts without a header
    count: int | None  # place of the count

    @property
    def quotes_open(self) -> bool:
        """Whether quotes are taken for text, which is not stated."""
        return not self.dialect.quote and not self.dialect.stated


def text_layout(head: bytes, mapping: Mapping, name: str, *, whole: bool) -> TextLayout:
    """Tell a text file's layout from its first bytes.

    Parameters
    ----------
    head : bytes
        UTF-8, unpacked, without a byte order mark, with line feeds.
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
    lines = _head_lines(head, name, whole=whole)
    marked = _SEP_LINE.fullmatch(lines[0].strip()) if len(lines) > 1 else None
    lines = lines[bool(marked) :]
    choice = marked[1] if marked and params.separator == "auto" else params.separator
    body = lines if mapping.names else lines[_comments(lines) :] or lines
    dialect, fits = _choose_dialect(body, mapping, choice, name)
    split = [dialect.split(line)[0] for line in lines]
    at, titles = _header(split, lines, mapping, name)
    rows = split[at + bool(titles) :]
    width = _row_width(rows, mapping, name) if rows else len(titles)
    columns = _named(titles, rows, width, mapping, name) if titles else ("",) * width
    places = positions(mapping, columns, name, named=bool(titles))
    if not fits:
        raise MusicRecError(_no_separator(body, dialect, name))
    ruled = bool(titles and rows and _is_rule(rows[0]))
    skipped = bool(marked)
    broken = {
        i + 1 + skipped: lines[i]
        for i in range(at)
        if len(split[i]) == width and not _is_comment(lines[i])
    }
    left_out = [lines[i] for i in range(at) if i + 1 + skipped not in broken]
    left_out += lines[at + 1 : at + 1 + ruled]
    if left_out:
        warn(
            f"{name}: {len(left_out)} line{'s' * (len(left_out) > 1)} above the first row, first "
            f"{left_out[0][:60]!r}, {'are' if len(left_out) > 1 else 'is'} left out"
        )
    own = [places.get(getattr(params.columns, role)) for role in ROLES]
    called = [
        titles[i].strip(INVISIBLE).lower() for i in own[:2] if i is not None and i < len(titles)
    ]
    return TextLayout(
        dialect,
        width,
        places,
        skipped + at + bool(titles) + ruled,
        broken,
        (called[0], called[1]) if len(called) == 2 else None,
        columns,
        own[2],
    )


def _head_lines(head: bytes, name: str, *, whole: bool) -> list[str]:
    """The lines of a file's first bytes that are not blank."""
    if b"\0" in head:
        raise MusicRecError(
            f"{name}: not text: it holds NUL bytes; set data.format or data.encoding (such as "
            "utf-16), or convert it"
        )
    lines = head.decode("utf-8", "replace").split("\n")  # and not at U+2028
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


def _choose_dialect(
    lines: list[str], mapping: Mapping, choice: str, name: str
) -> tuple[Dialect, bool]:
    """The separator (`choice` is `data.separator` or the file's own) and quotes, and if they fit.

    Where no separator fits, it is the one that comes nearest.
    """
    params = mapping.params
    if params.quote not in ("auto", "none") and len(params.quote) != 1:
        raise MusicRecError(
            f"data.quote = {params.quote!r} is not allowed; it must be auto, none or one character"
        )
    stated = _SEPARATORS.get(choice, choice.replace("\\t", "\t"))
    if not stated or "\r" in stated or "\n" in stated:
        raise MusicRecError(
            f"data.separator = {choice!r} is not allowed; it must be auto, tab, comma, semicolon, "
            "pipe, space or the characters themselves"
        )
    split: dict[Dialect, list[Row]] = {}
    for separator in _TRIED if choice == "auto" else (stated,):
        if any(separator in line for line in lines):
            dialect = _quoting(lines, separator, mapping)
            rows = [dialect.split(line)[0] for line in lines]
            if max(map(len, rows)) > 1:
                split[dialect] = rows
    if not split:
        raise MusicRecError(
            f"{name}: only one column found with data.separator: "
            f"{'auto' if choice == 'auto' else repr(choice)}; the first line is {lines[0][:80]!r}"
        )
    fitting = [dialect for dialect in split if choice != "auto" or _fits(split[dialect], mapping)]
    if not fitting:
        modal = {dialect: _modal_width(rows) for dialect, rows in split.items()}
        nearest = max(modal, key=lambda one: (modal[one][0] > 1, modal[one][1]))
        _refuse_aligned(nearest, split[nearest], name)
        return nearest, False
    fitting = [one for one in fitting if one.separator != " "] or fitting
    fitting = [one for one in fitting if not _is_airy(lines, one.separator)] or fitting
    if len(fitting) > 1:
        names = " and ".join(repr(one.separator) for one in fitting)
        raise MusicRecError(
            f"{name}: {names} cut its lines into as many fields each, such as "
            f"{'; '.join(repr(line[:60]) for line in lines[:2])}; set data.separator to the one "
            "that is meant"
        )
    _refuse_aligned(fitting[0], split[fitting[0]], name)
    return fitting[0], True


def _quoting(lines: list[str], separator: str, mapping: Mapping) -> Dialect:
    choice = mapping.params.quote
    as_text = choice == "auto" and (separator == "\t" or len(separator) > 1)
    quoted = {f'"{name}"' for name in mapping.names}
    in_quotes = quoted and any(quoted <= set(line.split(separator)) for line in lines[:_ABOVE])
    if choice == "none" or (as_text and not in_quotes):
        return Dialect(separator, "", stated=choice == "none")
    quote = '"' if choice == "auto" else choice
    forms = [Dialect(separator, quote, quote), Dialect(separator, quote, "\\")]
    if "\\" + quote not in "".join(lines):
        return forms[0]
    return min(forms, key=lambda one: sum(not one.split(line)[1] for line in lines))


def _fits(split: list[Row], mapping: Mapping) -> bool:
    """Whether lines have the mapped columns and, from the header on, mostly as many fields."""
    names = set(mapping.names)
    start = next((i for i, row in enumerate(split[:_ABOVE]) if names <= set(_bare(row))), None)
    if start is None:
        return False
    width, share = _modal_width(split[start:])
    return width > max(1, mapping.last) and (share >= _ALIKE or len(split) - start < 3)


def _modal_width(split: list[Row]) -> tuple[int, float]:
    """The most frequent number of fields, and the share of lines that have it."""
    ((width, lines),) = Counter(map(len, split)).most_common(1)
    return width, lines / len(split)


def _is_airy(lines: list[str], separator: str) -> bool:
    """Whether a space mostly follows, as it does a comma in a text."""
    text = "\n".join(lines)
    return 2 * text.count(separator + " ") > text.count(separator)


def _refuse_aligned(dialect: Dialect, split: list[Row], name: str) -> None:
    """Stop where runs of blanks align the columns, so that one blank separates nothing."""
    if dialect.separator == " " and 2 * sum("" in row[1:-1] for row in split) > len(split):
        raise MusicRecError(
            f"{name}: its columns are aligned by runs of blanks; write one separator between two "
            f"fields, such as with: sed -E 's/ +/\\t/g' {shlex.quote(name)} > plays.tsv"
        )


def _no_separator(lines: list[str], dialect: Dialect, name: str) -> str:
    split = [dialect.split(line)[0] for line in lines]
    width = _modal_width(split)[0]
    usual = next(line for line, row in zip(lines, split, strict=True) if len(row) == width)
    other = next((line for line, row in zip(lines, split, strict=True) if len(row) != width), "")
    return (
        f"{name}: no separator gives its lines the mapped columns and the same number of fields, "
        f"such as {usual[:60]!r} and {other[:60]!r}; set data.separator and data.columns"
    )


def _is_comment(line: str) -> bool:
    """Whether a line starts with `#`, `%` or `//` and a space: a user may be called `#1`."""
    return line.startswith(tuple(f"{sign} " for sign in _COMMENT)) or line.strip() in _COMMENT


def _comments(lines: list[str]) -> int:
    """How many lines at the top are comments."""
    return next((i for i, line in enumerate(lines) if not _is_comment(line)), len(lines))


def _bare(row: Row) -> Row:
    """A line's fields without the `#` that NumPy writes before the first name."""
    first = re.sub(r"^#\s*", "", row[0])
    fields = (first, *row[1:]) if first or row[0] != "#" else row[1:]
    return tuple(field.strip(INVISIBLE) for field in fields)


def _header(split: list[Row], lines: list[str], mapping: Mapping, name: str) -> tuple[int, Row]:
    """How many lines stand above the table's first line, and its titles; () without a header."""
    params, names, top = mapping.params, mapping.names, _comments(lines)
    if names and params.header is not False:
        for place, row in enumerate(split[:_ABOVE]):
            titles = _bare(row)
            if set(names) <= set(titles):
                return place, titles
        first = next((row for row in split if len(row) > 1), split[0])
        missing = [column for column in names if column not in first]
        raise MusicRecError(
            f"{name}: no column {', '.join(map(repr, missing))} in the first line, which is "
            f"{' | '.join(first)[:200]!r}; {near(missing, first)}name the columns in data.columns, "
            "by position from 0 where there is no header"
        )
    if params.header is False or names or top == len(lines):
        return (top if top < len(lines) else 0), ()
    if params.header is True or _are_names(split[top], mapping, lines[top], name):
        return top, tuple(field.strip(INVISIBLE) for field in split[top])
    return top, ()


def _are_names(row: Row, mapping: Mapping, line: str, name: str) -> bool:
    """With positions alone: whether the first line does not parse as a play; stop if it may."""
    columns = mapping.params.columns

    def at(column: object) -> str | None:
        return row[column] if isinstance(column, int) and column < len(row) else None

    ids, count, time = (
        (at(columns.user), at(columns.track)),
        at(columns.count),
        at(columns.timestamp),
    )
    if all(one and re.match(title, one) for one, title in zip(ids, TITLES, strict=True)):
        return True
    numbers = tuple(map(str, range(len(row))))  # as pandas writes for a table without names
    numbered = row in (numbers, ("", *numbers[:-1]))
    if mapping.last >= len(row) and not numbered:
        return False  # which is said where the columns are found
    if count is not None and not numbered:
        return not _NUMBER.fullmatch(count) and _is_word(count)
    if time is not None and not numbered:
        return _is_word(time) and not re.search(r"\d", time)
    if numbered or not any(re.search(r"\d", one or "1") for one in ids):
        raise MusicRecError(
            f"{name}: the first line, {line[:80]!r}, may be column names or a play; set "
            "data.header to true or false"
        )
    return False


def _is_word(field: str) -> bool:
    return bool(re.match(r"\W*[^\W\d_]", field)) and field.lower() not in _NO_VALUE


def _is_rule(row: Row) -> bool:
    """Whether a line is drawn under the header, or names the types of the columns."""
    fields = [field for field in row if field]
    return bool(fields) and any(all(map(form.fullmatch, fields)) for form in (_RULE, _TYPE))


def _named(titles: Row, rows: list[Row], width: int, mapping: Mapping, name: str) -> Row:
    """Name the fields of a row after the header; a last field that is always empty is none."""
    more = width - len(titles)
    alike = [row for row in rows if len(row) == width]
    if more == 0:
        return titles
    if not mapping.names:
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


def _row_width(rows: list[Row], mapping: Mapping, name: str) -> int:
    """How many fields a row has; where most do not agree, bad rows are no exception to drop."""
    width, share = _modal_width(rows)
    if share >= 0.5:
        return width
    widths = sorted(map(len, rows))
    shown = f"lines of {widths[0]} to {widths[-1]} fields, such as {' '.join(rows[0])[:60]!r}"
    if all(field.isalnum() for row in rows[:50] for field in row if field):
        raise MusicRecError(
            f"{name}: {shown}: each line seems to hold a user and then the user's tracks, the form "
            "of graph recommenders; write one line a user and track: awk '{for (i = 2; i <= NF; "
            "i++) print $1, $i}'"
        )
    raise MusicRecError(
        f"{name}: {shown}; this is no table with data.separator: {mapping.params.separator} and "
        f"data.quote: {mapping.params.quote}; set them"
    )
