"""Column names: whether a text file has a line of them, and where a column stands."""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches

from musicrec.errors import MusicRecError
from musicrec.params import ColumnParams, DataParams

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_PREAMBLE = 20  # lines that may stand before the header
# What public files call their columns, without case and signs between words.
_USER = {
    "user", "userid", "uid", "listener", "listenerid", "username", "sessionid", "session",
    "customer", "customerid", "member", "memberid", "account", "accountid", "visitorid", "person",
    "personid", "profileid", "benutzer", "benutzerid", "nutzer", "usuario", "utilisateur", "utente",
    "用户", "用户id",
}  # fmt: skip
_TRACK = {
    "track", "trackid", "song", "songid", "artist", "artistid", "item", "itemid", "iid", "movieid",
    "title", "trackname", "artistname", "tid", "songname", "songtitle", "tracktitle", "trackuri",
    "spotifytrackuri", "media", "mediaid", "album", "albumid", "productid", "contentid",
    "recordingid", "titel", "titre", "morceau", "canción", "歌曲", "歌曲id",
}  # fmt: skip
KNOWN_NAMES = (_USER, _TRACK)
_NO_VALUE = {"", "null", "none", "nan", "na", "n/a", "<na>", "nil", "undefined", "unknown"}
_RULE = re.compile(r"[-=:+|_ ]*[-=]{2}[-=:+|_ ]*")  # a line drawn under the header
_TYPE = re.compile(
    r"(var)?char2?|n?varchar|n?text|str(ing)?|object|uuid|category|u?(big|small|tiny)?int(eger)?"
    r"|u?int(8|16|32|64)|long|double|float(32|64)?|real|numeric|decimal|number|bool(ean)?|date"
    r"|time|datetime(64)?|timestamp",
    re.I,
)
# Signs that cannot be seen at the edge of a field: controls, all kinds of blanks, of no width
# too, and the byte order mark.
SIGNS = ("#", "%", "//")  # what a comment begins with
UNSEEN = r"[\x00-\x20\x7f\u0085\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]+"

Lines = list[tuple[str, ...]]


def mapped(lines: Lines, width: int, columns: ColumnParams) -> bool:
    """Whether lines cut like this hold the columns asked for."""
    wanted = _wanted(columns)
    if any(isinstance(column, int) and column >= width for column in wanted):
        return False
    names = [column for column in wanted if isinstance(column, str)]
    return not names or any(
        set(names) <= {re.sub(f"^{UNSEEN}|{UNSEEN}$", "", field) for field in _bare(line)}
        for line in lines[:_PREAMBLE]
    )


def plain_title(field: str) -> str:
    """A title as it is compared: without case and unseen signs around it."""
    return re.sub(f"^{UNSEEN}|{UNSEEN}$", "", field).lower()


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
    comments = next((i for i, line in enumerate(lines) if not line[0].startswith(SIGNS)), 0)
    if params.header is False or (not names and params.header == "auto"):
        width = max(map(len, lines[comments:]), default=0)
        rows = (len(line) == width and not is_comment(line[0]) for line in lines[:comments])
        comments = 0 if any(rows) else comments
    if params.header is False:
        return comments, ()
    if names:
        return _named_header(lines, names, params, name, comments)
    if params.header is True or _looks_like_names(lines[comments:], columns, name):
        return comments, lines[comments]
    return comments, ()


def is_comment(field: str) -> bool:
    """Whether a line that begins with this field is a comment and no play of a user `%a`."""
    return field in SIGNS or field.startswith(("% ", "// "))


def _named_header(
    lines: Lines, names: list[str], params: DataParams, name: str, comments: int
) -> tuple[int, tuple[str, ...]]:
    for place, line in enumerate(lines[:_PREAMBLE]):
        seen = tuple(re.sub(f"^{UNSEEN}|{UNSEEN}$", "", field) for field in line)
        for titles in (_bare(seen), seen, line):
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
    if _plays_again(lines, columns):
        return False
    if count is not None:
        return not _NUMBER.fullmatch(count) and _is_word(count)
    return time is not None and _is_word(time) and not re.search(r"\d", time)


def _is_word(field: str) -> bool:
    """Whether a field can be a column's name, and stands for no missing value."""
    return bool(re.match(r"\W*[^\W\d_]", field)) and field.lower() not in _NO_VALUE


def _plays_again(lines: Lines, columns: ColumnParams) -> bool:
    """Whether the user or the track of the first line comes again, as no title does."""
    for column in (columns.user, columns.track):
        if not isinstance(column, int):  # that of a folder's name
            continue
        first = lines[0][column] if column < len(lines[0]) else ""
        if first and any(
            line[column : column + 1] == (first,) and line != lines[0] for line in lines[1:]
        ):
            return True
    return False


def may_be_names(lines: Lines, columns: ColumnParams) -> bool:
    """Whether an event log's first line, taken for a play, looks unlike the other lines.

    It does where neither its user nor its track holds a digit or comes again, though most of the
    other lines' do, or where user or track is called as public files call such a column.
    """
    user, track = columns.user, columns.track
    if not isinstance(user, int) or not isinstance(track, int):
        return False
    others = [line for line in lines[1:] if max(user, track) < len(line)]
    if not others or max(user, track) >= len(lines[0]) or _plays_again(lines, columns):
        return False
    first = [re.sub(r"[\W_]", "", lines[0][place]).lower() for place in (user, track)]
    if first[0] in _USER or first[1] in _TRACK:
        return True
    if not all(_is_word(word) and not re.search(r"\d", word) for word in first):
        return False
    counts = [Counter(line[place] for line in others) for place in (user, track)]
    again = (sum(n for n in count.values() if n > 1) for count in counts)
    return any(2 * n > len(others) for n in again) or all(
        any(re.search(r"\d", line[place]) for line in others) for place in (user, track)
    )


def is_rule(line: tuple[str, ...]) -> bool:
    """Whether a line is drawn under the header, or names the types of the columns."""
    fields = [field for field in line if field]
    return bool(fields) and (
        all(_RULE.fullmatch(field) for field in fields)
        or all(_TYPE.fullmatch(re.sub(r"\(\d+(,\s*\d+)?\)$", "", field)) for field in fields)
    )


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
