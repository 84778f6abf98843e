"""Lines of delimited text, split into fields as Spark's reader splits them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

QUOTE = '"'


@dataclass(frozen=True)
class Dialect:
    """How the lines of a text file are cut into fields.

    Attributes
    ----------
    separator : str
        One character or more.
    quote : str
        One character, or "" where quotes are part of the text.
    escape : str
        What stands before a quote within quotes: the quote itself, or a backslash.
    """

    separator: str
    quote: str = QUOTE
    escape: str = QUOTE

    def split(self, line: str) -> tuple[tuple[str, ...], bool]:
        """Cut one line into trimmed fields, and tell whether its quotes are those of a table.

        They are not where a quote is never closed, or something follows a closed one.
        """
        if not self.quote or self.quote not in line:
            return tuple(field.strip() for field in line.split(self.separator)), True
        fields, sound, start = [], True, 0
        while True:
            field, start, good = self._field(line, start)
            fields.append(field)
            sound = sound and good
            if start > len(line):
                return tuple(fields), sound

    def _field(self, line: str, start: int) -> tuple[str, int, bool]:
        """One field, where the next one starts (beyond the line after the last), and its sanity."""
        begin = start
        while begin < len(line) and line[begin] == " " and self.separator != " ":
            begin += 1
        if line.startswith(self.quote, begin):
            closing = self._closing(line, begin + 1)
            if closing >= 0:
                rest = line.find(self.separator, closing + 1)
                end = len(line) if rest < 0 else rest
                good = not line[closing + 1 : end].strip()
                text = line[begin + 1 : closing].replace(self.escape + self.quote, self.quote)
                return (text if good else line[begin:end]).strip(), self._next(end), good
            return line[begin:].strip(), len(line) + 1, False
        rest = line.find(self.separator, start)
        end = len(line) if rest < 0 else rest
        return line[start:end].strip(), self._next(end), True

    def _next(self, end: int) -> int:
        return end + len(self.separator)

    def _closing(self, line: str, start: int) -> int:
        """Place of the quote that closes a field, or -1."""
        place = start
        while (place := line.find(self.quote, place)) >= 0:
            if self.escape == self.quote:
                if not line.startswith(self.quote, place + 1):
                    return place
                place += 2
            elif line[place - 1] != self.escape or place == start:
                return place
            else:
                place += 1
        return -1


def modal_width(widths: list[int]) -> tuple[int, float]:
    """The most frequent number of fields, and the share of lines that have it."""
    if not widths:
        return 0, 0.0
    ((width, lines),) = Counter(widths).most_common(1)
    return width, lines / len(widths)


def choose_quoting(lines: list[str], separator: str, choice: str) -> Dialect:
    """Tell from a file's first lines whether its quotes enclose fields or are part of the text.

    Parameters
    ----------
    choice : str
        `data.quote`: auto, none or a character.

    Returns
    -------
    Dialect
        With a tab (or several characters) between fields quotes are text unless the lines show
        that they enclose; with other separators they enclose unless the lines show that they
        cannot.
    """
    plain = Dialect(separator, "")
    doubled = Dialect(separator, QUOTE if choice == "auto" else choice)
    if choice == "none":
        return plain
    escaped = Dialect(separator, doubled.quote, "\\")
    quoted = [line for line in lines if doubled.quote in line]
    by_rule = separator == "\t" or len(separator) > 1
    if not quoted:
        return plain if by_rule and choice == "auto" else doubled
    flawed, share = _flaws(lines, doubled)
    if "\\" + doubled.quote in "".join(quoted):
        flawed_escaped, share_escaped = _flaws(lines, escaped)
        if flawed_escaped < flawed and share_escaped >= share:
            return escaped
    if choice != "auto":
        return doubled
    plain_share = _flaws(lines, plain)[1]
    if flawed:
        return plain if plain_share >= share else doubled
    if share != plain_share:
        return doubled if share > plain_share else plain
    return plain if by_rule and not _encloses(lines, plain) else doubled


def _flaws(lines: list[str], dialect: Dialect) -> tuple[int, float]:
    split = [dialect.split(line) for line in lines]
    share = modal_width([len(fields) for fields, _ in split])[1]
    return sum(not sound for _, sound in split), share


def _encloses(lines: list[str], plain: Dialect) -> bool:
    """Whether quotes follow a program's rule: whole columns of text, or only where needed."""
    columns: dict[int, list[str]] = {}
    for line in lines[1:] or lines:
        for place, field in enumerate(plain.split(line)[0]):
            columns.setdefault(place, []).append(field)
    for fields in columns.values():
        enclosed = [f for f in fields if len(f) > 1 and f[0] == f[-1] == QUOTE]
        bare = [f for f in fields if f and f not in enclosed and not re.fullmatch(r"[\d.+-]+", f)]
        needless = [f for f in enclosed if QUOTE not in f[1:-1]]
        if bare and needless:
            return False
    return True
