"""Record Java's class archive, so that every stage on Spark starts faster: `make setup-spark`.

Runs ingest and index on a handful of plays in one session, so that the archive holds the classes
that they need. It is a convenience: where it cannot be written (a read-only or full
disk), nothing fails, and whatever was begun is removed.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.index.on_spark import index_on_spark
from musicrec.ingest.split.chunks import SCHEMA
from musicrec.ingest.split.on_spark import merge_with
from musicrec.params import ColumnParams, DataParams
from musicrec.spark.class_archive import archive_path
from musicrec.spark.java import find_java
from musicrec.spark.parts import read_parts
from musicrec.spark.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPLITS = ("train", "validation", "test")
KEPT_ARCHIVES = 4  # of 180 MB each: one a checkout with an environment of its own


def prepare() -> Path | None:
    """Record the class archive, unless there is one.

    Two processes at once write a file each, and the later one replaces the other's.

    Returns
    -------
    Path or None
        The archive; None where it could not be written.
    """
    archive = archive_path(find_java())
    if archive.is_file():
        return archive
    with suppress(MusicRecError, OSError), tempfile.TemporaryDirectory() as folder:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=archive.parent) as unfinished:
            recorded = Path(unfinished) / archive.name
            with spark_session("prepare", inputs=[], record=recorded) as spark:
                _run_stages(spark, Path(folder))
            recorded.replace(archive)  # Java leaves no file where it could not write a whole one
        _remove_old(archive.parent)
    return archive if archive.is_file() else None


def _run_stages(spark: SparkSession, folder: Path) -> None:
    """Run the stages that may use Spark on a few plays."""
    source = folder / "source"
    source.mkdir()
    for number, split in enumerate(SPLITS):
        users = [f"user {split} {i % 5}" for i in range(40)]
        tracks = [f"track {i + number}" for i in range(40)]
        rows = pa.table([users, tracks, [1] * 40, pa.nulls(40, pa.int64())], SCHEMA)
        (source / split).mkdir()
        pq.write_table(rows, source / split / "0.parquet")
    for name in ("ingested", "indexed"):
        (folder / name).mkdir()
    columns = ColumnParams.model_validate({})
    params = DataParams(source=str(source), protocol="given", columns=columns)
    merge_with(spark, {name: source / name for name in SPLITS}, params, folder / "ingested")
    splits = {split: read_parts(spark, folder / "ingested" / split) for split in SPLITS}
    index_on_spark(spark, splits, folder / "indexed")


def _remove_old(folder: Path) -> None:
    archives = sorted(folder.glob("*.jsa"), key=lambda path: path.stat().st_mtime)
    for archive in archives[:-KEPT_ARCHIVES]:
        archive.unlink(missing_ok=True)


if __name__ == "__main__":
    prepare()
