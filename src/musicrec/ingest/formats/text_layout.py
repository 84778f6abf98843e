"""How a text file is laid out: separator, quotes, header and fields, seen from its first lines."""

from __future__ import annotations

import codecs
import re
import shlex
from dataclasses import dataclass, field

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import find_header, mapped
from musicrec.ingest.formats.table_text import Dialect, choose_quoting, modal_width
from musicrec.params.data import DataParams

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_GUESSES = ("\t", ",", ";", "|", "::", "<SEP>", " ")
_SURE = 0.9  # share of lines with the same number of fields that makes a separator certain
_LINES = 1000  # looked at
_SEP_LINE = re.compile(r'"?sep=(.+?)"?', re.I)


@dataclass(frozen=True)
class TextLayout:
    """What text files must share to be read as one frame.

    Attributes
    ----------
    dialect : Dialect
    titles : tuple of str
        The header line's fields, as they stand; empty without a header.
    fields : tuple of str
        A name for each field of a row: from the header, "" where it has none.
    comments : bool
        Whether lines that start with `#` stand before the table.
    preamble : frozenset of str
        Other lines before it.
    """

    dialect: Dialect
    titles: tuple[str, ...]
    fields: tuple[str, ...]
    comments: bool = False
    preamble: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def named(self) -> bool:
        """Whether there is a header."""
        return bool(self.titles)


def text_layout(head: bytes, params: DataParams, name: str, *, whole: bool) -> TextLayout:
    """Tell a text file's layout from its first bytes.

    Parameters
    ----------
    head : bytes
        Unpacked. Bytes that are not UTF-8 are let pass: where they matter, in an id, the row is
        found out.
    name : str
        The file, for messages.
    whole : bool
        Whether `head` is the whole file, so that its last line is complete.

    Raises
    ------
    MusicRecError
        The file is not text, has no line, one column only, or not the columns asked for; the rows
        do not fit the header, or differ too much for a table.
    """
    lines = _lines(head, name, whole=whole)
    marked, lines = _after_marks(lines)
    separator = _SEP_LINE.fullmatch(marked[-1]) if marked else None
    wanted = params.separator
    if separator and wanted == "auto":
        wanted = separator[1]
    dialect, split = _split(lines, wanted, params, name)
    _refuse_aligned(dialect, split, name)
    start, titles = find_header(split, params, name)
    rows = split[start + bool(titles) :]
    width = _row_width(rows, params, name) if rows else len(titles)
    fields = _fitted(titles, rows, width, name) if titles else ("",) * width
    before = [*marked, *lines[:start]]
    return TextLayout(
        dialect,
        titles,
        fields,
        comments=any(line.startswith("#") for line in [*before, *lines[start : start + 1]]),
        preamble=frozenset(before),
    )


def _lines(head: bytes, name: str, *, whole: bool) -> list[str]:
    text = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head)
    if "\0" in text:
        raise MusicRecError(
            f"{name}: not text: it holds NUL bytes; set data.format or data.encoding (such as "
            "utf-16), or convert it"
        )
    lines = re.split("\r\n|\n|\r", text)  # as Hadoop does, and not at U+2028
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip()][:_LINES]
    if not lines:
        raise MusicRecError(f"{name}: the file holds no line of text")
    return lines


def _after_marks(lines: list[str]) -> tuple[list[str], list[str]]:
    """Cut off a spreadsheet's `sep=;` line."""
    if len(lines) > 1 and _SEP_LINE.fullmatch(lines[0].strip()):
        return [lines[0].strip()], lines[1:]
    return [], lines


def _split(
    lines: list[str], choice: str, params: DataParams, name: str
) -> tuple[Dialect, list[tuple[str, ...]]]:
    """Choose the separator that cuts the lines into the columns asked for, alike in all lines."""
    if params.quote not in ("auto", "none") and len(params.quote) != 1:
        raise MusicRecError(
            f"data.quote = {params.quote!r} is not allowed; it must be auto, none or one character"
        )
    separators: tuple[str, ...] = _GUESSES
    if choice != "auto":
        separators = (SEPARATORS.get(choice, choice.replace("\\t", "\t")),)
    best: tuple[tuple[bool, ...], int] | None = None
    found: tuple[Dialect, list[tuple[str, ...]]] | None = None
    for separator in separators:
        if not any(separator in line for line in lines):
            continue
        dialect = choose_quoting(lines, separator, params.quote)
        split = [dialect.split(line)[0] for line in lines]
        width, share = modal_width([len(fields) for fields in split[1:] or split])
        if max(width, len(split[0])) < 2:
            continue
        rank = (mapped(split, width, params.columns), share >= _SURE)
        # The first of the list wins, but a comma within a field must not beat other signs.
        sign = width if separator not in "\t " else 0
        if best is None or rank > best[0] or (rank == best[0] and best[1] and sign > best[1]):
            best, found = (rank, sign), (dialect, split)
    if found is None:
        shown = "auto" if choice == "auto" else repr(choice)
        raise MusicRecError(
            f"{name}: only one column found with data.separator: {shown}; the first line is "
            f"{lines[0][:80]!r}"
        )
    return found


def _refuse_aligned(dialect: Dialect, split: list[tuple[str, ...]], name: str) -> None:
    """Stop where runs of blanks align the columns, so that one blank separates nothing."""
    runs = sum("" in row[1:-1] for row in split)
    if dialect.separator == " " and 2 * runs > len(split):
        raise MusicRecError(
            f"{name}: its columns are aligned by runs of blanks; write one separator between two "
            f"fields, such as with: sed -E 's/ +/\\t/g' {shlex.quote(name)} > plays.tsv"
        )


def _row_width(rows: list[tuple[str, ...]], params: DataParams, name: str) -> int:
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
    shown = f"lines of {min(widths)} to {max(widths)} fields, such as {' '.join(rows[0])[:60]!r}"
    if all(field.isalnum() for row in rows[:50] for field in row if field):
        raise MusicRecError(
            f"{name}: {shown}: each line seems to hold a user and then the user's tracks, the form "
            "of graph recommenders; write one line a user and track: awk '{for (i = 2; i <= NF; "
            "i++) print $1, $i}'"
        )
    raise MusicRecError(
        f"{name}: {shown}; this is no table with data.separator: "
        f"{params.separator} and data.quote: {params.quote}; set them"
    )


def _fitted(
    titles: tuple[str, ...], rows: list[tuple[str, ...]], width: int, name: str
) -> tuple[str, ...]:
    """Names of the fields of a row, where header and rows may differ by one.

    Raises
    ------
    MusicRecError
        They differ, and not by a separator at the end of every line or by R's row names.
    """
    more = width - len(titles)
    if more == 0:
        return titles
    alike = [row for row in rows if len(row) == width]
    if more == 1 and not any(row[-1] for row in alike):
        return (*titles, "")
    if more == -1 and not titles[-1]:
        return titles[:-1]
    numbers = [row[0] for row in alike]
    if more == 1 and numbers in (_counted(1, numbers), _counted(0, numbers)):
        return ("", *titles)
    by = "one field" if abs(more) == 1 else f"{abs(more)} fields"
    raise MusicRecError(
        f"{name}: the rows have {by} {'more' if more > 0 else 'fewer'} than the header, {width} "
        f"against {len(titles)}: the header is {' | '.join(titles)[:100]!r}, a row "
        f"{' | '.join(alike[0])[:100]!r}; name every column in the header"
    )


def _counted(first: int, like: list[str]) -> list[str]:
    return [str(number) for number in range(first, first + len(like))]
