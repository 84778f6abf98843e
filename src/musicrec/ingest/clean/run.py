"""Plays without a flaw, read, merged and split in this process: most sources need no Spark.

What is not plain and sound to the last row is left to Spark's road, which judges every row and says
what is wrong. The splits have the same bytes either way (`tests/ingest/test_clean.py`).
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.checksums import write_checksums
from musicrec.columnar.coded import Coded, code_ids
from musicrec.columnar.hashing import hash_fraction, text_parts
from musicrec.ingest.clean.chunk import Chunk, Doubt
from musicrec.ingest.clean.files import clean_chunks
from musicrec.ingest.filters import needs_whole_table
from musicrec.ingest.flaws import MAX_COUNT
from musicrec.ingest.ids import USUAL_NULLS, null_words, unseen_signs
from musicrec.ingest.merge import merge_summary
from musicrec.ingest.overlap import strangers
from musicrec.ingest.source import list_files, local_inputs
from musicrec.ingest.split import (
    HOLDOUT_PLAYS,
    HOLDOUT_USERS,
    SPLITS,
    require_splits,
    require_training_users,
    splits_of,
    tables_of,
)
from musicrec.ingest.summary import Contents, describe_splits, require_disjoint_users
from musicrec.parallel import for_blocks
from musicrec.params.data import DataParams
from musicrec.parquet import PARTS, ROW_GROUP, write_rows

SCHEMA = pa.schema([("user_id", pa.string()), ("track_id", pa.string()), ("count", pa.int64())])
_TYPICAL = 1 << 16  # counts below are tallied by place, all others by sorting


class Plays(NamedTuple):
    """The source's rows, ids as codes.

    Attributes
    ----------
    users, tracks : Coded
    counts : int64 array (n), from 1
    tables : dict
        Table -> bounds of its rows.
    """

    users: Coded
    tracks: Coded
    counts: np.ndarray
    tables: dict[str, tuple[int, int]]


class Part(NamedTuple):
    """Merged plays of the users of one part, ascending by user and track, each pair once.

    Attributes
    ----------
    users, tracks : int32 array (n)
        Codes.
    counts : int64 array (n)
    merged : int64 array (n)
        Source rows of each beyond the first.
    """

    users: np.ndarray
    tracks: np.ndarray
    counts: np.ndarray
    merged: np.ndarray

    def rows(self, chosen: np.ndarray) -> Part:
        """The rows that are `chosen` (bool)."""
        return Part(*(column[chosen] for column in self))


class Tally(NamedTuple):
    """What the rows of a split in one part add up to; `users` and `tracks` are bool, by code."""

    users: np.ndarray
    tracks: np.ndarray
    histogram: Counter[int]
    merged: int


def ingest_clean(params: DataParams, folder: Path) -> dict[str, Any] | None:
    """Read, merge and split local plays, if they are plain, without a flaw, and fit in memory.

    Parameters
    ----------
    folder : Path
        Empty; gets the folders of the splits, as Spark's road would write them.

    Returns
    -------
    dict or None
        What `metrics/data.json` holds; None where Spark must look, with nothing left in `folder`.

    Raises
    ------
    MusicRecError
        There is no such source, or its files or columns cannot be used.
    """
    far = local_inputs(params.source) is None
    if far or needs_whole_table(params) or params.columns.timestamp is not None:
        return None
    require_training_users(params)
    tables = tables_of(list_files(None, params.source), params)
    try:
        plays = _coded(clean_chunks(tables, params))
        _require_plain(plays.users.ids, params)
        _require_plain(plays.tracks.ids, params)
        return _write(plays, params, folder)
    except Doubt:
        for left in folder.iterdir():
            shutil.rmtree(left)
        return None


def _coded(tables: dict[str, list[Chunk]]) -> Plays:
    bounds, end = {}, 0
    for name, chunks in tables.items():
        start, end = end, end + sum(len(chunk.counts) for chunk in chunks)
        bounds[name] = (start, end)
        if start == end:
            raise Doubt
    chunks = [chunk for members in tables.values() for chunk in members]
    users = code_ids([chunk.users for chunk in chunks])
    tracks = code_ids([chunk.tracks for chunk in chunks])
    return Plays(users, tracks, np.concatenate([chunk.counts for chunk in chunks]), bounds)


def _require_plain(ids: pa.StringArray, params: DataParams) -> None:
    """Doubt ids that are blank, have unseen signs around them, or are words for nothing."""
    words = {"", *USUAL_NULLS, *null_words(params.null_words)}
    longest = max(len(word.encode()) for word in words)
    short = ids.filter(pc.less_equal(pc.binary_length(ids), longest))
    doubtful = pc.any(pc.is_in(short, value_set=pa.array(sorted(words)))).as_py()
    if doubtful or not pc.utf8_trim(ids, unseen_signs()).equals(ids):
        raise Doubt
    if pc.any(pc.match_substring(ids, "\ufffd")).as_py():  # bytes that were no text
        raise Doubt


def _write(plays: Plays, params: DataParams, folder: Path) -> dict[str, Any]:
    names = splits_of(params)
    for name in names:
        (folder / name).mkdir()
    part_of_user = text_parts(plays.users.ids, PARTS).astype(np.int8)
    held = None if params.protocol == "given" else _lots(plays.users.ids, params)
    tallies: list[dict[str, Tally]] = [{} for _ in range(PARTS)]

    def work(start: int, stop: int) -> None:
        for number in range(start, stop):
            mine = part_of_user == number
            tables = {name: _merged(plays, mine, name) for name in plays.tables}
            if held is None:
                _require_apart(tables, plays)
            else:
                tables = _split(tables["plays"], plays, held, params)
            for name, part in tables.items():
                if len(part.counts):
                    path = folder / name / f"part-{number:05d}.parquet"
                    write_rows(path, _tables(part, plays), SCHEMA)
                    tallies[number][name] = _tally(part, plays)

    for_blocks(work, list(range(PARTS + 1)))
    for name in names:
        if any((folder / name).iterdir()):
            write_checksums(folder / name)
        else:
            (folder / name).rmdir()
    require_splits(folder, params)
    return _summary(
        plays, {name: [of[name] for of in tallies if name in of] for name in names}, params
    )


def _merged(plays: Plays, mine: np.ndarray, table: str) -> Part:
    """The rows of a table whose users are `mine` (bool, by code), merged."""
    start, stop = plays.tables[table]
    rows = start + np.flatnonzero(mine[plays.users.codes[start:stop]])
    width = len(plays.tracks.ids)
    key = plays.users.codes[rows].astype(np.int64) * width + plays.tracks.codes[rows]
    order = np.argsort(key)
    key, counts = key[order], plays.counts[rows[order]]
    firsts = np.flatnonzero(np.diff(key, prepend=-1))
    merged = np.diff(firsts, append=len(key)) - 1
    if len(firsts) < len(key):
        if counts.max() >= MAX_COUNT // len(counts):  # a sum may be above int64
            raise Doubt
        key, counts = key[firsts], np.add.reduceat(counts, firsts)
    users, tracks = np.divmod(key, width)
    return Part(users.astype(np.int32), tracks.astype(np.int32), counts, merged)


def _require_apart(tables: dict[str, Part], plays: Plays) -> None:
    """Doubt splits that share a play."""
    width = len(plays.tracks.ids)
    keys = [part.users.astype(np.int64) * width + part.tracks for part in tables.values()]
    for known, wanted in itertools.combinations(keys, 2):  # ascending, and the first is the largest
        place = np.searchsorted(known, wanted)
        if len(known) and (known[np.minimum(place, len(known) - 1)] == wanted).any():
            raise Doubt


def _lots(users: pa.StringArray, params: DataParams) -> np.ndarray:
    """The split that each user may have plays held out for, as a place in SPLITS; 0 is none."""
    lot = hash_fraction(params.seed, users, salt=HOLDOUT_USERS)
    held = np.where(lot < params.validation_users, np.int8(1), np.int8(2))
    return np.where(lot < params.validation_users + params.test_users, held, np.int8(0))


def _split(part: Part, plays: Plays, held: np.ndarray, params: DataParams) -> dict[str, Part]:
    """Hold plays out, as `split.holdout_split` says."""
    rows = np.flatnonzero(held[part.users])
    users, tracks = part.users[rows], part.tracks[rows]
    ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
    draw = hash_fraction(params.seed, *ids, salt=HOLDOUT_PLAYS)
    order = np.lexsort((draw, users))  # stable, so that equal draws stay in the order of tracks
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(starts, append=len(users))
    wanted = np.maximum(np.floor(lengths * params.held_out + 0.5), 1).astype(np.int64)
    place = np.arange(len(users)) - np.repeat(starts, lengths)
    out = rows[order[place < np.repeat(np.minimum(lengths - 1, wanted), lengths)]]
    split = np.zeros(len(part.users), np.int8)
    split[out] = held[part.users[out]]
    return {name: part.rows(split == number) for number, name in enumerate(SPLITS)}


def _tables(part: Part, plays: Plays) -> Iterator[pa.Table]:
    for start in range(0, len(part.counts), ROW_GROUP):
        users, tracks, counts, _ = (column[start : start + ROW_GROUP] for column in part)
        ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
        yield pa.table([*ids, pa.array(counts)], SCHEMA)


def _tally(part: Part, plays: Plays) -> Tally:
    users, tracks = np.zeros(len(plays.users.ids), bool), np.zeros(len(plays.tracks.ids), bool)
    users[part.users] = tracks[part.tracks] = True
    usual = part.counts < _TYPICAL
    tallied = np.bincount(part.counts[usual])
    values, rows = np.unique(part.counts[~usual], return_counts=True)
    found = np.flatnonzero(tallied)
    histogram = Counter(dict(zip(found.tolist(), tallied[found].tolist(), strict=True)))
    histogram.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))
    return Tally(users, tracks, histogram, int(part.merged.sum()))


def _summary(plays: Plays, tallies: dict[str, list[Tally]], params: DataParams) -> dict[str, Any]:
    observed: dict[str, Any] = {"too_large": 0}
    for name, (start, stop) in plays.tables.items():
        observed[f"read {name}"] = stop - start
    contents = {}
    for name, found in tallies.items():
        observed[f"merged {name}"] = sum(tally.merged for tally in found)
        users, tracks = (np.logical_or.reduce(used) for used in list(zip(*found, strict=True))[:2])
        contents[name] = Contents(
            plays.users.ids.filter(pa.array(users)),
            plays.tracks.ids.filter(pa.array(tracks)),
            dict(sum((tally.histogram for tally in found), Counter())),
        )
    summary = merge_summary(observed, list(plays.tables), params)
    if params.protocol == "given":
        require_disjoint_users(contents, params)
    for name, described in describe_splits(contents).items():
        summary[name] = described | summary.get(name, {})
    if any(strangers(summary, params)):
        raise Doubt
    return summary
