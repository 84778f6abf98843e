"""Names for the fields of a row, where header and rows differ by one field."""

from __future__ import annotations

import re

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import Lines
from musicrec.ingest.formats.table_text import Dialect, modal_width
from musicrec.params import DataParams

_POSITIVE = re.compile(r"0*[1-9]\d*(\.0+)?")


def fitted(
    titles: tuple[str, ...],
    rows: Lines,
    lines: list[str],
    dialect: Dialect,
    params: DataParams,
    name: str,
) -> tuple[str, ...]:
    """Name the fields of a row after the header.

    Parameters
    ----------
    rows, lines
        What follows the header, cut into fields and as it stands.

    Raises
    ------
    MusicRecError
        They differ, and not by a separator at the end of every line or by R's row names.
    """
    width = modal_width([len(row) for row in rows])[0] if rows else len(titles)
    more = width - len(titles)
    if more == 0:
        return titles
    alike = [row for row in rows if len(row) == width]
    if more == 1 and not any(row[-1] for row in alike):
        return (*titles, "")
    if more == -1 and not titles[-1]:
        return titles[:-1]
    numbers = [row[0] for row in alike]
    counted = more == 1 and numbers in (_counted(1, numbers), _counted(0, numbers))
    if counted and _are_row_names(titles, alike, lines, dialect, params):
        return ("", *titles)
    by = "one field" if abs(more) == 1 else f"{abs(more)} fields"
    first = "; the first field counts the rows, or is the first column" if counted else ""
    raise MusicRecError(
        f"{name}: the rows have {by} {'more' if more > 0 else 'fewer'} than the header, {width} "
        f"against {len(titles)}: the header is {' | '.join(titles)[:100]!r}, a row "
        f"{' | '.join(alike[0])[:100]!r}{first}; name every column in the header"
    )


def _are_row_names(
    titles: tuple[str, ...], alike: Lines, lines: list[str], dialect: Dialect, params: DataParams
) -> bool:
    """Whether a first field that counts the rows can be nothing but R's row names.

    It can where R has put it in quotes, or where with the first title on it, a count would be no
    number, or ids that are numbers stand beside users that are none.
    """
    if dialect.quote and all(line.lstrip().startswith(dialect.quote) for line in lines):
        return True
    wanted = params.columns.user, params.columns.track, params.columns.count
    places = [_place(column, titles, len(alike[0])) for column in wanted]
    if any(column is not None and at is None for column, at in zip(wanted, places, strict=True)):
        return True  # the sentence about the missing column comes first
    user, _, count = places
    if count is not None and any(not _POSITIVE.fullmatch(row[count]) for row in alike):
        return True
    return user == 0 and not any(row[1].isdigit() for row in alike)


def _place(column: str | int | None, titles: tuple[str, ...], width: int) -> int | None:
    """Where a mapped column would stand with the first title on the first field."""
    if isinstance(column, str):
        return titles.index(column) if column in titles else None
    return column if column is not None and column < width else None


def _counted(first: int, like: list[str]) -> list[str]:
    return [str(number) for number in range(first, first + len(like))]
