"""How the lines of a text file are cut into fields: separator and quotes, by stated rules."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from musicrec.errors import MusicRecError
from musicrec.params import DataParams

QUOTE = '"'
SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_TRIED = ("\t", ",", ";", "|", "::", "<SEP>", " ")
_ALIKE = 0.9  # share of lines with the same number of fields that makes a separator


@dataclass(frozen=True)
class Dialect:
    """How a line is cut.

    Attributes
    ----------
    separator : str
        One character or more.
    quote : str
        One character, or "" where quotes are part of the text.
    escape : str
        What stands before a quote within quotes: the quote itself, or a backslash.
    stated : bool
        Whether `data.quote` says what quotes are.
    """

    separator: str
    quote: str = QUOTE
    escape: str = QUOTE
    stated: bool = True

    def split(self, line: str) -> tuple[tuple[str, ...], bool]:
        """Cut one line into trimmed fields, and tell whether its quotes are sound.

        They are not where a quote is never closed, something follows a closed one, or a field that
        does not begin with one holds one.
        """
        if not self.quote or self.quote not in line:
            return tuple(field.strip() for field in line.split(self.separator)), True
        fields, sound, start = [], True, 0
        while start <= len(line):
            field, start, good = self._field(line, start)
            fields.append(field)
            sound = sound and good
        return tuple(fields), sound

    def _field(self, line: str, start: int) -> tuple[str, int, bool]:
        """One field, where the next one starts (beyond the line after the last), whether sound."""
        begin = start
        while begin < len(line) and line[begin] in " \t" and line[begin] != self.separator:
            begin += 1
        step = len(self.separator)
        if not line.startswith(self.quote, begin):
            end = line.find(self.separator, start)
            end = len(line) if end < 0 else end
            text = line[start:end].strip()
            return text, end + step, self.quote not in text
        closing = self._closing(line, begin + 1)
        if closing < 0:
            return line[begin:].strip(), len(line) + 1, False
        end = line.find(self.separator, closing + 1)
        end = len(line) if end < 0 else end
        if line[closing + 1 : end].strip():
            return line[begin:end].strip(), end + step, False
        text = line[begin + 1 : closing].replace(self.escape + self.quote, self.quote)
        if self.escape != self.quote:
            text = text.replace(self.escape * 2, self.escape)
        return text.strip(), end + step, True

    def _closing(self, line: str, place: int) -> int:
        """Position of the quote that closes a field, or -1."""
        while (place := line.find(self.quote, place)) >= 0:
            if self.escape == self.quote:
                if not line.startswith(self.quote, place + 1):
                    return place
                place += 2
            else:
                before = line[:place]
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


def choose_dialect(
    lines: list[str], wanted: tuple[list[str], int], choice: str, params: DataParams, name: str
) -> tuple[Dialect, bool]:
    """Choose the separator that gives the lines the columns asked for, alike in nine of ten.

    The space counts only where no other does, and so does one that a space mostly follows.

    Parameters
    ----------
    wanted : tuple
        Mapped names, and the largest mapped position.
    choice : str
        `data.separator`, or what the file itself says.

    Returns
    -------
    dialect : Dialect
    fits : bool
        False where none does; it is then the one that comes nearest.

    Raises
    ------
    MusicRecError
        Several do; there is one column only; a parameter is not allowed.
    """
    if params.quote not in ("auto", "none") and len(params.quote) != 1:
        raise MusicRecError(
            f"data.quote = {params.quote!r} is not allowed; it must be auto, none or one character"
        )
    separators: tuple[str, ...] = _TRIED
    if choice != "auto":
        separators = (SEPARATORS.get(choice, choice.replace("\\t", "\t")),)
        if not separators[0] or any(end in separators[0] for end in "\r\n"):
            raise MusicRecError(
                f"data.separator = {choice!r} is not allowed; it must be auto, tab, comma, "
                "semicolon, pipe, space or the characters themselves"
            )
    present = [s for s in separators if any(s in line for line in lines)]
    dialects = [_quoting(lines, separator, params.quote, wanted[0]) for separator in present]
    split = {d.separator: [d.split(line)[0] for line in lines] for d in dialects}
    if choice != "auto" and dialects and max(map(len, split[dialects[0].separator])) > 1:
        return dialects[0], True
    fitting = [d for d in dialects if _fits(split[d.separator], wanted)]
    if not fitting:
        several = {d: modal_width([len(row) for row in split[d.separator]]) for d in dialects}
        several = {d: w for d, w in several.items() if max(map(len, split[d.separator])) > 1}
        if not several:
            raise MusicRecError(
                f"{name}: only one column found with data.separator: "
                f"{'auto' if choice == 'auto' else repr(choice)}; the first line is "
                f"{lines[0][:80]!r}"
            )
        return max(several, key=lambda d: (several[d][0] > 1, several[d][1])), False
    others = [d for d in fitting if d.separator != " "] or fitting
    tight = [d for d in others if not _airy(lines, d.separator)] or others
    if len(tight) > 1:
        names = " and ".join(repr(d.separator) for d in tight)
        shown = "; ".join(repr(line[:60]) for line in lines[:2])
        raise MusicRecError(
            f"{name}: {names} cut its lines into as many fields each, such as {shown}; set "
            "data.separator to the one that is meant"
        )
    return tight[0], True


def _fits(split: list[tuple[str, ...]], wanted: tuple[list[str], int]) -> bool:
    names, last = wanted
    start = next((i for i, row in enumerate(split[:20]) if set(names) <= _bare(row)), None)
    if names and start is None:
        return False
    width, share = modal_width([len(row) for row in split[start or 0 :]])
    rows = split[(start or 0) + 1 :]
    return width > max(1, last) and (share >= _ALIKE or len(rows) < 2)


def _bare(row: tuple[str, ...]) -> set[str]:
    return {field.strip('"#\ufeff\u200b\u00a0 ') for field in row}


def _airy(lines: list[str], separator: str) -> bool:
    """Whether a space mostly follows, as it does a comma in a text."""
    places = sum(line.count(separator) for line in lines)
    return 2 * sum(line.count(separator + " ") for line in lines) > places


def no_separator(lines: list[str], dialect: Dialect, name: str) -> str:
    """Say that no separator fits, and show two lines."""
    widths = [len(dialect.split(line)[0]) for line in lines]
    width = modal_width(widths)[0]
    usual = next(line for line, n in zip(lines, widths, strict=True) if n == width)
    other = next((line for line, n in zip(lines, widths, strict=True) if n != width), "")
    return (
        f"{name}: no separator gives its lines the mapped columns and the same number of fields, "
        f"such as {usual[:60]!r} and {other[:60]!r}; set data.separator and data.columns"
    )


def _quoting(lines: list[str], separator: str, choice: str, names: list[str]) -> Dialect:
    """What quotes are: with `auto` text between tabs, unless the header has them; else around."""
    as_text = choice == "auto" and (separator == "\t" or len(separator) > 1)
    quoted = {f"{QUOTE}{name}{QUOTE}" for name in names}
    in_quotes = names and any(quoted <= set(line.split(separator)) for line in lines[:20])
    if choice == "none" or (as_text and not in_quotes):
        return Dialect(separator, "", stated=choice == "none")
    doubled = Dialect(separator, QUOTE if choice == "auto" else choice)
    if "\\" + doubled.quote in "".join(lines):
        escaped = Dialect(separator, doubled.quote, "\\")
        flaws = [sum(not d.split(line)[1] for line in lines) for d in (doubled, escaped)]
        if flaws[1] < flaws[0]:
            return escaped
    return doubled


def plain_title(field: str) -> str:
    """A title as it is compared: without case and invisible characters around it."""
    return re.sub(r"^[\s\ufeff\u200b]+|[\s\ufeff\u200b]+$", "", field).lower()
