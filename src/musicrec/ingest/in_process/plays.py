"""A source's rows with ids as numbers, and merged to one row a user and track."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.ingest.in_process.chunk import Chunk, Doubt
from musicrec.ingest.in_process.times import joined
from musicrec.ingest.rows.flaws import MAX_COUNT
from musicrec.ingest.rows.ids import USUAL_NULLS, null_words, unseen_signs
from musicrec.interactions.coded import Coded, code_ids
from musicrec.params import DataParams


class Plays(NamedTuple):
    """The source's rows, ids as codes.

    Attributes
    ----------
    users, tracks : Coded
    counts : int64 array (n), from 1
    times : int64 array (n)
        Larger is later; all 0 where the column is not mapped.
    tables : dict
        Table -> bounds of its rows.
    """

    users: Coded
    tracks: Coded
    counts: np.ndarray
    times: np.ndarray
    tables: dict[str, tuple[int, int]]


class Part(NamedTuple):
    """Merged plays of the users of one part, ascending by user and track, each pair once.

    Attributes
    ----------
    users, tracks : int32 array (n)
        Codes.
    counts : int64 array (n)
    times : int64 array (n)
        The latest of each.
    merged : int64 array (n)
        Source rows of each beyond the first.
    """

    users: np.ndarray
    tracks: np.ndarray
    counts: np.ndarray
    times: np.ndarray
    merged: np.ndarray

    def rows(self, chosen: np.ndarray) -> Part:
        """The rows that are `chosen` (bool)."""
        return Part(*(column[chosen] for column in self))


def coded_plays(tables: dict[str, list[Chunk]], params: DataParams) -> Plays:
    """Number the ids of all tables alike.

    Raises
    ------
    Doubt
        A table has no row, or an id is one that `ids.checked_id` would change or refuse.
    """
    bounds, end = {}, 0
    for name, chunks in tables.items():
        start, end = end, end + sum(len(chunk.counts) for chunk in chunks)
        bounds[name] = (start, end)
        if start == end:
            raise Doubt
    chunks = [chunk for members in tables.values() for chunk in members]
    users = code_ids([chunk.users for chunk in chunks])
    tracks = code_ids([chunk.tracks for chunk in chunks])
    _require_plain(users.ids, params)
    _require_plain(tracks.ids, params)
    counts = np.concatenate([chunk.counts for chunk in chunks])
    times = np.broadcast_to(np.int64(0), len(counts))
    if params.columns.timestamp is not None:
        times = joined([chunk.times for chunk in chunks if chunk.times is not None])
    return Plays(users, tracks, counts, times, bounds)


def _require_plain(ids: pa.StringArray, params: DataParams) -> None:
    """Doubt ids that are blank, have unseen signs around them, or are words for nothing."""
    words = {"", *USUAL_NULLS, *null_words(params.null_words)}
    longest = max(len(word.encode()) for word in words)
    short = ids.filter(pc.less_equal(pc.binary_length(ids), longest))
    doubtful = pc.any(pc.is_in(short, value_set=pa.array(sorted(words)))).as_py()
    if doubtful or not pc.utf8_trim(ids, unseen_signs()).equals(ids):
        raise Doubt
    for sign in ("\ufffd", "\0"):  # of bytes that were no text
        if pc.any(pc.match_substring(ids, sign)).as_py():
            raise Doubt


def merged_rows(plays: Plays, mine: np.ndarray, table: str) -> Part:
    """The rows of a table whose users are `mine` (bool, by code), merged.

    Raises
    ------
    Doubt
        A sum of counts may be above int64.
    """
    start, stop = plays.tables[table]
    rows = start + np.flatnonzero(mine[plays.users.codes[start:stop]])
    width = len(plays.tracks.ids)
    key = plays.users.codes[rows].astype(np.int64) * width + plays.tracks.codes[rows]
    order = np.argsort(key)
    key, rows = key[order], rows[order]
    counts, times = plays.counts[rows], plays.times[rows]
    firsts = np.flatnonzero(np.diff(key, prepend=-1))
    merged = np.diff(firsts, append=len(key)) - 1
    if len(firsts) < len(key):
        if counts.max() >= MAX_COUNT // len(counts):  # a sum may be above int64
            raise Doubt
        key, counts = key[firsts], np.add.reduceat(counts, firsts)
        times = np.maximum.reduceat(times, firsts)
    users, tracks = np.divmod(key, width)
    return Part(users.astype(np.int32), tracks.astype(np.int32), counts, times, merged)


def require_apart(tables: dict[str, Part], plays: Plays) -> None:
    """Doubt splits that share a play."""
    width = len(plays.tracks.ids)
    keys = [part.users.astype(np.int64) * width + part.tracks for part in tables.values()]
    for known, wanted in itertools.combinations(keys, 2):  # ascending, and the first is the largest
        place = np.searchsorted(known, wanted)
        if len(known) and (known[np.minimum(place, len(known) - 1)] == wanted).any():
            raise Doubt
