"""Lines of delimited text, split into fields as Spark's reader splits them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

QUOTE = '"'
_MOST = 0.9  # share of lines whose quotes enclose that makes flaws of the other ones
_REACH = 10  # lines over which a field in quotes may run


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
    strict : bool
        Whether a quote elsewhere than the first lines have them is a flaw: one in a field that is
        not enclosed; where quotes are text because there was none, a field that is enclosed and
        holds a doubled one.
    """

    separator: str
    quote: str = QUOTE
    escape: str = QUOTE
    strict: bool = False

    @property
    def blanks(self) -> str:
        """Signs around a field that are not part of it."""
        return "" if self.separator == " " else " " if self.separator == "\t" else " \t"

    def enclosed(self) -> str:
        """Regular expression, of Python and of Java, for a field in sound quotes."""
        quote, separator = re.escape(self.quote), re.escape(self.separator)
        blank = f"[{self.blanks}]*" if self.blanks else ""
        if self.escape == self.quote:
            within = rf"[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+"
        else:
            within = rf"[^{quote}\\]*+(?:\\.[^{quote}\\]*+)*+"
        return rf"(?:^|(?<={separator})){blank}{quote}{within}{quote}{blank}(?={separator}|$)"

    def enclosed_late(self) -> str:
        """The same for a field that holds a doubled quote, where quotes are taken for text."""
        separator = re.escape(self.separator)
        return rf'(?:^|{separator})"[^"]*+(?:""[^"]*+)++"(?:{separator}|$)'

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
        while begin < len(line) and line[begin] in self.blanks:
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
            else:
                before = line[start:place]
                if (len(before) - len(before.rstrip(self.escape))) % 2 == 0:
                    return place
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
    by_rule = separator == "\t" or len(separator) > 1
    if not any(doubled.quote in line for line in lines):
        return replace(plain, strict=True) if by_rule and choice == "auto" else doubled
    best = _better(lines, doubled, Dialect(separator, doubled.quote, "\\"))
    if choice != "auto":
        return best
    if not _quotes_enclose(lines, best, plain, by_rule=by_rule):
        return plain
    return replace(best, strict=_is_strict(lines, best))


def _better(lines: list[str], doubled: Dialect, escaped: Dialect) -> Dialect:
    """Whether a quote within quotes is doubled or behind a backslash."""
    if "\\" + doubled.quote in "".join(lines):
        flawed, share = _flaws(lines, doubled)
        flawed_escaped, share_escaped = _flaws(lines, escaped)
        if flawed_escaped < flawed and share_escaped >= share:
            return escaped
    return doubled


def _flaws(lines: list[str], dialect: Dialect) -> tuple[int, float]:
    split = [dialect.split(line) for line in lines]
    share = modal_width([len(fields) for fields, _ in split])[1]
    return sum(not sound for _, sound in split), share


def _quotes_enclose(lines: list[str], best: Dialect, plain: Dialect, *, by_rule: bool) -> bool:
    flawed, share = _flaws(lines, best)
    plain_share = _flaws(lines, plain)[1]
    if flawed:
        if _enclosed_lines(lines, best) >= _MOST * (len(lines) - 1):
            return True
        if not by_rule and (_few_flawed(lines, best, flawed) or bool(_run_over_lines(lines, best))):
            return True
        return plain_share < share
    if share != plain_share:
        return share > plain_share
    return not by_rule or _follow_a_rule(lines, plain)


def _enclosed_lines(lines: list[str], dialect: Dialect) -> int:
    """How many lines have fields in quotes, all of them sound, however quotes are escaped."""
    kinds = [replace(dialect, escape=escape) for escape in (dialect.quote, "\\")]
    patterns = [re.compile(kind.enclosed()) for kind in kinds]
    return sum(
        any(
            kind.split(line)[1] and pattern.search(line)
            for kind, pattern in zip(kinds, patterns, strict=True)
        )
        for line in lines
        if dialect.quote in line
    )


def _few_flawed(lines: list[str], dialect: Dialect, flawed: int) -> bool:
    """Whether one line alone of a short file is flawed, and all others are enclosed."""
    return flawed == 1 and 2 <= len(lines) - 2 <= _enclosed_lines(lines, dialect)


def _run_over_lines(lines: list[str], dialect: Dialect) -> set[int]:
    """Places of the lines that hold parts of a field in quotes that is closed some lines later."""
    width = modal_width([len(dialect.split(line)[0]) for line in lines])[0]
    found: set[int] = set()
    for place, line in enumerate(lines):
        if dialect.quote not in line or dialect.split(line)[1]:
            continue
        later = lines[place + 1 : place + _REACH]
        last = next((i for i, other in enumerate(later, 1) if dialect.quote in other), 0)
        fields, sound = dialect.split(" ".join([line, *later[:last]]))
        if sound and len(fields) == width:
            found.update(range(place, place + last + 1))
    return found


def _is_strict(lines: list[str], dialect: Dialect) -> bool:
    """Whether the first lines show a program that encloses every field that holds a quote."""
    enclosed = re.compile(dialect.enclosed())
    runs = _run_over_lines(lines, dialect)
    whole = [line for place, line in enumerate(lines) if place not in runs]
    sound = [line for line in whole if dialect.quote in line and dialect.split(line)[1]]
    if any(dialect.quote in enclosed.sub("", line) for line in sound):
        return False
    holds = any(dialect.escape + dialect.quote in line for line in sound if enclosed.search(line))
    return holds or bool(runs) or _enclosed_lines(lines, dialect) >= _MOST * (len(lines) - 1)


def _follow_a_rule(lines: list[str], plain: Dialect) -> bool:
    """Whether quotes follow a program's rule: whole columns of text, or only where needed.

    A field needs them that holds a quote or, as spreadsheets have it, a comma: these enclose each
    such field or none.
    """
    columns: dict[int, list[str]] = {}
    for line in lines[1:] or lines:
        for place, field in enumerate(plain.split(line)[0]):
            columns.setdefault(place, []).append(field)
    enclosed = {f for fields in columns.values() for f in fields if _is_enclosed(f)}
    commas = not any("," in f for fields in columns.values() for f in fields if f not in enclosed)
    for fields in columns.values():
        bare = [f for f in fields if f and f not in enclosed and not re.fullmatch(r"[\d.+-]+", f)]
        needless = [
            f
            for f in fields
            if f in enclosed and QUOTE not in f[1:-1] and not (commas and "," in f)
        ]
        if bare and needless:
            return False
    return True


def _is_enclosed(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == QUOTE
