"""How a text file is laid out: separator, quotes, header and fields, seen from its first lines."""

from __future__ import annotations

import codecs
import re
import shlex
from dataclasses import dataclass, field

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.fitting import fitted
from musicrec.ingest.formats.header import find_header, is_rule, may_be_names
from musicrec.ingest.formats.rows_before import plays_before
from musicrec.ingest.formats.separators import choose_dialect
from musicrec.ingest.formats.table_text import Dialect, modal_width
from musicrec.params import DataParams

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
    aside : frozenset of str
        Lines that have as many fields as a row and are none: a rule under the header, say.
    preamble : frozenset of str
        Other lines before it.
    before : int
        How many lines, plays or not, stand before the header.
    by_guess : bool
        Whether the first line alone says that there is no header.
    warnings : tuple of str
        What was decided and may be wrong.
    """

    dialect: Dialect
    titles: tuple[str, ...]
    fields: tuple[str, ...]
    comments: bool = False
    aside: frozenset[str] = frozenset()
    by_guess: bool = False
    preamble: frozenset[str] = field(default=frozenset(), compare=False)
    before: int = field(default=0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def named(self) -> bool:
        """Whether there is a header."""
        return bool(self.titles)

    @property
    def shift(self) -> int:
        """One, where rows have a field without a name on the left of those of the header."""
        return int(bool(self.titles) and self.fields[0] == "" and self.titles[0] != "")


def text_layout(
    head: bytes, params: DataParams, name: str, *, whole: bool, dialect: Dialect | None = None
) -> TextLayout:
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
    dialect : Dialect, optional
        Of the other files of the source; told from this one where it is not given.

    Raises
    ------
    MusicRecError
        The file is not text, has no line, one column only, or not the columns asked for; the rows
        do not fit the header, or differ too much for a table.
    """
    lines = head_lines(head, name, whole=whole)
    marked, lines = _after_marks(lines)
    separator = _SEP_LINE.fullmatch(marked[-1]) if marked else None
    wanted = params.separator
    if separator and wanted == "auto":
        wanted = separator[1]
    if dialect is None:
        dialect = choose_dialect(lines, wanted, params, name)
    split = [dialect.split(line)[0] for line in lines]
    _refuse_aligned(dialect, split, name)
    start, titles = find_header(split, params, name)
    rows = split[start + bool(titles) :]
    width = _row_width(rows, params, name) if rows else len(titles)
    fields = ("",) * width
    if titles:
        fields = fitted(titles, rows, lines[start + 1 :], dialect, params, name)
    before = split[:start]
    plays, warnings = plays_before(before, titles, fields, rows, params, name)
    dropped = {place for place in range(start) if place not in plays}
    aside = {place for place in dropped if len(before[place]) == width}
    if titles and rows and is_rule(rows[0]):
        aside.add(start + 1)
    if not titles and _unsure_of_the_first(split[start:], params):
        warnings.append(
            f"{name}: no header is to be seen, so that the first line, {lines[start][:80]!r}, is "
            "a play; if it holds column names, set data.header: true"
        )
    return TextLayout(
        dialect,
        titles,
        fields,
        comments=any(line.startswith("#") for line in [*marked, *lines[: start + 1]]),
        aside=frozenset(lines[place].strip() for place in aside),
        preamble=frozenset([*marked, *(lines[place].strip() for place in dropped - aside)]),
        by_guess=not titles and params.header == "auto",
        before=len(marked) + start,
        warnings=tuple(warnings),
    )


def _unsure_of_the_first(rows: list[tuple[str, ...]], params: DataParams) -> bool:
    """Whether an event log's first line, taken for a play, may be its header."""
    columns = params.columns
    return (
        columns.count is None
        and columns.timestamp is None
        and params.header == "auto"
        and all(isinstance(column, int) for column in (columns.user, columns.track))
        and may_be_names(rows, columns)
    )


def head_lines(head: bytes, name: str, *, whole: bool) -> list[str]:
    """The lines of a file's first bytes that are not blank.

    Raises
    ------
    MusicRecError
        There is none, or the file is no text.
    """
    text = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head)
    if "\0" in text:
        raise MusicRecError(
            f"{name}: not text: it holds NUL bytes; set data.format or data.encoding (such as "
            "utf-16), or convert it"
        )
    lines = re.split("\r\n|\n|\r", text)  # as Hadoop does, and not at U+2028
    if not whole and len(lines) == 1:
        raise MusicRecError(
            f"{name}: the first line is longer than {len(head):,} bytes, so that its columns "
            "cannot be told; leave columns out that are not needed"
        )
    if not whole:
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
