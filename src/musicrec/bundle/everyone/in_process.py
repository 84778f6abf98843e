"""The best tracks of every user, in process: one row a user and track, in one Parquet file.

`musicrec.bundle.everyone.on_spark` makes the same file on executors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.bundle.answers import FACTORS, POPULARITY
from musicrec.bundle.choose import Chooser
from musicrec.bundle.ids import Ids
from musicrec.bundle.model import Model
from musicrec.bundle.wish import Wish, checked_wish
from musicrec.interactions.matrix import Interactions
from musicrec.storage.files import atomic_path
from musicrec.storage.parquet import ROW_GROUP, WRITING

USERS_A_BLOCK = 4096
SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "position": pa.int32(),  # from 1
        "track_id": pa.string(),
        "score": pa.float32(),
        "source": pa.string(),  # see musicrec.bundle.answers
    }
)


class Users(NamedTuple):
    """A block of users: their ids, factors (n, rank) and plays (n, n_items)."""

    ids: pa.Array
    factors: np.ndarray
    plays: Interactions


def recommend_all(
    model: Model,
    output: str | os.PathLike[str],
    k: int,
    exclude_seen: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the k best tracks of every user of a model, by the exact search.

    Rows are in the order of the users' index and of the lists. A user whose factor is zero gets
    the most popular tracks; one for whom nothing is left has no row. Memory is that of a row
    group, however many users there are.

    Parameters
    ----------
    output : path
        Parquet file to write (columns: `SCHEMA`), whole or not at all.
    on_progress : callable, optional
        Told how many of how many users are done.
    """
    wish = checked_wish(model.tracks, k, {"exclude_seen": exclude_seen})
    tracks = id_array(model.tracks)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, users in user_blocks(model):
            on_progress(start, len(model.users))
            yield lists_of(users, model.chooser, wish, tracks)

    with atomic_path(output) as temporary:
        write_rows(temporary, batches())
    on_progress(len(model.users), len(model.users))


def written(output: str | os.PathLike[str], n_users: int, k: int) -> str:
    """Say in a line what was written."""
    rows = pq.read_metadata(output).num_rows
    size = Path(output).stat().st_size
    columns = ", ".join(SCHEMA.names)
    return (
        f"{os.fspath(output)}: up to {k:,} tracks for each of {n_users:,} users, {rows:,} rows "
        f"({columns}), {size:,} bytes"
    )


def user_blocks(model: Model) -> Iterator[tuple[int, Users]]:
    """Cut the users into blocks; yields where each starts."""
    names = id_array(model.users)
    for start in range(0, len(names), USERS_A_BLOCK):
        rows = np.arange(start, min(start + USERS_A_BLOCK, len(names)))
        ids = names.slice(start, len(rows))
        yield start, Users(ids, model.user_factors[rows], model.plays.rows(rows))


def lists_of(users: Users, chooser: Chooser, wish: Wish, tracks: pa.Array) -> pa.RecordBatch:
    """Make the rows of a block of users."""
    found = chooser.many(users.factors, wish, users.plays)
    lengths = np.array([len(ids) for ids, _ in found], np.int64)
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1
    of_user = np.repeat(np.arange(len(found)), lengths)
    ids = np.concatenate([ids for ids, _ in found])
    has_factors = np.asarray(users.factors.any(axis=1), np.int8)
    source = pa.array([POPULARITY, FACTORS]).take(pa.array(has_factors[of_user]))
    columns = [
        users.ids.take(pa.array(of_user)),
        pa.array(positions.astype(np.int32)),
        tracks.take(pa.array(ids)),
        pa.array(np.concatenate([scores for _, scores in found])),
        source,
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def write_rows(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write one Parquet file, the same bytes for the same rows however these are cut."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    with pq.ParquetWriter(path, SCHEMA, **WRITING) as writer:
        for batch in batches:
            waiting.append(batch)
            count += len(batch)
            while count >= ROW_GROUP:
                table = pa.Table.from_batches(waiting, SCHEMA)
                writer.write_table(table.slice(0, ROW_GROUP).combine_chunks(), ROW_GROUP)
                waiting = table.slice(ROW_GROUP).to_batches()
                count -= ROW_GROUP
        if count:
            table = pa.Table.from_batches(waiting, SCHEMA).combine_chunks()
            writer.write_table(table, ROW_GROUP)


def id_array(ids: Ids) -> pa.Array:
    """All ids as an Arrow array."""
    offsets, text = pa.py_buffer(ids.arrays.starts), pa.py_buffer(ids.arrays.text)
    return pa.LargeStringArray.from_buffers(len(ids), offsets, text).cast(pa.string())
