"""Lists of the held-out users, searched by Spark's executors: the same kernel, the same lists.

Item factors are broadcast, users and their plays travel once to an executor each, nothing is
shuffled, and the ids of the lists come back. Judging them, a small part of the work, stays on the
driver.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import HeldOut
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import blocks
from musicrec.search.exact import ExactIndex
from musicrec.spark.executors import (
    once_a_process,
    package_shipped,
    packed,
    require_pandas,
    unpacked,
)
from musicrec.spark.failures import quiet, readable_errors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

VARIABLE = "MUSICREC_EVALUATE_ON"
NATIVE, SPARK = "native", "spark"
LISTS = "unseen binary, with_seen binary"
BYTES_A_JOB = 256 << 20  # of lists that come back to the driver at once


class Catalogue(NamedTuple):
    """What is broadcast: all tracks, and how long the lists are."""

    name: str
    factors: np.ndarray
    length: int


def on_spark() -> bool:
    """Whether the environment asks for Spark; where the search runs changes no output.

    Raises
    ------
    MusicRecError
        `MUSICREC_EVALUATE_ON` is neither `native` nor `spark`.
    """
    asked = os.environ.get(VARIABLE, NATIVE)
    if asked not in (NATIVE, SPARK):
        raise MusicRecError(f"{VARIABLE} = {asked!r} is not allowed; it is {NATIVE} or {SPARK}")
    return asked == SPARK


def recommend_on_spark(
    spark: SparkSession,
    held_out: HeldOut,
    queries: np.ndarray,
    item_factors: np.ndarray,
    length: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Make the model's lists; see `musicrec.evaluate.judge.recommend`.

    Raises
    ------
    MusicRecError
        Spark failed, or pandas is not installed.
    """
    require_pandas(f"unset {VARIABLE}")
    catalogue = Catalogue(uuid.uuid4().hex, item_factors, length)
    n = len(queries)
    lists = [np.empty((n, length), np.int32) for _ in range(2)]
    with quiet(spark), readable_errors("evaluate"), package_shipped(spark):
        shared = spark.sparkContext.broadcast(catalogue)
        bounds = blocks(n, max(1, BYTES_A_JOB // (8 * length)))
        for start, stop in pairwise(bounds):
            history = held_out.history.rows(np.arange(start, stop))
            users = pa.table(packed(queries[start:stop], history))
            frame = spark.createDataFrame(users)
            found = frame.mapInArrow(_on_executor(lambda: shared.value), LISTS).toArrow()
            for whole, column in zip(lists, found.columns, strict=True):
                ids = np.frombuffer(b"".join(column.to_pylist()), np.int32)
                whole[start:stop] = ids.reshape(-1, length)
        shared.destroy()
    return lists[0], lists[1]


def _on_executor(
    catalogue: Callable[[], Catalogue],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What an executor does with its users."""

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        shared = catalogue()
        index = once_a_process(shared.name, lambda: ExactIndex(shared.factors))
        for batch in batches:
            queries, history = unpacked(batch, len(shared.factors))
            yield pa.record_batch(_lists(index, queries, history, shared.length))

    return work


def _lists(
    index: ExactIndex, queries: np.ndarray, history: Interactions, length: int
) -> dict[str, pa.Array]:
    exclude = (history.indptr, history.indices)
    unseen, _ = index.search(queries, length, exclude, threads=1)
    with_seen, _ = index.search(queries, length, threads=1)
    found = {"unseen": unseen, "with_seen": with_seen}
    return {
        name: pa.array([row.tobytes() for row in ids], pa.binary()) for name, ids in found.items()
    }
