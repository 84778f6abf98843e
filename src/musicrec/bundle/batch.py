"""The best tracks of every user, one row a user and track, in one Parquet file.

In process or on Spark's executors, with the same bytes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.bundle.query import FACTORS, POPULARITY, Query
from musicrec.bundle.recommend import Recommender
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import using_threads
from musicrec.runtime import progress, scratch_directory
from musicrec.search.exact import ExactIndex
from musicrec.storage.parquet import LAST_PLAYED, READING, write_rows

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import SparkSession

    from musicrec.bundle.bundle import Bundle

USERS_A_BLOCK = 4096
SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "position": pa.int32(),  # from 1
        "track_id": pa.string(),
        "score": pa.float32(),
        "source": pa.string(),  # factors or popularity
    }
)
SPARK_SCHEMA = "user_id string, position int, track_id string, score float, source string"


class Users(NamedTuple):
    """A block of users: their ids, factors (n, rank) and what they must not get (n, n_items)."""

    ids: pa.Array
    factors: np.ndarray
    excluded: Interactions


class Request(NamedTuple):
    """What is asked: a query of `Bundle.query`, of which users (their indices; default all).

    `exclusions` (n_users, n_items) are tracks that each must not get, beside those played.
    """

    query: Query
    users: np.ndarray | None = None
    exclusions: Interactions | None = None


def recommend_all(model: Bundle, output: str | os.PathLike[str], request: Request) -> None:
    """Write the best tracks of every user of a model, or of those asked for, to a Parquet file.

    Columns are those of `SCHEMA`, and `last_played` (int64, seconds UTC; null for tracks not
    played) where the plays of the bundle have times. Rows are in the order of the users and of the
    lists. A user whose factor is zero gets the most popular tracks; one for whom nothing is left
    has no row. Memory is that of a row group, however many users there are.
    """
    tracks, query = model.tracks.to_arrow(), request.query
    total = len(model.users) if request.users is None else len(request.users)
    recommender = model.recommender.among(query, total)

    def tables() -> Iterator[pa.Table]:
        for start, users in _user_blocks(model, request):
            progress(f"recommended to {start:,} of {total:,} users")
            yield _lists(users, recommender, query, tracks)

    _write(model, output, tables())


def recommend_all_on_spark(
    spark: SparkSession, model: Bundle, output: str | os.PathLike[str], request: Request
) -> None:
    """Write the same file as `recommend_all` on Spark's executors.

    Item factors are broadcast, users and their plays travel once to an executor each, and nothing
    is shuffled. On a cluster the executors must write to the output's folder as well.
    """
    from musicrec.spark.java import readable_errors
    from musicrec.spark.session import local_uri, package_shipped

    importlib.import_module("pandas")  # which Spark's mapInArrow asks for
    exact, query = ExactIndex(model.item_factors), request.query
    recommender = Recommender(exact, None, model.arrays["listeners"], model.groups).among(query)
    target = Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        scratch_directory(".recommend-", target.parent) as folder,
        readable_errors("recommend --all"),
        package_shipped(spark),
    ):
        broadcast = spark.sparkContext.broadcast((recommender, query, model.tracks.to_arrow()))
        users = pa.Table.from_batches(_packed(block) for _, block in _user_blocks(model, request))
        scratch = folder / "rows"
        lists = spark.createDataFrame(users).mapInArrow(
            lambda batches: _on_executor(broadcast, batches), SPARK_SCHEMA
        )
        lists.write.option("compression", "snappy").parquet(local_uri(scratch))
        _write(model, target, _rows(scratch))
        broadcast.destroy()


def _user_blocks(model: Bundle, request: Request) -> Iterator[tuple[int, Users]]:
    """Cut the users into blocks; yields where each starts."""
    names = model.users.to_arrow()
    users = np.arange(len(names)) if request.users is None else request.users
    for start in range(0, len(users), USERS_A_BLOCK):
        rows = users[start : start + USERS_A_BLOCK]
        banned = model.excluded(request.query, rows, request.exclusions)
        yield start, Users(names.take(pa.array(rows)), model.user_factors[rows], banned)


def _write(model: Bundle, output: str | os.PathLike[str], tables: Iterable[pa.Table]) -> None:
    """Write rows, with the times of last plays where the bundle has them."""

    def timed(table: pa.Table) -> pa.Table:
        users = model.users.positions(table.column("user_id").combine_chunks())
        items = model.tracks.positions(table.column("track_id").combine_chunks())
        return table.append_column(LAST_PLAYED, pa.array(model.times_of(users, items), pa.int64()))

    if model.timed:
        write_rows(output, map(timed, tables), SCHEMA.append(LAST_PLAYED))
    else:
        write_rows(output, tables, SCHEMA)


def _lists(users: Users, recommender: Recommender, query: Query, tracks: pa.Array) -> pa.Table:
    """Make the rows of a block of users."""
    found = recommender.many(users.factors, query, users.excluded)
    lengths = np.array([len(ids) for ids, _ in found], np.int64)
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1
    of_user = np.repeat(np.arange(len(found)), lengths)
    has_factors = np.asarray(users.factors.any(axis=1), np.int8)
    columns = [
        users.ids.take(pa.array(of_user)),
        pa.array(positions.astype(np.int32)),
        tracks.take(pa.array(np.concatenate([ids for ids, _ in found]))),
        pa.array(np.concatenate([scores for _, scores in found])),
        pa.array([POPULARITY, FACTORS]).take(pa.array(has_factors[of_user])),
    ]
    return pa.table(columns, schema=SCHEMA)


def _on_executor(
    broadcast: Broadcast[Any], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """What an executor does with its users; its process unpacks the broadcast once."""
    recommender, query, tracks = broadcast.value
    for batch in batches:
        with using_threads(1):  # Spark runs a process on each core
            found = _lists(_unpacked(batch, len(tracks)), recommender, query, tracks)
        yield from found.to_batches()


def _packed(users: Users) -> pa.RecordBatch:
    """Users as columns that Spark takes."""
    n, rank = users.factors.shape
    starts = np.arange(0, (n + 1) * rank, rank, dtype=np.int32)
    indptr, indices = users.excluded.indptr.astype(np.int32), users.excluded.indices
    columns = {
        "user_id": users.ids,
        "factors": pa.ListArray.from_arrays(starts, users.factors.ravel()),
        "excluded": pa.ListArray.from_arrays(indptr, indices),
    }
    return pa.record_batch(columns)


def _unpacked(batch: pa.RecordBatch, n_items: int) -> Users:
    """Users as `_packed` was given them."""
    factors, rows = batch.column("factors").flatten().to_numpy(), batch.column("excluded")
    indptr = np.concatenate(([0], np.cumsum(rows.value_lengths().to_numpy())))
    indices = rows.flatten().to_numpy()
    excluded = Interactions(indptr, indices, np.ones(len(indices), np.float32), n_items)
    return Users(batch.column("user_id"), factors.reshape(len(rows), -1), excluded)


def _rows(folder: Path) -> Iterator[pa.Table]:
    """Rows of the part files, which are in the order of the users."""
    for part in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(part, **READING) as reader:
            for batch in reader.iter_batches(1 << 16):
                yield pa.Table.from_batches([batch]).replace_schema_metadata().cast(SCHEMA)
