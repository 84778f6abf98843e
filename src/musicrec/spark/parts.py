"""Parquet parts that Spark reads and writes, with the same bytes for the same rows."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.jit.parallel import for_blocks
from musicrec.storage.checksums import write_checksums
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

    Partition n becomes `part-0000n.parquet`, sorted by a unique key: the same bytes for the same
    rows. Spark's files, whose names and bytes differ from run to run, are rewritten one by one; its
    markers and checksums are removed. A split without rows gets no folder, and a partition without
    rows of a split no file there.

    Parameters
    ----------
    folder : Path
        Must exist and hold no folder of a split's name.
    """
    scratch = folder / "spark"
    rows = frame.sortWithinPartitions("split", *sort_by)
    rows.write.option("compression", "snappy").partitionBy("split").parquet(local_uri(scratch))
    for written in sorted(scratch.glob("split=*")):
        split = folder / written.name.removeprefix("split=")
        split.mkdir()
        rewrite_parts(written, split)
    shutil.rmtree(scratch)


def rewrite_parts(scratch: Path, folder: Path) -> None:
    """Rewrite the part files Spark wrote to `scratch` as `part-00000.parquet` … in `folder`.

    Their checksums are written beside them.
    """
    written = sorted(scratch.glob("part-*.parquet"))

    def rewrite(start: int, stop: int) -> None:
        for path in written[start:stop]:
            rewrite_table(path, folder / f"{path.name[:10]}.parquet")

    for_blocks(rewrite, list(range(len(written) + 1)))
    write_checksums(folder)


def local_uri(path: str | os.PathLike[str]) -> str:
    """Name a local path for Spark, whose default file system may be a cluster's.

    Hadoop does not decode %20, so this is not `Path.as_uri`.
    """
    return f"file://{Path(path).absolute()}"


def literal(uri: str) -> str:
    """Escape what Spark takes for a pattern in a path that it reads: `[` in a name is a `[`."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)
