"""The best tracks of every user on Spark's executors: the kernel goes to the users.

Item factors are broadcast, users and their plays travel once to an executor each, and nothing is
shuffled. Rows and bytes are those of `musicrec.serve.everyone`.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.files import atomic_path
from musicrec.interactions import Interactions
from musicrec.parquet import READING
from musicrec.search.exact import ExactIndex
from musicrec.serve.choose import Chooser
from musicrec.serve.everyone import Users, id_array, lists_of, user_blocks, write_rows
from musicrec.serve.model import Model
from musicrec.serve.wish import Wish, checked_wish
from musicrec.spark.failures import quiet, readable_errors
from musicrec.spark.parts import local_uri

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
    """Write the k best tracks of every user; see `musicrec.serve.everyone.recommend_all`.

    Parameters
    ----------
    output : path
        On a cluster its folder must be one that the executors write to as well.

    Raises
    ------
    MusicRecError
        Spark failed, or pandas is not installed.
    """
    if importlib.util.find_spec("pandas") is None:
        raise MusicRecError(
            "Spark's mapInArrow wants pandas installed: pip install pandas, or leave out "
            "--engine spark"
        )
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
    plays = users.plays
    rows = [plays.row(i).tobytes() for i in range(plays.n_users)]
    vectors = [np.asarray(vector, np.float32).tobytes() for vector in users.factors]
    columns = {"user_id": users.ids, "factors": pa.array(vectors, pa.binary())}
    return pa.record_batch(columns | {"seen": pa.array(rows, pa.binary())})


def _unpacked(batch: pa.RecordBatch, n_items: int) -> Users:
    factors = np.frombuffer(b"".join(batch.column("factors").to_pylist()), np.float32)
    seen = batch.column("seen").to_pylist()
    indices = np.frombuffer(b"".join(seen), np.int32)
    indptr = np.concatenate(([0], np.cumsum([len(row) // 4 for row in seen])))
    plays = Interactions(indptr, indices, np.ones(len(indices), np.float32), n_items)
    return Users(batch.column("user_id"), factors.reshape(len(seen), -1), plays)


def _on_executor(
    catalogue: Callable[[], Catalogue],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What an executor does with its users."""

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        shared = catalogue()
        chooser = _chooser(shared)
        for batch in batches:
            users = _unpacked(batch, len(shared.factors))
            yield lists_of(users, chooser, shared.wish, shared.track_ids)

    return work


def _chooser(catalogue: Catalogue) -> Chooser:
    """Prepare the tracks once a process; Spark runs a process, not a thread, on each core."""
    if catalogue.name not in _PREPARED:
        _PREPARED.clear()
        exact = ExactIndex(catalogue.factors)
        _PREPARED[catalogue.name] = Chooser(exact, None, catalogue.listeners, threads=1)
    return _PREPARED[catalogue.name]


_PREPARED: dict[str, Chooser] = {}


def _rows(folder: Path) -> Iterator[pa.RecordBatch]:
    """Rows of the part files, which are in the order of the users."""
    for part in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(part, **READING) as reader:
            for batch in reader.iter_batches(1 << 16):
                yield batch.replace_schema_metadata(None)
