"""The best tracks of every user on Spark's executors: the kernel goes to the users.

Item factors are broadcast, users and their plays travel once to an executor each, and nothing is
shuffled. Rows and bytes are those of `musicrec.bundle.everyone.in_process`.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.bundle.choose import Chooser
from musicrec.bundle.everyone.in_process import Users, id_array, lists_of, user_blocks, write_rows
from musicrec.bundle.model import Model
from musicrec.bundle.wish import Wish, checked_wish
from musicrec.search.exact import ExactIndex
from musicrec.spark.executors import (
    once_a_process,
    package_shipped,
    packed,
    require_pandas,
    unpacked,
)
from musicrec.spark.failures import quiet, readable_errors
from musicrec.spark.parts import local_uri
from musicrec.storage.files import atomic_path
from musicrec.storage.parquet import READING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = "user_id string, position int, track_id string, score float, source string"


class Catalogue(NamedTuple):
    """What is broadcast: all tracks, and what is asked."""

    name: str
    factors: np.ndarray
    listeners: np.ndarray
    track_ids: pa.Array
    wish: Wish


def recommend_all_on_spark(
    spark: SparkSession,
    model: Model,
    output: str | os.PathLike[str],
    k: int,
    exclude_seen: bool = True,
) -> None:
    """Write the k best tracks of every user; see `in_process.recommend_all`.

    Parameters
    ----------
    output : path
        On a cluster its folder must be one that the executors write to as well.

    Raises
    ------
    MusicRecError
        Spark failed, or pandas is not installed.
    """
    require_pandas("leave out --engine spark")
    catalogue = Catalogue(
        uuid.uuid4().hex,
        model.item_factors,
        model.arrays["listeners"],
        id_array(model.tracks),
        checked_wish(model.tracks, k, {"exclude_seen": exclude_seen}),
    )
    target = Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(target) as temporary,
        tempfile.TemporaryDirectory(prefix=".recommend-", dir=target.parent) as folder,
        quiet(spark),
        readable_errors("recommend --all"),
        package_shipped(spark),
    ):
        shared = spark.sparkContext.broadcast(catalogue)
        users = pa.Table.from_batches([_packed(users) for _, users in user_blocks(model)])
        scratch = Path(folder) / "rows"
        lists = spark.createDataFrame(users).mapInArrow(_on_executor(lambda: shared.value), ROWS)
        lists.write.option("compression", "snappy").parquet(local_uri(scratch))
        write_rows(temporary, _rows(scratch))
        shared.destroy()


def _packed(users: Users) -> pa.RecordBatch:
    """A block of users as Spark carries them."""
    return pa.record_batch({"user_id": users.ids, **packed(users.factors, users.plays)})


def _on_executor(
    catalogue: Callable[[], Catalogue],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What an executor does with its users."""

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        shared = catalogue()
        chooser = once_a_process(shared.name, lambda: _chooser(shared))
        for batch in batches:
            users = Users(batch.column("user_id"), *unpacked(batch, len(shared.factors)))
            yield lists_of(users, chooser, shared.wish, shared.track_ids)

    return work


def _chooser(catalogue: Catalogue) -> Chooser:
    exact = ExactIndex(catalogue.factors)
    return Chooser(exact, None, catalogue.listeners, threads=1)


def _rows(folder: Path) -> Iterator[pa.RecordBatch]:
    """Rows of the part files, which are in the order of the users."""
    for part in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(part, **READING) as reader:
            for batch in reader.iter_batches(1 << 16):
                yield batch.replace_schema_metadata(None)
