"""Train with Spark MLlib's alternating least squares, on one machine or a cluster."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams
from musicrec.runtime import cleaned_up, progress, scratch_directory
from musicrec.spark.java import readable_errors
from musicrec.spark.session import local_uri, spark_session
from musicrec.storage.parquet import PARTS, write_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CHECKPOINT_INTERVAL = 5  # iterations; without it the lineage of fifteen may overflow the stack
CLEANING_SECONDS = 5.0  # for a cluster's file system


def fit_mllib(ratings: Interactions, als: ALSParams, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Factorise plays, whose counts are as `feedback` left them, with MLlib.

    `folder` takes a temporary file, which the executors of a cluster must be able to read.

    Returns
    -------
    float32 arrays (n_users, rank) and (n_items, rank)
        Rows without plays are zero.

    Raises
    ------
    MusicRecError
        Spark or Java failed; the sentence holds the innermost cause.
    """
    with (
        scratch_directory(".mllib-", folder) as scratch,
        spark_session("train") as spark,
        readable_errors("MLlib"),
        checkpoints(spark),
    ):
        progress(f"MLlib: {als.max_iter} iterations on {spark.sparkContext.master}")
        plays = plays_frame(spark, ratings, scratch)
        return fit_frame(plays, ratings.n_users, ratings.n_items, als)


def plays_frame(spark: SparkSession, ratings: Interactions, folder: Path) -> DataFrame:
    """Hand plays over through a file in `folder`: columns user, item, r (float).

    Rows go to a pinned number of partitions by hash of the user, sorted within each, so that
    MLlib meets them in the same order whatever the number of cores.
    """
    columns = {"user": ratings.user_of_each(), "item": ratings.indices, "r": ratings.counts}
    folder.chmod(0o755)  # executors may run as another user
    write_table(folder / "plays.parquet", pa.table(columns))
    # In a path that Spark reads, a `[` is part of a pattern.
    uri = re.sub(r"([\[\]{}*?\\])", r"\\\1", local_uri(folder / "plays.parquet"))
    plays = spark.read.schema("user int, item int, r float").parquet(uri)
    return plays.repartition(PARTS, "user").sortWithinPartitions("user", "item")


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
