"""One row a user and track: duplicates summed, each play given its split, all of it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.row_checks import MAX_COUNT, REASONS
from musicrec.ingest.split import SPLITS, holdout_split
from musicrec.params.data import DataParams
from musicrec.spark.parts import PARTS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation


def merge_plays(
    tables: dict[str, list[DataFrame]], params: DataParams, observation: Observation
) -> DataFrame:
    """Merge checked rows into one row a (user, track), with its split.

    All in one shuffle: rows go to `PARTS` partitions by hash of the user, and merging, splitting,
    counting and the caller's sort happen within each. Numbers are observed after the shuffle, in
    the job's last stage, where Spark counts every task exactly once.

    Parameters
    ----------
    tables : dict
        Frames of `row_checks.check_rows`: by split, or one table called `plays`.
    observation : Observation
        Gets what `merge_summary` reads.

    Returns
    -------
    DataFrame
        `split`, `user_id`, `track_id`, `count`. A (user, track) of training that is held out too
        is in training alone.
    """
    from pyspark.sql import functions as F

    timed = params.columns.timestamp is not None
    wanted = ["reason", "user_id", "track_id", "count", *(["time"] if timed else [])]
    frames = [
        frame.select(*wanted, F.lit(name).alias("table"))
        for name, members in tables.items()
        for frame in members
    ]
    rows = frames[0]
    for frame in frames[1:]:
        rows = rows.unionByName(frame)
    sums = []
    for name in tables:
        here = F.col("table") == name
        sums.append(F.try_sum(F.when(here, F.col("count"))).alias(f"count_{name}"))
        sums.append(F.count_if(here).alias(f"rows_{name}"))
    if timed:
        sums.append(F.max("time").alias("time"))
    # Bad rows have no ids, so they fall into one group a reason.
    groups = rows.repartition(PARTS, "user_id").groupBy("reason", "user_id", "track_id").agg(*sums)
    if params.protocol == "given":
        split = _first_split([F.lit(name) for name in SPLITS])
        count = _first_split([F.col(f"count_{name}") for name in SPLITS])
        merged = _first_split([F.col(f"rows_{name}") for name in SPLITS]) - 1
    else:
        split = holdout_split(params, timed=timed)
        count, merged = F.col("count_plays"), F.col("rows_plays") - 1
    plays = groups.withColumns({"split": split, "count": count, "merged": merged})
    plays = plays.observe(observation, *_numbers(list(tables)))
    return plays.filter(F.col("reason").isNull()).select("split", "user_id", "track_id", "count")


def _first_split(values: list[Column]) -> Column:
    """The value of the first split that has rows of a (user, track)."""
    from pyspark.sql import functions as F

    train, validation, test = values
    return (
        F.when(F.col("rows_train") > 0, train)
        .when(F.col("rows_validation") > 0, validation)
        .otherwise(test)
    )


def _numbers(tables: list[str]) -> list[Column]:
    from pyspark.sql import functions as F

    reason, pair = F.col("reason"), F.struct("user_id", "track_id")
    too_large = reason.isNull() & F.col("count").isNull()  # try_sum overflowed
    numbers = [
        F.count_if(too_large).alias("too_large"),
        F.min(F.when(too_large, pair)).alias("first_too_large"),
    ]
    for split in SPLITS:
        here = reason.isNull() & (F.col("split") == split)
        numbers.append(F.sum(F.when(here, F.col("merged"))).alias(f"merged {split}"))
    for table in tables:
        rows = F.col(f"rows_{table}")
        numbers.append(F.sum(rows).alias(f"read {table}"))
        for name in REASONS:
            numbers.append(F.sum(F.when(reason == name, rows)).alias(f"{name} {table}"))
        if "train" in tables and table != "train":
            both = reason.isNull() & (F.col("rows_train") > 0) & (rows > 0)
            numbers.append(F.sum(F.when(both, rows)).alias(f"also_in_train {table}"))
            numbers.append(F.min(F.when(both, pair)).alias(f"first also_in_train {table}"))
    return numbers


def merge_summary(
    observed: dict[str, Any], tables: list[str], params: DataParams
) -> dict[str, dict[str, Any]]:
    """Put the observed numbers into words and order, and stop at what must not pass.

    Returns
    -------
    dict
        `source`: `rows`, `merged_rows`, `rejected_rows`, and `rejected` by reason (those that
        occurred). For each split `merged_rows`; with the `given` protocol `rejected_rows` and
        `rejected` too.

    Raises
    ------
    MusicRecError
        A table has no row; a sum of counts is above int64; a held-out play is in training too and
        bad rows are errors.
    """
    for table in tables:
        if not observed.get(f"read {table}"):
            where = params.source if table == "plays" else f"{params.source}: {table}"
            raise MusicRecError(f"{where} has no rows")
    if observed["too_large"]:
        user, track = observed["first_too_large"]
        raise MusicRecError(
            f"{params.source}: column {params.columns.count!r}: the counts of duplicate rows sum "
            f"to more than {MAX_COUNT} for {observed['too_large']:,} (user, track), first user "
            f"{user!r}, track {track!r}; mend the source"
        )
    rejected = {
        table: {
            name: rows
            for name in [*REASONS, "also_in_train"]
            if (rows := observed.get(f"{name} {table}"))
        }
        for table in tables
    }
    if params.on_bad_rows == "error":
        for table in tables:
            if "also_in_train" in rejected[table]:
                user, track = observed[f"first also_in_train {table}"]
                rows = rejected[table]["also_in_train"]
                raise MusicRecError(
                    f"{params.source}: {rows:,} row{'s' * (rows > 1)} of {table} (columns "
                    f"{params.columns.user!r} and {params.columns.track!r}) are in train too, "
                    f"first user {user!r}, track {track!r}; mend the source or set "
                    "data.on_bad_rows: drop"
                )
    merged = {split: observed[f"merged {split}"] or 0 for split in SPLITS}
    total: dict[str, int] = {}
    for reasons in rejected.values():
        for name, rows in reasons.items():
            total[name] = total.get(name, 0) + rows
    summary: dict[str, dict[str, Any]] = {
        "source": {
            "rows": sum(observed[f"read {table}"] for table in tables),
            "merged_rows": sum(merged.values()),
            **_rejected(total),
        }
    }
    for split in SPLITS:
        summary[split] = {"merged_rows": merged[split]}
        if split in rejected:
            summary[split] |= _rejected(rejected[split])
    return summary


def _rejected(reasons: dict[str, int]) -> dict[str, Any]:
    return {"rejected_rows": sum(reasons.values()), "rejected": reasons}
