"""Rows merged to one a user and track, and split: all at once, or one batch of users a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.values import MAX_COUNT, SECOND
from musicrec.ingest.split.protocol import HOLDOUT_PLAYS, HOLDOUT_USERS, Plan
from musicrec.ingest.split.summary import Contents, Merged, Overlap, histogram_of, together
from musicrec.interactions.id_columns import Coded, code_ids, hash_fraction, text_parts
from musicrec.jit.parallel import on_threads
from musicrec.params import DataParams
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import PARTS, ROW_GROUP, SPLITS, plays_schema, write_rows

T = TypeVar("T")
NONE = -1  # the split of plays that are left out


class CodedRows(NamedTuple):
    """Rows of a batch, ids as codes."""

    users: Coded
    tracks: Coded
    splits: np.ndarray | None  # int8, where rows are told apart: place in `Plan.splits`, or NONE
    counts: np.ndarray  # int64, from 1
    times: np.ndarray | None  # int64, microseconds, where the column is mapped


class Pairs(NamedTuple):
    """Merged rows of the users of one part, ascending by user, track and split, each once."""

    users: np.ndarray  # int32 codes
    tracks: np.ndarray
    splits: np.ndarray  # int8, of `CodedRows`; 0 where it has none
    counts: np.ndarray  # int64
    first: np.ndarray  # int64, microseconds; 0 where the column is not mapped
    last: np.ndarray
    merged: np.ndarray  # int32: rows of each beyond the first
    again: np.ndarray  # int64: of these, rows of a time that another one has

    def ids(self, rows: CodedRows, chosen: np.ndarray) -> list[pa.StringArray]:
        """Users and tracks of some pairs as texts."""
        return [
            rows.users.ids.take(pa.array(self.users[chosen])),
            rows.tracks.ids.take(pa.array(self.tracks[chosen])),
        ]


class UserBatch:
    """All rows of some parts of the users, in memory together, and their pairs, part by part.

    Parameters
    ----------
    parts : sequence of int
        Their numbers, as of `text_parts`.
    chunks : list of pyarrow.Table
        Rows of `check.CheckedRows`, with `table`, its number (int8); the list is emptied.
    """

    def __init__(self, parts: Sequence[int], chunks: list[pa.Table], plan: Plan) -> None:  # noqa: D107
        self.parts, self._plan = parts, plan
        self.rows = _coded_rows(chunks, plan)
        pa.default_memory_pool().release_unused()  # what reading took: merging is by NumPy
        self.held = _held_out_users(self.rows.users.ids, plan)
        self._part_of_user = text_parts(self.rows.users.ids, PARTS).astype(np.int8)
        self._merged: dict[int, Pairs] = {}

    def pairs(self, part: int) -> Pairs:
        """Merge the rows of a part; kept with the batch where a plan takes several passes."""
        found = self._merged.get(part)
        if found is None:
            found = _merged(self.rows, self._part_of_user == part, self._plan.params)
            if self._plan.needs_whole_table:
                self._merged[part] = found
        return found

    def map(self, work: Callable[[Pairs], T]) -> list[T]:
        """What `work` makes of the pairs of each part."""
        return on_threads(lambda part: work(self.pairs(part)), self.parts)

    def are(self, tracks: pa.Array) -> np.ndarray:
        """Whether each track, by code, is one of some: bool array."""
        found = pc.is_in(self.rows.tracks.ids, value_set=tracks)
        return np.asarray(found.to_numpy(zero_copy_only=False))


Batches = Callable[[], Iterable[UserBatch]]  # of the same rows each time


def merge(batches: Batches, plan: Plan, folder: Path) -> Merged:
    """Merge and split the rows of one batch after another; `folder` gets the splits.

    Raises
    ------
    MusicRecError
        Counts of a user and track sum to more than int64 holds.
    """
    filters = Filters(batches, plan)
    done: list[Merged] = []
    for batch in batches():
        parts = on_threads(partial(_write_part, batch, filters, plan, folder), batch.parts)
        done.append(_with_ids(together(parts, plan.splits), batch.rows))
    merged = together(done, plan.splits)
    for name in merged.contents:
        write_checksums(folder / name)
    return merged


def _write_part(batch: UserBatch, filters: Filters, plan: Plan, folder: Path, part: int) -> Merged:
    """Write one part of each split; its contents are codes."""
    pairs, rows = batch.pairs(part), batch.rows
    split, merged = _split(batch, pairs, filters, plan)
    schema = plays_schema(timed=rows.times is not None)
    for place, name in enumerate(plan.splits):
        here = np.flatnonzero(split == place)
        if len(here):
            path = folder / name / f"part-{part:05d}.parquet"
            path.parent.mkdir(exist_ok=True)
            write_rows(path, _tables(pairs, here, rows, schema), schema)
            users, tracks = (_distinct_codes(codes[here]) for codes in (pairs.users, pairs.tracks))
            counts = histogram_of(pa.array(pairs.counts[here]))
            merged.contents[name] = Contents(users, tracks, counts)
    return merged


def _distinct_codes(codes: np.ndarray) -> pa.Array:
    return pa.array(np.flatnonzero(np.bincount(codes)))


def _with_ids(merged: Merged, rows: CodedRows) -> Merged:
    """The contents of a batch as ids."""
    ids = rows.users.ids, rows.tracks.ids
    contents = {
        name: Contents(ids[0].take(users), ids[1].take(tracks), counts)
        for name, (users, tracks, counts) in merged.contents.items()
    }
    return merged._replace(contents=contents)


def merged_table(chunks: list[pa.Table], params: DataParams) -> pa.Table:
    """Merge the rows of one table, in the columns of `plays_schema`, by user and track."""
    rows = _coded_rows(chunks, Plan(params, ("train",), {}))
    pairs = _merged(rows, np.ones(len(rows.users.ids), bool), params)
    schema = plays_schema(timed=rows.times is not None)
    return pa.concat_tables(_tables(pairs, np.arange(len(pairs.users)), rows, schema))


def _coded_rows(chunks: list[pa.Table], plan: Plan) -> CodedRows:
    table = pa.concat_tables(chunks)
    chunks.clear()
    columns = dict(zip(table.column_names, table.columns, strict=True))
    del table  # each column is freed once it is coded or joined
    users, tracks = (code_ids(columns.pop(name).chunks) for name in ("user_id", "track_id"))
    counts = columns.pop("count").to_numpy()
    times = columns.pop("time").to_numpy() if "time" in columns else None
    splits = None
    if plan.windows and times is not None:
        splits = np.full(len(times), NONE, np.int8)
        for place, (start, stop) in enumerate(plan.windows.values()):
            splits[(times >= start) & (times < stop)] = place
    elif not plan.drawn:
        splits = columns["table"].to_numpy()
    return CodedRows(users, tracks, splits, counts, times)


def _held_out_users(users: pa.StringArray, plan: Plan) -> np.ndarray:
    """The split that each user may have plays held out for, as a place in SPLITS; 0 is none."""
    if not plan.drawn:
        return np.zeros(len(users), np.int8)
    params = plan.params
    draw = hash_fraction(params.seed, users, salt=HOLDOUT_USERS)
    held = np.where(draw < params.validation_users, np.int8(1), np.int8(2))
    return np.where(draw < params.validation_users + params.test_users, held, np.int8(0))


def _changes(ascending: np.ndarray) -> np.ndarray:
    """Which values differ from the one before: bool (n), of the first too."""
    found = np.ones(len(ascending), bool)
    np.not_equal(ascending[1:], ascending[:-1], out=found[1:])
    return found


def _merged(rows: CodedRows, mine: np.ndarray, params: DataParams) -> Pairs:
    """The rows whose users are `mine` (bool, by code), merged."""
    here = mine[rows.users.codes]
    width, n_splits = len(rows.tracks.ids), 1
    if rows.splits is not None:
        here &= rows.splits != NONE
        n_splits = int(rows.splits.max()) + 1
    key = rows.users.codes[here].astype(np.int64)
    key *= width
    key += rows.tracks.codes[here]
    if rows.splits is not None:
        key *= n_splits
        key += rows.splits[here]
    counts = rows.counts[here]
    if rows.times is None:
        order = np.argsort(key, kind="stable")  # quicker where plays of a user stand together
    else:  # and, of one listen sent twice, the largest count first
        times = rows.times[here]
        order = np.lexsort((*((-counts,) if params.same_listen == "once" else ()), times, key))
        times = times[order]
    key, counts = key[order], counts[order]
    del order, here
    new = _changes(key)
    starts = np.flatnonzero(new)
    merged = np.diff(starts, append=len(key)).astype(np.int32) - 1
    first = last = again = np.broadcast_to(np.int64(0), len(starts))
    if rows.times is not None:
        first, last = times[starts], times[starts + merged]
    if len(starts) < len(key):
        if rows.times is not None:
            same = ~(new | _changes(times))
            again = np.add.reduceat(same.astype(np.int64), starts)
            if params.same_listen == "once":
                counts[same] = 0
        if counts.max() >= MAX_COUNT // len(counts):  # a sum may be above int64
            _require_sums(key[starts] // n_splits, counts, starts, rows, params)
        counts = np.add.reduceat(counts, starts)
    key = key[starts]
    del starts, new
    splits = np.broadcast_to(np.int8(0), len(key))
    if n_splits > 1:
        splits = (key % n_splits).astype(np.int8)
        key //= n_splits
    users, tracks = (key // width).astype(np.int32), (key % width).astype(np.int32)
    return Pairs(users, tracks, splits, counts, first, last, merged, again)


def _require_sums(
    pairs: np.ndarray, counts: np.ndarray, starts: np.ndarray, rows: CodedRows, params: DataParams
) -> None:
    """Stop at a sum above int64; Python's numbers have no bound."""
    sums = np.add.reduceat(counts.astype(object), starts)
    large = pairs[(sums > MAX_COUNT).astype(bool)]
    if len(large):
        user, track = divmod(int(large[0]), len(rows.tracks.ids))
        raise MusicRecError(
            f"{params.source}: column {params.columns.count!r}: the counts of user "
            f"{rows.users.ids[user].as_py()!r} and track {rows.tracks.ids[track].as_py()!r} sum to "
            f"more than {MAX_COUNT}; fix the source"
        )


class Filters:
    """Which plays count, where that follows from the whole table: of all parts of the users.

    A track needs `data.min_track_users`, then a user `data.min_user_plays`, and with
    `strong_generalization` a held-out user's track a training user.
    """

    def __init__(self, batches: Batches, plan: Plan) -> None:
        """Count over all batches, twice at most; with `temporal`, training plays alone."""
        self._params, self._enough, self._trained = plan.params, None, None
        if plan.params.min_track_users > 1:
            counts = pa.concat_tables(map(_users_of_tracks, batches()))
            users = counts.group_by("track").aggregate([("users", "sum")])
            enough = pc.greater_equal(users["users_sum"], plan.params.min_track_users)
            self._enough = users["track"].filter(enough).combine_chunks()
        if plan.params.protocol == "strong_generalization":
            trained = [
                tracks
                for batch in batches()
                for tracks in batch.map(partial(self._in_training, batch))
            ]
            self._trained = pc.unique(pa.chunked_array(trained))

    def _in_training(self, batch: UserBatch, pairs: Pairs) -> pa.StringArray:
        """Tracks that users who are not held out keep."""
        here = self.passed(batch, pairs)[0] & (batch.held[pairs.users] == 0)
        return batch.rows.tracks.ids.take(_distinct_codes(pairs.tracks[here]))

    def passed(self, batch: UserBatch, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """Filter the pairs of a part, with `temporal` by its training plays.

        Returns
        -------
        kept, known : bool arrays (n)
            Whether track and user have enough; whether a held-out user's track is in training.
        """
        kept = known = np.ones(len(pairs.users), bool)
        if self._enough is not None:
            kept = batch.are(self._enough)[pairs.tracks]
        if self._params.min_user_plays > 1:
            counted = pairs.users[kept & (pairs.splits == 0)]
            tracks_of = np.bincount(counted, minlength=len(batch.held))
            kept = kept & (tracks_of >= self._params.min_user_plays)[pairs.users]
        if self._trained is not None:
            known = batch.are(self._trained)[pairs.tracks] | (batch.held[pairs.users] == 0)
        return kept, known


def _users_of_tracks(batch: UserBatch) -> pa.Table:
    """Tracks of a batch with the number of their users in training."""
    ids = batch.rows.tracks.ids
    counts = batch.map(
        lambda pairs: np.bincount(pairs.tracks[pairs.splits == 0], minlength=len(ids))
    )
    return pa.table({"track": ids, "users": sum(counts)})


def _split(
    batch: UserBatch, pairs: Pairs, filters: Filters, plan: Plan
) -> tuple[np.ndarray, Merged]:
    """The split of each pair (a place in `Plan.splits`, or NONE), and what is left out."""
    kept, known = filters.passed(batch, pairs)
    found, numbers = pairs.splits, Counter[str]()
    numbers["rows"] = len(found) + int(pairs.merged.sum())
    numbers["again"] = int(pairs.again.sum())
    numbers["merged"] = int(pairs.merged.sum())
    if plan.needs_whole_table:
        numbers["plays_filtered"] = int(np.count_nonzero(~kept))
        numbers["users_filtered"] = _distinct(pairs.users) - _distinct(pairs.users[kept])
        numbers["plays_of_unknown_tracks"] = int(np.count_nonzero(kept & ~known))
    overlaps: list[Overlap] = []
    if plan.drawn:
        found = _drawn_splits(pairs, batch, kept & known, plan.params)
        numbers["plays_of_short_histories"] = int(np.count_nonzero(kept & known & (found == NONE)))
    elif plan.windows:
        trained = np.bincount(pairs.users[kept & (found == 0)], minlength=len(batch.held)) > 0
        new = kept & ~trained[pairs.users]
        numbers["plays_without_history"] = int(np.count_nonzero(new))
        numbers["users_without_history"] = _distinct(pairs.users[new])
        found = np.where(kept & ~new, found, np.int8(NONE))
    else:
        overlap = _overlap(pairs, plan)
        found = np.where(overlap, np.int8(NONE), found)
        numbers["merged"] -= int(pairs.merged[overlap].sum())
        for place, name in enumerate(plan.splits):
            here = np.flatnonzero(overlap & (pairs.splits == place))
            if len(here):
                user, track = (ids[0].as_py() for ids in pairs.ids(batch.rows, here[:1]))
                n = int((pairs.merged[here] + 1).sum())
                overlaps.append((name, n, (user, track)))
    for place, name in enumerate(plan.splits):
        numbers[f"merged {name}"] = int(pairs.merged[found == place].sum())
    return found, Merged({}, numbers, overlaps)


def _distinct(ascending: np.ndarray) -> int:
    return int(np.count_nonzero(_changes(ascending)))


def _overlap(pairs: Pairs, plan: Plan) -> np.ndarray:
    """Held-out pairs that training, or what the user is folded in with, has too: bool (n)."""
    starts = np.flatnonzero(_changes(pairs.users) | _changes(pairs.tracks))
    there = np.bitwise_or.reduceat(1 << pairs.splits.astype(np.int64), starts)
    there = np.repeat(there, np.diff(starts, append=len(pairs.users)))
    return (there & np.array(plan.known)[pairs.splits]) > 0


def _drawn_splits(
    pairs: Pairs, batch: UserBatch, usable: np.ndarray, params: DataParams
) -> np.ndarray:
    """Hold plays out: the place of each play's split in `Plan.splits`, or NONE: int8 (n).

    Of the n usable plays of a held-out user, `held_out` n are held out (rounded; at least one,
    never all): the latest, then those with the lowest draw. The rest is for training, or a history
    (`strong_generalization`; a single play has no split).
    """
    held = batch.held
    chosen = np.flatnonzero((held[pairs.users] > 0) & usable)
    users = pairs.users[chosen]
    draw = hash_fraction(params.seed, *pairs.ids(batch.rows, chosen), salt=HOLDOUT_PLAYS)
    times = getattr(pairs, params.held_out_by)[chosen]
    # Stable, so that equal draws stay in the order of tracks.
    order = np.lexsort((draw, -times, users))
    starts = np.flatnonzero(_changes(users))
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


def _tables(
    pairs: Pairs, chosen: np.ndarray, rows: CodedRows, schema: pa.Schema
) -> Iterator[pa.Table]:
    for start in range(0, len(chosen), ROW_GROUP):
        here = chosen[start : start + ROW_GROUP]
        last = pa.array(pairs.last[here] // SECOND)
        columns = [*pairs.ids(rows, here), pa.array(pairs.counts[here]), last]
        yield pa.table(columns[: len(schema)], schema)
