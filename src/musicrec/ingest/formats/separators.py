"""Which sign separates the fields of a text file."""

from __future__ import annotations

from typing import NamedTuple

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import Lines, mapped
from musicrec.ingest.formats.table_text import Dialect, choose_quoting, modal_width
from musicrec.params import DataParams

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_GUESSES = ("\t", ",", ";", "|", "::", "<SEP>", " ")
_SURE = 0.9  # share of lines with the same number of fields that makes a separator certain


class _Candidate(NamedTuple):
    """A separator, how well it cuts the lines, and how it stands in them."""

    dialect: Dialect
    split: Lines
    rank: tuple[bool, bool]
    width: int
    airy: bool


def choose_dialect(lines: list[str], choice: str, params: DataParams, name: str) -> Dialect:
    """Choose the separator that cuts the lines into the columns asked for, alike in all lines.

    Parameters
    ----------
    choice : str
        `data.separator`, or what the file itself says.

    Raises
    ------
    MusicRecError
        None cuts the lines at all, two do it equally well, or a parameter is none.
    """
    if params.quote not in ("auto", "none") and len(params.quote) != 1:
        raise MusicRecError(
            f"data.quote = {params.quote!r} is not allowed; it must be auto, none or one character"
        )
    separators: tuple[str, ...] = _GUESSES
    if choice != "auto":
        separators = (SEPARATORS.get(choice, choice.replace("\\t", "\t")),)
    if not all(separators) or any(sign in "\r\n" for sign in "".join(separators)):
        raise MusicRecError(
            f"data.separator = {choice!r} is not allowed; it must be auto, tab, comma, semicolon, "
            "pipe, space or the characters themselves"
        )
    found = [
        candidate
        for separator in separators
        if any(separator in line for line in lines)
        and (candidate := _candidate(lines, separator, params)) is not None
    ]
    if not found:
        shown = "auto" if choice == "auto" else repr(choice)
        raise MusicRecError(
            f"{name}: only one column found with data.separator: {shown}; the first line is "
            f"{lines[0][:80]!r}"
        )
    return _best(found, lines, name).dialect


def _candidate(lines: list[str], separator: str, params: DataParams) -> _Candidate | None:
    dialect = choose_quoting(lines, separator, params.quote)
    split = [dialect.split(line)[0] for line in lines]
    width, share = modal_width([len(fields) for fields in split[1:] or split])
    if max(width, len(split[0])) < 2:
        return None
    places = sum(line.count(separator) for line in lines)
    airy = 2 * sum(line.count(separator + " ") for line in lines) > places
    rank = mapped(split, width, params.columns), share >= _SURE
    return _Candidate(dialect, split, rank, width, airy)


def _best(found: list[_Candidate], lines: list[str], name: str) -> _Candidate:
    rank = max(candidate.rank for candidate in found)
    equal = [candidate for candidate in found if candidate.rank == rank]
    if not rank[1]:
        return equal[0]
    first = equal[0].dialect.separator
    if first == "\t" and not _is_padding(equal):
        return equal[0]
    # A comma within a field must not beat other signs: it is mostly followed by a blank.
    signs = [candidate for candidate in equal if candidate.dialect.separator not in "\t "]
    tight = [candidate for candidate in signs if not candidate.airy]
    signs = tight or signs
    if not signs:
        return equal[0]
    width = max(candidate.width for candidate in signs)
    widest = [candidate for candidate in signs if candidate.width == width]
    if len(widest) > 1 and "::" not in (one.dialect.separator for one in widest):
        both = " and ".join(repr(one.dialect.separator) for one in widest)
        raise MusicRecError(
            f"{name}: {both} cut its lines into {width} fields alike, such as "
            f"{lines[len(lines) > 1][:80]!r}; set data.separator to the one that is meant"
        )
    return widest[0]


def _is_padding(equal: list[_Candidate]) -> bool:
    """Whether the tab does no more than follow another separator."""
    signs = [one.dialect.separator for one in equal[1:] if one.dialect.separator != " "]
    rows = [row for row in equal[0].split if len(row) > 1]
    return any(all(field.endswith(sign) for row in rows for field in row[:-1]) for sign in signs)
