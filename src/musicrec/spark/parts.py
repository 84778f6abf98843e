"""Parquet parts that Spark reads and writes, with the same bytes for the same rows."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.jit.parallel import on_threads
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import rewrite_table, sound_parts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PLAYS_SCHEMA = "user_id string, track_id string, count bigint"


def read_parts(
    spark: SparkSession, path: str | os.PathLike[str], schema: str = PLAYS_SCHEMA
) -> DataFrame:
    """Read Parquet files this pipeline wrote; a schema spares Spark a job that infers it.

    Raises
    ------
    MusicRecError
        The files are not as the stage left them, or there is none.
    """
    uris = [literal(local_uri(part)) for part in sound_parts(path)]
    return spark.read.schema(schema).parquet(*uris)


def write_splits(frame: DataFrame, folder: Path, sort_by: list[str]) -> None:
    """Write a frame's rows below a folder named by their `split`, all in one job.

    Rows of `part` n become `part-0000n.parquet`, sorted by a unique key: the same bytes for the
    same rows. Spark's files, whose names and bytes differ from run to run, are rewritten one by
    one; its markers and checksums are removed. A split without rows gets no folder, and a part
    without rows of a split no file there.

    Parameters
    ----------
    frame : DataFrame
        Of `split`, `part` (from 0) and what is written; the rows of a part are in one partition.
    folder : Path
        Must exist and hold no folder of a split's name.
    """
    scratch = folder / "spark"
    rows = frame.sortWithinPartitions("split", "part", *sort_by)
    written = rows.write.option("compression", "snappy").partitionBy("split", "part")
    written.parquet(local_uri(scratch))
    for written_split in sorted(scratch.glob("split=*")):
        split = folder / written_split.name.removeprefix("split=")
        split.mkdir()
        _rewrite_parts(written_split, split)
    shutil.rmtree(scratch)


def _rewrite_parts(scratch: Path, folder: Path) -> None:
    """Rewrite what Spark wrote to `scratch/part=n` as `part-0000n.parquet`, with checksums."""

    def rewrite(path: Path) -> None:
        number = int(path.parent.name.removeprefix("part="))
        rewrite_table(path, folder / f"part-{number:05d}.parquet")

    on_threads(rewrite, sorted(scratch.glob("part=*/*.parquet")))
    write_checksums(folder)


def local_uri(path: str | os.PathLike[str]) -> str:
    """Name a local path for Spark, whose default file system may be a cluster's.

    Hadoop does not decode %20, so this is not `Path.as_uri`.
    """
    return f"file://{Path(path).absolute()}"


def literal(uri: str) -> str:
    """Escape what Spark takes for a pattern in a path that it reads: `[` in a name is a `[`."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)
