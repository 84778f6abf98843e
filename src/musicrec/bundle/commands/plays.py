"""Plays and names as people write them: words, files and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from musicrec.bundle.ids import Ids
from musicrec.errors import MusicRecError


def parse_plays(words: Iterable[str]) -> dict[str, int]:
    """Read `TRACK=COUNT` words, or `TRACK` alone for one play; a repeated track adds up.

    What stands after the last `=` is the count, so that an id may hold `=` where its count is
    written: `a=b=1`.

    Raises
    ------
    MusicRecError
        A count is not a whole number.
    """
    plays: dict[str, int] = {}
    for word in words:
        track, _, count = word.rpartition("=") if "=" in word else (word, "", "1")
        plays[track] = plays.get(track, 0) + _count(count, word)
    return plays


def read_plays(path: str) -> dict[str, int]:
    """Read a file, or standard input for `-`: a track a line, its count after a tab or one play.

    Raises
    ------
    MusicRecError
        The file is not there, not UTF-8, or a count is not a whole number; the sentence names the
        line.
    """
    where = "standard input" if path == "-" else path
    plays: dict[str, int] = {}
    for number, line in enumerate(_lines(path, where), 1):
        if line.strip():
            track, tab, count = line.rpartition("\t")
            track, count = (track, count.strip()) if tab else (line, "1")
            plays[track] = plays.get(track, 0) + _count(count, f"{where}, line {number}")
    return plays


def read_labels(path: str) -> dict[str, str]:
    """Read names of tracks: id in the first column, name in the second.

    Columns are separated by tabs where the first line has one, else by commas; a header does no
    harm, and further columns are ignored.

    Raises
    ------
    MusicRecError
        The file is not there, not UTF-8, or has one column.
    """
    lines = _lines(path, path)
    separator = "\t" if lines and "\t" in lines[0] else ","
    rows = [line.split(separator) for line in lines if line.strip()]
    if not rows or len(rows[0]) < 2:
        raise MusicRecError(
            f"{path}: no names; an id and a name a line are needed, separated by a tab or a comma"
        )
    return {row[0]: row[1] for row in rows if len(row) > 1}


def by_name(given: str, tracks: Ids, labels: Mapping[str, str]) -> str:
    """The id that is meant: as it stands, if there is such a track, else that of the one so named.

    Parameters
    ----------
    labels : mapping
        Id -> name.

    Returns
    -------
    str
        `given` itself where it is neither an id nor a name.

    Raises
    ------
    MusicRecError
        Several tracks have the name.
    """
    if not labels or tracks.index(given) >= 0:
        return given
    ids = [track for track, name in labels.items() if name == given and tracks.index(track) >= 0]
    if len(ids) > 1:
        raise MusicRecError(
            f"{given!r} is the name of {len(ids)} tracks ({', '.join(ids[:5])}); give an id"
        )
    return ids[0] if ids else given


def plays_by_name(
    plays: Mapping[str, int], tracks: Ids, labels: Mapping[str, str]
) -> dict[str, int]:
    """Plays with `by_name` of each track; those of one track add up."""
    found: dict[str, int] = {}
    for given, count in plays.items():
        track = by_name(given, tracks, labels)
        found[track] = found.get(track, 0) + count
    return found


def _count(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise MusicRecError(f"{where}: play count {text!r} is not a whole number")
    if len(text) > 18:
        raise MusicRecError(f"{where}: play count of more than 18 digits; is it right?")
    return int(text)


def _lines(path: str, where: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MusicRecError(f"{where}: not UTF-8 (byte {error.start}); convert it") from None
    except IsADirectoryError:
        raise MusicRecError(f"{where}: a folder, where a file is needed") from None
    return text.replace("\r\n", "\n").split("\n")
