"""Rows merged to one a user and track, and split, by NumPy in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.ingest.read.judge import Chunk
from musicrec.ingest.read.values import SECOND
from musicrec.ingest.split.protocol import (
    HOLDOUT_PLAYS,
    HOLDOUT_USERS,
    SPLITS,
    needs_whole_table,
    splits_of,
)
from musicrec.ingest.split.summary import Contents, Merged, Overlap, sum_too_large
from musicrec.interactions.coded import Coded, code_ids
from musicrec.interactions.hashing import hash_fraction, text_parts
from musicrec.jit.parallel import for_blocks
from musicrec.params import DataParams
from musicrec.storage.checksums import write_checksums
from musicrec.storage.parquet import PARTS, ROW_GROUP, plays_schema, write_rows

NONE = -1  # the split of plays that are left out
_TYPICAL = 1 << 16  # counts below are tallied by place, all others by sorting


class Plays(NamedTuple):
    """Rows, ids as codes.

    Attributes
    ----------
    users, tracks : Coded
    counts : int64 array (n), from 1
    times : int64 array (n), optional
        Microseconds; None where the column is not mapped.
    tables : dict
        Table -> bounds of its rows.
    """

    users: Coded
    tracks: Coded
    counts: np.ndarray
    times: np.ndarray | None
    tables: dict[str, tuple[int, int]]


class Part(NamedTuple):
    """Merged plays of the users of one part, ascending by user and track, each pair once.

    Attributes
    ----------
    users, tracks : int32 array (n)
        Codes.
    counts, times : int64 array (n)
        Sum, and the latest; all times are 0 where the column is not mapped.
    merged : int64 array (n)
        Source rows of each beyond the first.
    again : int64 array (n)
        Of these, rows of a time that another one has.
    """

    users: np.ndarray
    tracks: np.ndarray
    counts: np.ndarray
    times: np.ndarray
    merged: np.ndarray
    again: np.ndarray

    def rows(self, chosen: np.ndarray) -> Part:
        """The rows that are `chosen` (bool)."""
        return Part(*(column[chosen] for column in self))


class Usable(NamedTuple):
    """Which plays of a part pass the filters: bool (n).

    Attributes
    ----------
    kept : array
        Track and user have enough.
    known : array
        A training user has the track, or the user is one.
    """

    kept: np.ndarray
    known: np.ndarray


class _Outcome(NamedTuple):
    """What one part comes to."""

    contents: dict[str, tuple[np.ndarray, np.ndarray, Counter[int]]]
    merged: dict[str, int]
    merged_before: int  # anything was filtered
    again: int
    left_out: Counter[str]
    overlaps: list[Overlap]


def merge_in_memory(tables: dict[str, list[Chunk]], params: DataParams, folder: Path) -> Merged:
    """Merge and split the rows of tables, and write the splits.

    Parameters
    ----------
    tables : dict
        Table -> chunks; emptied.
    folder : Path
        Gets a folder of parts for each split that has rows.

    Raises
    ------
    MusicRecError
        Counts of a user and track sum to more than int64 holds.
    """
    plays = _coded(tables)
    timed = plays.times is not None
    part_of_user = text_parts(plays.users.ids, PARTS).astype(np.int8)
    held = np.zeros(len(plays.users.ids), np.int8)
    if params.protocol != "given":
        held = _held_out_users(plays.users.ids, params)
    for name in splits_of(params):
        (folder / name).mkdir()
    merged: list[dict[str, Part]] = [{} for _ in range(PARTS)]
    usable: list[Usable] | None = None
    outcomes: list[_Outcome | None] = [None] * PARTS

    def merge(start: int, stop: int) -> None:
        for number in range(start, stop):
            mine = part_of_user == number
            merged[number] = {name: _merged(plays, mine, name, params) for name in plays.tables}

    def write(start: int, stop: int) -> None:
        for number in range(start, stop):
            if usable is None:
                merge(number, number + 1)
            found, merged[number] = merged[number], {}
            passed = None if usable is None else usable[number]
            again = sum(int(part.again.sum()) for part in found.values())
            parts, left_out, overlaps = _split(found, plays, held, passed, params)
            kept = {name: int(part.merged.sum()) for name, part in parts.items()}
            before = sum(kept.values())
            if usable is not None:
                before = sum(int(part.merged.sum()) for part in found.values())
            outcomes[number] = _Outcome(
                _written(parts, plays, folder, number, timed=timed),
                kept, before, again, left_out, overlaps,
            )  # fmt: skip

    every = list(range(PARTS + 1))
    if needs_whole_table(params):  # a track counts its users in all parts
        for_blocks(merge, every)
        usable = _usable([found["plays"] for found in merged], plays, held, params)
    for_blocks(write, every)
    for name in splits_of(params):
        if any((folder / name).iterdir()):
            write_checksums(folder / name)
        else:
            (folder / name).rmdir()
    return _summed([one for one in outcomes if one is not None], plays, params)


def _coded(tables: dict[str, list[Chunk]]) -> Plays:
    bounds, end = {}, 0
    for name, chunks in tables.items():
        start, end = end, end + sum(len(chunk.counts) for chunk in chunks)
        bounds[name] = (start, end)
    chunks = [chunk for members in tables.values() for chunk in members]
    for members in tables.values():
        members.clear()
    users = code_ids([chunk.users for chunk in chunks])
    tracks = code_ids([chunk.tracks for chunk in chunks])
    counts = np.concatenate([chunk.counts for chunk in chunks])
    times = [chunk.times for chunk in chunks if chunk.times is not None]
    return Plays(users, tracks, counts, np.concatenate(times) if times else None, bounds)


def _held_out_users(users: pa.StringArray, params: DataParams) -> np.ndarray:
    """The split that each user may have plays held out for, as a place in SPLITS; 0 is none."""
    draw = hash_fraction(params.seed, users, salt=HOLDOUT_USERS)
    held = np.where(draw < params.validation_users, np.int8(1), np.int8(2))
    return np.where(draw < params.validation_users + params.test_users, held, np.int8(0))


def _merged(plays: Plays, mine: np.ndarray, table: str, params: DataParams) -> Part:
    """The rows of a table whose users are `mine` (bool, by code), merged."""
    start, stop = plays.tables[table]
    rows = start + np.flatnonzero(mine[plays.users.codes[start:stop]])
    width = len(plays.tracks.ids)
    key = plays.users.codes[rows].astype(np.int64) * width + plays.tracks.codes[rows]
    times = np.broadcast_to(np.int64(0), len(rows)) if plays.times is None else plays.times[rows]
    order = _order(key, times, plays, rows, params)
    key, times, counts = key[order], times[order], plays.counts[rows[order]]
    firsts = np.flatnonzero(np.diff(key, prepend=-1))
    merged = np.diff(firsts, append=len(key)) - 1
    again = np.zeros(len(firsts), np.int64)
    if len(firsts) < len(key):
        if plays.times is not None:
            same = (np.diff(key, prepend=-1) == 0) & (np.diff(times, prepend=times[0] - 1) == 0)
            again = np.add.reduceat(same.astype(np.int64), firsts)
            if params.same_listen == "once":
                counts = np.where(same, 0, counts)
        if counts.max() >= (2**63 - 1) // len(counts):  # a sum may be above int64
            _require_sums(key, counts, plays, params)
        key, counts = key[firsts], np.add.reduceat(counts, firsts)
        times = np.maximum.reduceat(times, firsts)
    users, tracks = np.divmod(key, width)
    return Part(users.astype(np.int32), tracks.astype(np.int32), counts, times, merged, again)


def _order(
    key: np.ndarray, times: np.ndarray, plays: Plays, rows: np.ndarray, params: DataParams
) -> np.ndarray:
    """Rows by user, track, time, and, of one listen sent twice, the largest count first."""
    if plays.times is None:
        return np.argsort(key)
    largest = (-plays.counts[rows],) if params.same_listen == "once" else ()
    return np.lexsort((*largest, times, key))


def _require_sums(key: np.ndarray, counts: np.ndarray, plays: Plays, params: DataParams) -> None:
    """Stop at a sum above int64; Python's numbers have no bound."""
    width = len(plays.tracks.ids)
    sums: dict[int, int] = {}
    repeated = np.flatnonzero((np.diff(key, prepend=-1) == 0) | (np.diff(key, append=-1) == 0))
    for place in repeated.tolist():
        sums[key[place]] = sums.get(key[place], 0) + int(counts[place])
    large = sorted(pair for pair, total in sums.items() if total >= 2**63)
    if large:
        user, track = divmod(int(large[0]), width)
        pair = plays.users.ids[user].as_py(), plays.tracks.ids[track].as_py()
        raise sum_too_large(len(large), pair, params)


def _usable(parts: list[Part], plays: Plays, held: np.ndarray, params: DataParams) -> list[Usable]:
    """Filter the merged plays of all parts."""
    n_tracks = len(plays.tracks.ids)
    users_of = np.zeros(n_tracks, np.int64)
    for part in parts:
        users_of += np.bincount(part.tracks, minlength=n_tracks)
    enough_users = users_of >= params.min_track_users
    kept = []
    in_training = np.zeros(n_tracks, bool)
    for part in parts:
        tracks_of = np.bincount(part.users[enough_users[part.tracks]], minlength=len(held))
        kept.append(enough_users[part.tracks] & (tracks_of >= params.min_user_plays)[part.users])
        in_training[part.tracks[kept[-1] & (held[part.users] == 0)]] = True
    if params.protocol != "strong_generalization":
        return [Usable(one, np.ones(len(one), bool)) for one in kept]
    return [
        Usable(one, in_training[part.tracks] | (held[part.users] == 0))
        for part, one in zip(parts, kept, strict=True)
    ]


def _split(
    tables: dict[str, Part],
    plays: Plays,
    held: np.ndarray,
    usable: Usable | None,
    params: DataParams,
) -> tuple[dict[str, Part], Counter[str], list[Overlap]]:
    """The splits of one part, what the filters leave out, and plays that training has too."""
    if params.protocol == "given":
        return _apart(tables, plays)
    part = tables["plays"]
    passed = np.ones(len(part.users), bool) if usable is None else usable.kept & usable.known
    found = split_of_rows(part, plays, held, passed, params)
    parts = {name: part.rows(found == place) for place, name in enumerate(splits_of(params))}
    left_out: Counter[str] = Counter()
    if usable is not None:
        kept, known = usable
        left_out["plays_filtered"] = int(np.count_nonzero(~kept))
        left_out["users_filtered"] = len(np.unique(part.users)) - len(np.unique(part.users[kept]))
        left_out["plays_of_unknown_tracks"] = int(np.count_nonzero(kept & ~known))
        left_out["plays_of_short_histories"] = int(np.count_nonzero(kept & known & (found == NONE)))
    return parts, left_out, []


def _apart(
    tables: dict[str, Part], plays: Plays
) -> tuple[dict[str, Part], Counter[str], list[Overlap]]:
    """Held-out plays without those that training has too."""
    width = len(plays.tracks.ids)
    train = tables["train"]
    known = train.users.astype(np.int64) * width + train.tracks
    parts, overlaps = {"train": train}, []
    for name in SPLITS[1:]:
        part = tables[name]
        both = np.isin(part.users.astype(np.int64) * width + part.tracks, known)
        if both.any():
            first = int(np.flatnonzero(both)[0])
            pair = plays.users.ids[part.users[first]], plays.tracks.ids[part.tracks[first]]
            rows = int((part.merged[both] + 1).sum())
            overlaps.append(Overlap(name, rows, (pair[0].as_py(), pair[1].as_py())))
            part = part.rows(~both)
        parts[name] = part
    return parts, Counter(), overlaps


def split_of_rows(
    part: Part, plays: Plays, held: np.ndarray, usable: np.ndarray, params: DataParams
) -> np.ndarray:
    """Hold plays out.

    Of the n usable plays of a held-out user, `held_out` n are held out (rounded; at least one,
    never all): the latest, then those with the lowest draw. With `holdout` the rest is for
    training; with `strong_generalization` it is what the user is folded in with, and users with a
    single play have no split.

    Parameters
    ----------
    held : int8 array
        Of `_held_out_users`.
    usable : bool array (n)
        Plays that are not are as if they were not there.

    Returns
    -------
    int8 array (n)
        The place of each play's split in `splits_of(params)`, or NONE.
    """
    rows = np.flatnonzero((held[part.users] > 0) & usable)
    users, tracks = part.users[rows], part.tracks[rows]
    ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
    draw = hash_fraction(params.seed, *ids, salt=HOLDOUT_PLAYS)
    # Stable, so that equal draws stay in the order of tracks.
    order = np.lexsort((draw, -part.times[rows], users))
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(starts, append=len(users))
    wanted = np.maximum(np.floor(lengths * params.held_out + 0.5), 1).astype(np.int64)
    rank = np.arange(len(users)) - np.repeat(starts, lengths)
    out = rows[order[rank < np.repeat(np.minimum(lengths - 1, wanted), lengths)]]
    found = np.where(usable, np.int8(0), np.int8(NONE))
    if params.protocol == "strong_generalization":
        history = held[users] + np.int8(len(SPLITS) - 1)
        found[rows] = np.where(np.repeat(lengths, lengths) > 1, history, np.int8(NONE))
    found[out] = held[part.users[out]]
    return found


def _written(
    parts: dict[str, Part], plays: Plays, folder: Path, number: int, *, timed: bool
) -> dict[str, tuple[np.ndarray, np.ndarray, Counter[int]]]:
    """Write a part of each split that has rows in it, and count what is in it."""
    found = {}
    for name, part in parts.items():
        if len(part.counts):
            path = folder / name / f"part-{number:05d}.parquet"
            write_rows(path, _tables(part, plays, timed=timed), plays_schema(timed=timed))
            users = np.zeros(len(plays.users.ids), bool)
            tracks = np.zeros(len(plays.tracks.ids), bool)
            users[part.users] = tracks[part.tracks] = True
            found[name] = users, tracks, _histogram(part.counts)
    return found


def _histogram(counts: np.ndarray) -> Counter[int]:
    usual = counts < _TYPICAL
    tallied = np.bincount(counts[usual])
    values, rows = np.unique(counts[~usual], return_counts=True)
    found = np.flatnonzero(tallied)
    histogram = Counter(dict(zip(found.tolist(), tallied[found].tolist(), strict=True)))
    histogram.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))
    return histogram


def _tables(part: Part, plays: Plays, *, timed: bool) -> Iterator[pa.Table]:
    schema = plays_schema(timed=timed)
    for start in range(0, len(part.counts), ROW_GROUP):
        users, tracks, counts, times = (c[start : start + ROW_GROUP] for c in part[:4])
        ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
        last = [pa.array(times // SECOND)] if timed else []
        yield pa.table([*ids, pa.array(counts), *last], schema)


def _summed(outcomes: list[_Outcome], plays: Plays, params: DataParams) -> Merged:
    contents = {}
    for name in splits_of(params):
        found = [one.contents[name] for one in outcomes if name in one.contents]
        if found:
            users, tracks = (
                np.logical_or.reduce(used) for used in list(zip(*found, strict=True))[:2]
            )
            contents[name] = Contents(
                plays.users.ids.filter(pa.array(users)),
                plays.tracks.ids.filter(pa.array(tracks)),
                dict(sum((histogram for *_, histogram in found), Counter())),
            )
    merged: Counter[str] = Counter()
    for one in outcomes:
        merged.update(one.merged)
    return Merged(
        contents,
        dict(merged),
        sum(one.merged_before for one in outcomes),
        sum(one.again for one in outcomes),
        dict(sum((one.left_out for one in outcomes), Counter())),
        [overlap for one in outcomes for overlap in one.overlaps],
    )
