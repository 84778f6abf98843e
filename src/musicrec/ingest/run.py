"""Plays of any format in, three clean splits out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.bad_rows import require_good_rows, stop_at_bad_rows
from musicrec.ingest.filters import (
    add_filtered,
    filters_on,
    needs_whole_table,
    require_table,
    split_filtered,
)
from musicrec.ingest.frames import read_tables
from musicrec.ingest.merge import merge_plays, merge_summary
from musicrec.ingest.overlap import require_overlap
from musicrec.ingest.row_checks import check_rows
from musicrec.ingest.source import list_files
from musicrec.ingest.split import given_splits, refuse_splits_and_more, splits_of
from musicrec.ingest.summary import Contents, describe_splits, read_contents
from musicrec.ingest.suspicions import warnings
from musicrec.ingest.times import require_pattern
from musicrec.params.data import DataParams
from musicrec.parquet import HISTORY
from musicrec.spark.failures import quiet, readable_errors
from musicrec.spark.parts import local_uri, write_splits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEY = ["user_id", "track_id"]


def ingest(spark: SparkSession, params: DataParams, folder: Path) -> dict[str, Any]:
    """Read, check, merge and split the plays of `params.source`.

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
    if params.protocol == "given":  # the time of a play matters to holdout alone
        columns = params.columns.replace(timestamp=None)
        params = params.replace(columns=columns)
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
            _require_disjoint_users(contents, params)
        for split, described in describe_splits(contents).items():
            summary[split] = described | summary.get(split, {})
        require_overlap(spark, summary, params, folder)
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
    given = params.protocol == "given"
    if not given:
        refuse_splits_and_more(files, params.source)
    tables = given_splits(files, params.source) if given else {"plays": files}
    return {
        name: [check_rows(table, params) for table in read_tables(spark, members, params, scratch)]
        for name, members in tables.items()
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
    for split in splits_of(params):
        if not (folder / split).is_dir():
            raise MusicRecError(_nobody_left(split, params))
    return summary


def _require_disjoint_users(contents: dict[str, Contents], params: DataParams) -> None:
    held = contents["validation"].users
    both = held.filter(pc.is_in(held, value_set=contents["test"].users))
    if len(both):
        raise MusicRecError(
            f"{params.source}: {len(both):,} user{'s are' if len(both) > 1 else ' is'} in both "
            f"validation and test, first {pc.min(both).as_py()!r} (column "
            f"{params.columns.user!r}); keep each user in one of them"
        )


def _nobody_left(split: str, params: DataParams) -> str:
    if params.protocol == "given":
        return f"{params.source}: no usable row is left in {split}"
    if split == "train":
        filters = (
            f" of users with {params.min_user_plays} or more tracks and tracks with "
            f"{params.min_track_users} or more users; lower data.min_user_plays or "
            "data.min_track_users"
        )
        return f"{params.source}: no usable row is left in train" + filters * filters_on(params)
    share = getattr(params, f"{split.removesuffix(HISTORY)}_users")
    return (
        f"{params.source}: no {split} user: none of the users with two or more tracks was chosen "
        f"by data.{split}_users = {share:g}; raise it or use more plays"
    )
