"""Rows merged to one a user and track, and split, by NumPy in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.ingest.read.judge import Chunk
from musicrec.ingest.read.values import SECOND
from musicrec.ingest.split.protocol import (
    HOLDOUT_PLAYS,
    HOLDOUT_USERS,
    Plan,
    needs_whole_table,
)
from musicrec.ingest.split.summary import Contents, Merged, Overlap, histogram_of, sum_too_large
from musicrec.interactions.coded import Coded, code_ids
from musicrec.interactions.hashing import hash_fraction, text_parts
from musicrec.jit.parallel import on_threads
from musicrec.params import DataParams
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import PARTS, ROW_GROUP, SPLITS, plays_schema, write_rows

NONE = -1  # the split of plays that are left out


class Rows(NamedTuple):
    """Rows of all files, ids as codes.

    Attributes
    ----------
    users, tracks : Coded
    splits : int8 array (n), optional
        Place in `Plan.splits`, or NONE, where rows are told apart before they are merged.
    counts : int64 array (n), from 1
    times : int64 array (n), optional
        Microseconds; None where the column is not mapped.
    """

    users: Coded
    tracks: Coded
    splits: np.ndarray | None
    counts: np.ndarray
    times: np.ndarray | None


class Pairs(NamedTuple):
    """Merged rows of the users of one part, ascending by user, track and split, each once.

    Attributes
    ----------
    users, tracks : int32 array (n)
        Codes.
    splits : int8 array (n)
        Of `Rows`; 0 where it has none.
    counts : int64 array (n)
    first, last : int64 array (n)
        Microseconds; 0 where the column is not mapped.
    merged : int64 array (n)
        Rows of each beyond the first.
    again : int64 array (n)
        Of these, rows of a time that another one has.
    """

    users: np.ndarray
    tracks: np.ndarray
    splits: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    last: np.ndarray
    merged: np.ndarray
    again: np.ndarray


Usable = tuple[np.ndarray, np.ndarray]  # pairs whose track and user have enough; of known tracks
# Of one part and split: who has rows, users and tracks (bool, by code); how many of each count.
Used = tuple[np.ndarray, np.ndarray, pa.StructArray]
Done = tuple[dict[str, Used], Counter[str], list[Overlap]]


def merge_in_memory(tables: dict[str, list[Chunk]], plan: Plan, folder: Path) -> Merged:
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
    rows = _rows(tables, plan)
    part_of_user = text_parts(rows.users.ids, PARTS).astype(np.int8)
    held = _held_out_users(rows.users.ids, plan)
    for name in plan.splits:
        (folder / name).mkdir()
    whole: dict[int, tuple[Pairs, Usable]] = {}

    def merge(number: int) -> Pairs:
        return _merged(rows, part_of_user == number, plan.params)

    def write(number: int) -> Done:
        pairs, usable = whole.pop(number, None) or (merge(number), None)
        split, left_out, overlaps = _split(pairs, rows, held, usable, plan)
        return _written(pairs, split, rows, folder, plan, number), left_out, overlaps

    if needs_whole_table(plan.params):  # a track counts its users in all parts
        parts = on_threads(merge, range(PARTS))
        usable = _usable(parts, rows, held, plan.params)
        whole = {number: (parts[number], one) for number, one in enumerate(usable)}
        del parts
    done = on_threads(write, range(PARTS))
    for name in plan.splits:
        if any((folder / name).iterdir()):
            write_checksums(folder / name)
        else:
            (folder / name).rmdir()
    contents = {}
    for name in [name for name in plan.splits if (folder / name).is_dir()]:
        users, tracks, counts = zip(*(one[name] for one, *_ in done if name in one), strict=True)
        contents[name] = Contents(
            rows.users.ids.filter(pa.array(np.logical_or.reduce(users))),
            rows.tracks.ids.filter(pa.array(np.logical_or.reduce(tracks))),
            histogram_of(counts),
        )
    numbers = sum((counted for _, counted, _ in done), Counter())
    return Merged(contents, numbers, [overlap for *_, some in done for overlap in some])


def merged_table(chunks: list[Chunk], params: DataParams) -> pa.Table:
    """Merge the rows of one table, in the columns of `plays_schema`, by user and track."""
    rows = _rows({"plays": chunks}, Plan(params, ("train",), {}))
    pairs = _merged(rows, np.ones(len(rows.users.ids), bool), params)
    columns = [
        rows.users.ids.take(pa.array(pairs.users)),
        rows.tracks.ids.take(pa.array(pairs.tracks)),
        pa.array(pairs.counts),
    ]
    timed = rows.times is not None
    columns += [pa.array(pairs.last // SECOND)] if timed else []
    return pa.table(columns, plays_schema(timed=timed))


def _rows(tables: dict[str, list[Chunk]], plan: Plan) -> Rows:
    lengths = [sum(len(chunk.counts) for chunk in chunks) for chunks in tables.values()]
    chunks = [chunk for members in tables.values() for chunk in members]
    for members in tables.values():
        members.clear()
    users = code_ids([chunk.users for chunk in chunks])
    tracks = code_ids([chunk.tracks for chunk in chunks])
    counts = np.concatenate([chunk.counts for chunk in chunks])
    timed = [chunk.times for chunk in chunks if chunk.times is not None]
    times = np.concatenate(timed) if timed else None
    splits = None
    if plan.windows and times is not None:
        splits = np.full(len(times), NONE, np.int8)
        for place, (start, stop) in enumerate(plan.windows.values()):
            splits[(times >= start) & (times < stop)] = place
    elif len(lengths) > 1:
        splits = np.repeat(np.arange(len(lengths), dtype=np.int8), lengths)
    return Rows(users, tracks, splits, counts, times)


def _held_out_users(users: pa.StringArray, plan: Plan) -> np.ndarray:
    """The split that each user may have plays held out for, as a place in SPLITS; 0 is none."""
    if not plan.drawn:
        return np.zeros(len(users), np.int8)
    params = plan.params
    draw = hash_fraction(params.seed, users, salt=HOLDOUT_USERS)
    held = np.where(draw < params.validation_users, np.int8(1), np.int8(2))
    return np.where(draw < params.validation_users + params.test_users, held, np.int8(0))


def _merged(rows: Rows, mine: np.ndarray, params: DataParams) -> Pairs:
    """The rows whose users are `mine` (bool, by code), merged."""
    here = mine[rows.users.codes]
    if rows.splits is not None:
        here &= rows.splits != NONE
    chosen = np.flatnonzero(here)
    width = len(rows.tracks.ids)
    key = rows.users.codes[chosen].astype(np.int64) * width + rows.tracks.codes[chosen]
    n_splits = 1
    if rows.splits is not None:
        n_splits = int(rows.splits.max()) + 1
        key = key * n_splits + rows.splits[chosen]
    times = np.broadcast_to(np.int64(0), len(chosen)) if rows.times is None else rows.times[chosen]
    order = _order(key, times, rows, chosen, params)
    key, times, counts = key[order], times[order], rows.counts[chosen[order]]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    lengths = np.diff(starts, append=len(key))
    again = np.zeros(len(starts), np.int64)
    first = last = times[starts]
    if len(starts) < len(key):
        if rows.times is not None:
            same = (np.diff(key, prepend=-1) == 0) & (np.diff(times, prepend=times[0] - 1) == 0)
            again = np.add.reduceat(same.astype(np.int64), starts)
            if params.same_listen == "once":
                counts = np.where(same, 0, counts)
        if counts.max() >= (2**63 - 1) // len(counts):  # a sum may be above int64
            _require_sums(key[starts] // n_splits, counts, starts, rows, params)
        counts = np.add.reduceat(counts, starts)
        last = times[starts + lengths - 1]
    pair, split = (key[starts], 0) if n_splits == 1 else np.divmod(key[starts], n_splits)
    users, tracks = np.divmod(pair, width)
    splits = np.broadcast_to(np.int8(split), len(pair)) if n_splits == 1 else split.astype(np.int8)
    return Pairs(
        users.astype(np.int32), tracks.astype(np.int32), splits, counts, first, last, lengths - 1,
        again,
    )  # fmt: skip


def _order(
    key: np.ndarray, times: np.ndarray, rows: Rows, chosen: np.ndarray, params: DataParams
) -> np.ndarray:
    """Rows by user, track, split, time, and, of one listen sent twice, the largest count first."""
    if rows.times is None:
        return np.argsort(key)
    largest = (-rows.counts[chosen],) if params.same_listen == "once" else ()
    return np.lexsort((*largest, times, key))


def _require_sums(
    pairs: np.ndarray, counts: np.ndarray, starts: np.ndarray, rows: Rows, params: DataParams
) -> None:
    """Stop at a sum above int64; Python's numbers have no bound."""
    sums = np.add.reduceat(counts.astype(object), starts)
    large = pairs[(sums >= 2**63).astype(bool)]
    if len(large):
        user, track = divmod(int(large[0]), len(rows.tracks.ids))
        first = rows.users.ids[user].as_py(), rows.tracks.ids[track].as_py()
        raise sum_too_large(len(large), first, params)


def _usable(
    parts: list[Pairs], rows: Rows, held: np.ndarray, params: DataParams
) -> Iterator[Usable]:
    """Filter the pairs of all parts, by those of training where it is apart.

    Yields
    ------
    kept, known : bool arrays (n)
        Track and user have enough; a training user has the track, or the user is one.
    """
    n_tracks = len(rows.tracks.ids)
    users_of = np.zeros(n_tracks, np.int64)
    for part in parts:
        users_of += np.bincount(part.tracks[part.splits == 0], minlength=n_tracks)
    enough_users = (users_of >= params.min_track_users) | (params.min_track_users == 1)
    kept = []
    in_training = np.zeros(n_tracks, bool)
    for part in parts:
        counted = part.users[enough_users[part.tracks] & (part.splits == 0)]
        tracks_of = np.bincount(counted, minlength=len(held))
        enough = (tracks_of >= params.min_user_plays) | (params.min_user_plays == 1)
        kept.append(enough_users[part.tracks] & enough[part.users])
        in_training[part.tracks[kept[-1] & (held[part.users] == 0)]] = True
    strong = params.protocol == "strong_generalization"
    for part, one in zip(parts, kept, strict=True):
        known = in_training[part.tracks] | (held[part.users] == 0) | (not strong)
        yield one, known


def _split(
    pairs: Pairs, rows: Rows, held: np.ndarray, usable: Usable | None, plan: Plan
) -> tuple[np.ndarray, Counter[str], list[Overlap]]:
    """The split of each pair (a place in `Plan.splits`, or NONE), and what is left out."""
    kept, known = usable or (np.ones(len(pairs.users), bool),) * 2
    numbers: Counter[str] = Counter(again=int(pairs.again.sum()))
    if usable is not None:
        numbers["plays_filtered"] = int(np.count_nonzero(~kept))
        numbers["users_filtered"] = _distinct(pairs.users) - _distinct(pairs.users[kept])
        numbers["plays_of_unknown_tracks"] = int(np.count_nonzero(kept & ~known))
    overlaps: list[Overlap] = []
    overlap = np.zeros(len(kept), bool)
    if plan.drawn:
        found = split_of_pairs(pairs, rows, held, kept & known, plan.params)
        numbers["plays_of_short_histories"] = int(np.count_nonzero(kept & known & (found == NONE)))
    elif plan.windows:
        trained = np.bincount(pairs.users[kept & (pairs.splits == 0)], minlength=len(held)) > 0
        new = kept & ~trained[pairs.users]
        numbers["plays_without_history"] = int(np.count_nonzero(new))
        numbers["users_without_history"] = _distinct(pairs.users[new])
        found = np.where(kept & ~new, pairs.splits, np.int8(NONE))
    else:
        overlap = _overlap(pairs, plan)
        found = np.where(overlap, np.int8(NONE), pairs.splits)
        overlaps = list(_overlaps(pairs, overlap, rows, plan))
    numbers["merged"] = int(pairs.merged[~overlap].sum())
    for place, name in enumerate(plan.splits):
        numbers[f"merged {name}"] = int(pairs.merged[found == place].sum())
    return found, numbers, overlaps


def _distinct(ascending: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(ascending, prepend=-1)))


def _overlap(pairs: Pairs, plan: Plan) -> np.ndarray:
    """Held-out pairs that training, or what the user is folded in with, has too: bool (n)."""
    same = (np.diff(pairs.users, prepend=-1) == 0) & (np.diff(pairs.tracks, prepend=-1) == 0)
    starts = np.flatnonzero(~same)
    there = np.bitwise_or.reduceat(1 << pairs.splits.astype(np.int64), starts)
    known = np.array([plan.known(name) if name in SPLITS[1:] else 0 for name in plan.splits])
    return (np.repeat(there, np.diff(starts, append=len(same))) & known[pairs.splits]) > 0


def _overlaps(pairs: Pairs, overlap: np.ndarray, rows: Rows, plan: Plan) -> Iterator[Overlap]:
    for place, name in enumerate(plan.splits):
        here = np.flatnonzero(overlap & (pairs.splits == place))
        if len(here):
            user, track = (
                rows.users.ids[pairs.users[here[0]]],
                rows.tracks.ids[pairs.tracks[here[0]]],
            )
            yield Overlap(name, int((pairs.merged[here] + 1).sum()), (user.as_py(), track.as_py()))


def split_of_pairs(
    pairs: Pairs, rows: Rows, held: np.ndarray, usable: np.ndarray, params: DataParams
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
        The place of each play's split in `Plan.splits`, or NONE.
    """
    chosen = np.flatnonzero((held[pairs.users] > 0) & usable)
    users, tracks = pairs.users[chosen], pairs.tracks[chosen]
    ids = rows.users.ids.take(pa.array(users)), rows.tracks.ids.take(pa.array(tracks))
    draw = hash_fraction(params.seed, *ids, salt=HOLDOUT_PLAYS)
    times = getattr(pairs, params.held_out_by)[chosen]
    # Stable, so that equal draws stay in the order of tracks.
    order = np.lexsort((draw, -times, users))
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(starts, append=len(users))
    wanted = np.maximum(np.floor(lengths * params.held_out + 0.5), 1).astype(np.int64)
    rank = np.arange(len(users)) - np.repeat(starts, lengths)
    out = chosen[order[rank < np.repeat(np.minimum(lengths - 1, wanted), lengths)]]
    found = np.where(usable, np.int8(0), np.int8(NONE))
    if params.protocol == "strong_generalization":
        history = held[users] + np.int8(len(SPLITS) - 1)
        found[chosen] = np.where(np.repeat(lengths, lengths) > 1, history, np.int8(NONE))
    found[out] = held[pairs.users[out]]
    return found


def _written(
    pairs: Pairs, split: np.ndarray, rows: Rows, folder: Path, plan: Plan, number: int
) -> dict[str, Used]:
    """Write a part of each split that has rows in it; returns what has rows."""
    found = {}
    for place, name in enumerate(plan.splits):
        here = np.flatnonzero(split == place)
        if len(here):
            path = folder / name / f"part-{number:05d}.parquet"
            schema = plays_schema(timed=rows.times is not None)
            write_rows(path, _tables(pairs, here, rows, schema), schema)
            users, tracks = (np.zeros(len(ids), bool) for _, ids in (rows.users, rows.tracks))
            users[pairs.users[here]] = tracks[pairs.tracks[here]] = True
            found[name] = users, tracks, pc.value_counts(pa.array(pairs.counts[here]))
    return found


def _tables(pairs: Pairs, chosen: np.ndarray, rows: Rows, schema: pa.Schema) -> Iterator[pa.Table]:
    for start in range(0, len(chosen), ROW_GROUP):
        here = chosen[start : start + ROW_GROUP]
        columns = [
            rows.users.ids.take(pa.array(pairs.users[here])),
            rows.tracks.ids.take(pa.array(pairs.tracks[here])),
            pa.array(pairs.counts[here]),
            pa.array(pairs.last[here] // SECOND),
        ]
        yield pa.table(columns[: len(schema)], schema)
