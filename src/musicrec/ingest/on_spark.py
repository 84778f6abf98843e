"""`ingest` on Spark: plays of any form and number read, checked, merged and split."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.frames import read_tables
from musicrec.ingest.rows.bad_rows import require_good_rows, stop_at_bad_rows
from musicrec.ingest.rows.row_checks import check_rows
from musicrec.ingest.rows.suspicions import warnings
from musicrec.ingest.rows.times import require_pattern
from musicrec.ingest.source.listing import list_files
from musicrec.ingest.splits.filters import (
    add_filtered,
    needs_whole_table,
    require_table,
    split_filtered,
)
from musicrec.ingest.splits.merge import merge_plays, merge_summary
from musicrec.ingest.splits.overlap import require_overlap, warn_of_ids
from musicrec.ingest.splits.split import require_splits, splits_of, tables_of, without_unused_time
from musicrec.ingest.splits.summary import describe_splits, read_contents, require_disjoint_users
from musicrec.params import DataParams
from musicrec.spark.failures import quiet, readable_errors
from musicrec.spark.parts import local_uri, write_splits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEY = ["user_id", "track_id"]


def ingest_on_spark(spark: SparkSession, params: DataParams, folder: Path) -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`, whatever they look like.

    The source is read once, and once more where bad rows must be named.

    Parameters
    ----------
    folder : Path
        Empty; gets the folders of `split.splits_of`, each with `part-0000N.parquet` of columns
        `user_id` string, `track_id` string, `count` int64 > 0, one row a (user, track).

    Returns
    -------
    dict
        What `metrics/data.json` holds: see docs/data.md.

    Raises
    ------
    MusicRecError
        The source cannot be used as it is; the sentence says why.
    """
    params = without_unused_time(params)
    require_table(params)
    with quiet(spark), readable_errors(params.source):
        tables = checked_tables(spark, params, folder / "source")
        try:
            summary = _write_splits(tables, params, folder)
        except MusicRecError:
            raise
        except Exception:
            if params.on_bad_rows == "error":
                frames = (frame for table in tables.values() for frame in table)
                require_good_rows(frames, params.columns)
            raise
        contents = {split: read_contents(folder / split) for split in splits_of(params)}
        if params.protocol == "given":
            require_disjoint_users(contents, params)
        for split, described in describe_splits(contents).items():
            summary[split] = described | summary.get(split, {})
        require_overlap(spark, summary, params, folder)
        warn_of_ids(contents, params)
        shutil.rmtree(folder / "source", ignore_errors=True)
    return summary


def checked_tables(
    spark: SparkSession, params: DataParams, scratch: Path
) -> dict[str, list[DataFrame]]:
    """Read and check the source's tables: one a split with `given`, else the one called `plays`.

    Parameters
    ----------
    scratch : Path
        Folder that need not exist, for copies of files that Spark cannot read as they are.

    Returns
    -------
    dict
        Table -> frames of `row_checks.check_rows`, one for all files that share a layout.

    Raises
    ------
    MusicRecError
        The files or their columns cannot be used; rows are only looked at when Spark runs.
    """
    require_pattern(spark, params.time_format)
    files = list_files(spark, params.source)
    return {
        name: [check_rows(table, params) for table in read_tables(spark, members, params, scratch)]
        for name, members in tables_of(files, params).items()
    }


def _write_splits(
    tables: dict[str, list[DataFrame]], params: DataParams, folder: Path
) -> dict[str, Any]:
    from pyspark.sql import Observation

    if params.on_bad_rows == "error":
        tables = {
            name: [stop_at_bad_rows(frame) for frame in frames] for name, frames in tables.items()
        }
    observation = Observation("ingest")
    plays = merge_plays(tables, params, observation)
    whole = needs_whole_table(params)
    if whole:
        scratch = local_uri(folder / "merged")
        plays.write.parquet(scratch)
    else:
        write_splits(plays, folder, KEY)
    summary = merge_summary(observation.get, list(tables), params)
    for sentence in warnings(observation.get, summary["source"]["rows"], params):
        print(f"warning: {sentence}", file=sys.stderr)
    if whole:  # from files, so that the source is read once
        merged = plays.sparkSession.read.schema(plays.schema).parquet(scratch)
        observation = Observation("filters")
        write_splits(split_filtered(merged, params, observation), folder, KEY)
        add_filtered(summary, observation.get, params)
        shutil.rmtree(folder / "merged")
    require_splits(folder, params)
    return summary
