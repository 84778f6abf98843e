"""Column names: whether a text file has a line of them, and where a column stands."""

from __future__ import annotations

import re
from difflib import get_close_matches

from musicrec.errors import MusicRecError
from musicrec.params.data import ColumnParams, DataParams

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_PREAMBLE = 20  # lines that may stand before the header
# What public files call their columns, without case and signs between words.
_USER = {"user", "userid", "uid", "listener", "username", "sessionid", "session", "customerid"}
_TRACK = {
    "track", "trackid", "song", "songid", "artist", "artistid", "item", "itemid", "iid", "movieid",
    "title", "trackname", "artistname", "tid",
}  # fmt: skip

Lines = list[tuple[str, ...]]


def mapped(lines: Lines, width: int, columns: ColumnParams) -> bool:
    """Whether lines cut like this hold the columns asked for."""
    wanted = _wanted(columns)
    if any(isinstance(column, int) and column >= width for column in wanted):
        return False
    names = [column for column in wanted if isinstance(column, str)]
    return not names or any(set(names) <= set(_bare(line)) for line in lines[:_PREAMBLE])


def _wanted(columns: ColumnParams) -> list[str | int]:
    roles = (columns.user, columns.track, columns.count, columns.timestamp)
    return [column for column in roles if column is not None]


def _bare(line: tuple[str, ...]) -> tuple[str, ...]:
    """A line's fields without the `#` that NumPy writes before the first name."""
    first = re.sub(r"^#\s*", "", line[0])
    return (first, *line[1:]) if first or line[0] != "#" else line[1:]


def find_header(lines: Lines, params: DataParams, name: str) -> tuple[int, tuple[str, ...]]:
    """Find the line of column names.

    Returns
    -------
    int
        How many lines stand before the table.
    tuple of str
        The column names, or () where there is no such line.

    Raises
    ------
    MusicRecError
        Columns are mapped by name and no line has any of them; the first line may be names or a
        play.
    """
    columns = params.columns
    names = [column for column in _wanted(columns) if isinstance(column, str)]
    comments = next((i for i, line in enumerate(lines) if not line[0].startswith("#")), 0)
    if params.header is False or (not names and params.header == "auto"):
        width = max(map(len, lines[comments:]), default=0)
        comments = comments if all(len(line) != width for line in lines[:comments]) else 0
    if params.header is False:
        return comments, ()
    if names:
        return _named_header(lines, names, params, name, comments)
    if params.header is True or _looks_like_names(lines[comments:], columns, name):
        return comments, lines[comments]
    return comments, ()


def _named_header(
    lines: Lines, names: list[str], params: DataParams, name: str, comments: int
) -> tuple[int, tuple[str, ...]]:
    for place, line in enumerate(lines[:_PREAMBLE]):
        for titles in (_bare(line), line):
            if set(names) <= set(titles):
                return place, titles
    first = lines[comments] if len(lines[comments]) > 1 else lines[0]
    if params.header is True or any(column in first for column in names):
        return comments, first
    missing = ", ".join(map(repr, names))
    near = _near(names, first)
    raise MusicRecError(
        f"{name}: no column {missing} in the first line, which is {' | '.join(first)[:200]!r}; "
        f"{near}name the columns in data.columns, by position from 0 where there is no header"
    )


def _looks_like_names(lines: Lines, columns: ColumnParams, name: str) -> bool:
    """With positions alone: whether the first line holds names and no play."""
    fields = lines[0]

    def at(column: str | int | None) -> str | None:
        return fields[column] if isinstance(column, int) and column < len(fields) else None

    count, time = at(columns.count), at(columns.timestamp)
    user, track = (re.sub(r"[\W_]", "", at(c) or "").lower() for c in (columns.user, columns.track))
    if user in _USER and track in _TRACK:
        return True
    if fields in (_positions(len(fields)), ("", *_positions(len(fields) - 1))):
        return _numbers_are_names(lines, columns, name)
    if count is not None:
        return not _NUMBER.fullmatch(count) and bool(re.search("[A-Za-z]", count))
    return time is not None and not re.search(r"\d", time)


def _positions(n: int) -> tuple[str, ...]:
    return tuple(map(str, range(n)))


def _numbers_are_names(lines: Lines, columns: ColumnParams, name: str) -> bool:
    """Whether `0,1,2` is what pandas writes for a table without names.

    Raises
    ------
    MusicRecError
        All ids are numbers, so it may as well be user 0 who played track 1.
    """
    places = [column for column in (columns.user, columns.track) if isinstance(column, int)]
    ids = [line[place] for line in lines[1:] for place in places if place < len(line)]
    if not ids or all(value.isdigit() for value in ids):
        raise MusicRecError(
            f"{name}: the first line, {','.join(lines[0])!r}, may be column names, as pandas "
            "writes them for a table without any, or a play; set data.header to true or false"
        )
    return True


def column_position(
    column: str | int, role: str, names: tuple[str, ...], *, named: bool, file: str
) -> int:
    """Find a mapped column among a file's columns.

    Raises
    ------
    MusicRecError
        It is missing, there twice, or asked for by name in a file without a header.
    """
    found = ", ".join(names) if named else f"{len(names)} columns and no header"
    if isinstance(column, int):
        if column < len(names):
            return column
        raise MusicRecError(
            f"{file}: no column {column} (data.columns.{role}, counted from 0); the file has: "
            f"{found[:300]}"
        )
    places = [i for i, name in enumerate(names) if name == column] if named else []
    if len(places) != 1:
        what = "no column" if not places else f"{len(places)} columns named"
        near = "" if places else _near([column], names)
        raise MusicRecError(
            f"{file}: {what} {column!r}; the file has: {found[:300]}; {near}set data.columns.{role}"
        )
    return places[0]


def _near(wanted: list[str], names: tuple[str, ...]) -> str:
    """Suggest the names that differ in case or little else."""
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in names if name}
    keys = (re.sub(r"[\W_]", "", column).lower() for column in wanted)
    near = [plain[key] for word in keys for key in get_close_matches(word, plain, n=1, cutoff=0.85)]
    return f"did you mean {' and '.join(map(repr, near))}? " if near else ""
