"""Train with Spark MLlib's alternating least squares, on one machine or a cluster."""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicrec.interactions.matrix import SMALLEST, newest_play
from musicrec.params import ALSParams, FeedbackParams, duration_seconds
from musicrec.runtime import cleaned_up, progress, scratch_directory
from musicrec.spark.java import readable_errors
from musicrec.spark.session import local_uri, spark_session
from musicrec.storage.parquet import LAST_PLAYED, PARTS, sound_parts

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

CHECKPOINT_INTERVAL = 5  # iterations; without it the lineage of fifteen may overflow the stack
PROGRESS_SECONDS = 5.0
CLEANING_SECONDS = 5.0  # for a cluster's file system


def fit_mllib(
    train: Path, n_users: int, n_items: int, als: ALSParams, feedback: FeedbackParams
) -> tuple[np.ndarray, np.ndarray]:
    """Factorise the indexed plays of the folder `train` with MLlib.

    Returns
    -------
    float32 arrays (n_users, rank) and (n_items, rank)
        Rows without training plays are zero.

    Raises
    ------
    MusicRecError
        Spark or Java failed; the sentence holds the innermost cause.
    """
    with (
        spark_session("train") as spark,
        readable_errors(f"MLlib, on {train}"),
        checkpoints(spark),
        _progress(spark),
    ):
        return fit_frame(read_plays(spark, train, feedback), n_users, n_items, als)


def read_plays(spark: SparkSession, train: Path, feedback: FeedbackParams) -> DataFrame:
    """Read plays with `feedback` applied: columns user, item, r (float).

    Rows go to a pinned number of partitions by hash of the user, sorted within each, so that
    MLlib meets them in the same order whatever the number of cores.
    """
    from pyspark.sql import functions as f

    count = r = f.col("count")
    schema = "user int, item int, count bigint"
    if feedback.half_life is not None:
        schema += f", {LAST_PLAYED.name} bigint"
        age = newest_play(train) - f.col(LAST_PLAYED.name)
        decay = f.pow(f.lit(2.0), -age / duration_seconds(feedback.half_life))
        r = count * f.greatest(decay, f.lit(SMALLEST))
    r = f.log1p(r) if feedback.transform == "log1p" else r
    uris = [_literal(local_uri(part)) for part in sound_parts(train)]
    plays = spark.read.schema(schema).parquet(*uris).where(count >= feedback.min_count)
    plays = plays.select("user", "item", r.cast("float").alias("r"))
    return plays.repartition(PARTS, "user").sortWithinPartitions("user", "item")


def _literal(uri: str) -> str:
    """Escape what Spark takes for a pattern in a path that it reads: `[` in a name is a `[`."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)


def fit_frame(
    plays: DataFrame, n_users: int, n_items: int, als: ALSParams
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a frame of (user, item, r) in a running session; see `fit_mllib`."""
    from pyspark.ml.recommendation import ALS

    model = ALS(
        rank=als.rank,
        maxIter=als.max_iter,
        regParam=als.reg_param,
        numUserBlocks=als.num_blocks,
        numItemBlocks=als.num_blocks,
        implicitPrefs=True,
        alpha=als.alpha,
        userCol="user",
        itemCol="item",
        ratingCol="r",
        nonnegative=als.nonnegative,
        seed=als.seed,
        checkpointInterval=CHECKPOINT_INTERVAL,
    ).fit(plays)
    users = _dense(model.userFactors.toArrow(), n_users, als.rank)
    items = _dense(model.itemFactors.toArrow(), n_items, als.rank)
    return users, items


def _dense(factors: pa.Table, n: int, rank: int) -> np.ndarray:
    rows = factors.column("id").to_numpy()
    dense = np.zeros((n, rank), np.float32)
    values = [chunk.flatten().to_numpy() for chunk in factors.column("features").chunks]
    dense[rows] = np.concatenate(values).reshape(-1, rank)
    return dense


@contextmanager
def checkpoints(spark: SparkSession) -> Iterator[None]:
    """Give MLlib a place to cut its lineage: a local folder, or one of the cluster's file system.

    MUSICREC_CHECKPOINT_DIR names the folder for a cluster; by default it is a new one in the
    user's home of the cluster's default file system.
    """
    context = spark.sparkContext
    if context.master.startswith("local"):
        with scratch_directory("musicrec-checkpoints-") as folder:
            context.setCheckpointDir(str(folder))
            yield
        return
    base = os.environ.get("MUSICREC_CHECKPOINT_DIR", "").strip()
    name = f"musicrec-checkpoints-{uuid.uuid4().hex}"
    context.setCheckpointDir(f"{base.rstrip('/')}/{name}" if base else name)
    made = context._jvm.org.apache.hadoop.fs.Path(context._jsc.sc().getCheckpointDir().get())
    ours = made.getParent()  # Spark makes a folder of its own in the one that we name
    files = ours.getFileSystem(context._jsc.hadoopConfiguration())

    def remove() -> None:
        """By a connection to Java of its own: a signal may have cut off that of this thread."""
        thread = threading.Thread(target=files.delete, args=(ours, True), daemon=True)
        thread.start()
        thread.join(CLEANING_SECONDS)

    with cleaned_up(remove):
        yield


@contextmanager
def _progress(spark: SparkSession) -> Iterator[None]:
    """Report jobs, two an iteration, every few seconds to whoever watches."""
    finished = threading.Event()
    since = time.monotonic()
    tracker = spark.sparkContext.statusTracker()

    def report() -> None:
        while not finished.wait(PROGRESS_SECONDS):
            jobs = max(tracker.getJobIdsForGroup(), default=-1) + 1
            progress(f"mllib: {jobs} jobs started; {time.monotonic() - since:.0f} s")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
