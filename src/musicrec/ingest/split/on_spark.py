"""Rows merged to one a user and track, and split, by Spark: as `in_memory` does, same bytes."""

from __future__ import annotations

import shutil
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.ingest.read.values import SECOND
from musicrec.ingest.split.protocol import (
    HOLDOUT_PLAYS,
    HOLDOUT_USERS,
    SPLITS,
    needs_whole_table,
    splits_of,
)
from musicrec.ingest.split.summary import Merged, Overlap, read_contents, sum_too_large
from musicrec.interactions.hashing import BITS, SEPARATOR
from musicrec.params import DataParams
from musicrec.spark.failures import readable_errors
from musicrec.spark.parts import local_uri, write_splits
from musicrec.spark.session import spark_session
from musicrec.storage.parquet import HISTORY, PARTS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_SCHEMA = "user_id string, track_id string, count bigint, time bigint"
_KEY = ["user_id", "track_id"]


def merge_on_spark(folders: dict[str, Path], params: DataParams, folder: Path) -> Merged:
    """Merge and split rows in files, and write the splits.

    Parameters
    ----------
    folders : dict
        Table -> its `chunks.Chunks` in files.
    folder : Path
        Gets a folder of parts for each split that has rows.

    Raises
    ------
    MusicRecError
        Counts of a user and track sum to more than int64 holds; Spark fails.
    """
    with (
        spark_session("ingest") as spark,
        readable_errors(params.source),
    ):
        return merge_with(spark, folders, params, folder)


def merge_with(
    spark: SparkSession, folders: dict[str, Path], params: DataParams, folder: Path
) -> Merged:
    """Do the same with a session at hand."""
    from pyspark.sql import Observation

    timed = params.columns.timestamp is not None
    columns = ["part", "split", *_KEY, "count", *(["last_played"] if timed else [])]
    observation, filtered = Observation("merged"), Observation("filtered")
    plays = _merged(spark, folders, params)
    whole = needs_whole_table(params)
    if whole:
        scratch = folder / "merged"
        plays = plays.observe(observation, *_numbers(list(folders)))
        plays.write.parquet(local_uri(scratch))
        _require_sums(observation.get, params)
        merged = spark.read.schema(plays.schema).parquet(local_uri(scratch))
        plays = _filtered(merged, params)
        plays = plays.observe(filtered, *_filter_numbers(), *_merged_by_split(params))
        write_splits(plays.where("split is not null").select(columns), folder, _KEY)
        numbers = observation.get | filtered.get
        shutil.rmtree(scratch)
    else:
        plays = plays.withColumn("split", _split(params))
        plays = plays.observe(observation, *_numbers(list(folders)), *_merged_by_split(params))
        write_splits(plays.where("count is not null").select(columns), folder, _KEY)
        numbers = observation.get
        _require_sums(numbers, params)
    return _result(numbers, params, folder)


def _result(numbers: dict[str, Any], params: DataParams, folder: Path) -> Merged:
    splits = splits_of(params)
    contents = {name: read_contents(folder / name) for name in splits if (folder / name).is_dir()}
    merged_rows = {name: numbers[f"merged {name}"] or 0 for name in splits}
    overlaps = []
    for name in SPLITS[1:]:
        if numbers.get(f"both {name}"):
            user, track = numbers[f"first both {name}"]
            overlaps.append(Overlap(name, numbers[f"both {name}"], (user, track)))
    left_out = ("plays_filtered", "users_filtered", "plays_of_unknown_tracks",
                "plays_of_short_histories")  # fmt: skip
    return Merged(
        contents,
        merged_rows,
        numbers["doubles"] or 0,
        numbers["again"] or 0,
        {name: numbers[name] for name in left_out if name in numbers},
        overlaps,
    )


def hash_fraction(seed: int, *columns: str, salt: str) -> Column:
    """`interactions.hashing.hash_fraction` as an expression: double."""
    from pyspark.sql import functions as F

    parts: list[Column] = [F.lit(f"{seed}{SEPARATOR}{salt}")]
    for column in columns:
        parts += [F.lit(SEPARATOR), F.col(column)]
    digits = F.substring(F.md5(F.concat(*parts)), 1, BITS // 4)
    return F.conv(digits, 16, 10).cast("long").cast("double") / F.lit(float(2**BITS))


def user_part(column: str) -> Column:
    """`interactions.hashing.text_parts` of a column, as an expression: int."""
    from pyspark.sql import functions as F

    digits = F.substring(F.md5(F.col(column)), 1, 8)
    return (F.conv(digits, 16, 10).cast("long") % PARTS).cast("int")


def _merged(spark: SparkSession, folders: dict[str, Path], params: DataParams) -> DataFrame:
    """One row a (user, track): `part`, ids, `count`, `last_played`, `merged`, `again`, `rows …`."""
    from pyspark.sql import functions as F

    frames = [
        spark.read.schema(_SCHEMA).parquet(local_uri(path)).withColumn("table", F.lit(table))
        for table, path in folders.items()
    ]
    rows = reduce(lambda a, b: a.unionByName(b), frames)
    rows = rows.withColumn("part", user_part("user_id")).repartition(PARTS, "part")
    count = F.max("count") if params.same_listen == "once" else F.try_sum("count")
    key = ["part", *_KEY]
    if params.columns.timestamp is None:
        rows = rows.withColumns({"rows": F.lit(1).cast("long"), "again": F.lit(0).cast("long")})
    else:
        rows = rows.groupBy(*key, "time", "table").agg(
            count.alias("count"), F.count("*").alias("rows"), (F.count("*") - 1).alias("again")
        )
    sums = [F.max("time").alias("time"), F.sum("again").alias("again")]
    for table in folders:
        here = F.col("table") == table
        sums.append(F.try_sum(F.when(here, F.col("count"))).alias(f"count {table}"))
        sums.append(F.sum(F.when(here, F.col("rows")).otherwise(0)).alias(f"rows {table}"))
        sums.append(F.count_if(here & F.col("count").isNull()).alias(f"large {table}"))
    plays = rows.groupBy(*key).agg(*sums)
    of_first = {
        name: reduce(
            lambda otherwise, table: F.when(
                F.col(f"rows {table}") > 0, F.col(f"{name} {table}")
            ).otherwise(otherwise),
            reversed(list(folders)), F.lit(None).cast("long"),
        )
        for name in ("count", "rows", "large")
    }  # fmt: skip
    return plays.withColumns(
        {
            "count": F.when(of_first["large"] == 0, of_first["count"]),
            "merged": of_first["rows"] - 1,
            "last_played": F.floor(F.col("time") / F.lit(SECOND)).cast("long"),
            "table": reduce(
                lambda otherwise, table: F.when(
                    F.col(f"rows {table}") > 0, F.lit(table)
                ).otherwise(otherwise),
                reversed(list(folders)), F.lit(None).cast("string"),
            ),
        }
    )  # fmt: skip


def _numbers(tables: list[str]) -> list[Column]:
    from pyspark.sql import functions as F

    pair, large = F.struct(*_KEY), F.col("count").isNull()
    found = [
        F.count_if(large).alias("too_large"),
        F.min(F.when(large, pair)).alias("first_too_large"),
        F.sum("merged").alias("doubles"),
        F.sum("again").alias("again"),
    ]
    for table in tables:
        rows = F.col(f"rows {table}")
        if "train" in tables and table != "train":
            both = (F.col("rows train") > 0) & (rows > 0)
            found.append(F.sum(F.when(both, rows)).alias(f"both {table}"))
            found.append(F.min(F.when(both, pair)).alias(f"first both {table}"))
    return found


def _require_sums(numbers: dict[str, Any], params: DataParams) -> None:
    if numbers["too_large"]:
        raise sum_too_large(numbers["too_large"], tuple(numbers["first_too_large"]), params)


def _held_out_user(params: DataParams) -> tuple[Column, Column]:
    """A user's draw, and whether it makes them a validation or test user."""
    user = hash_fraction(params.seed, "user_id", salt=HOLDOUT_USERS)
    return user, user < params.validation_users + params.test_users


def _split(params: DataParams, usable: Column | None = None) -> Column:
    """The split of each play, as `in_memory.split_of_rows` says; null where it has none."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if params.protocol == "given":
        return F.col("table")
    user, chosen = _held_out_user(params)
    draw = hash_fraction(params.seed, *_KEY, salt=HOLDOUT_PLAYS)
    of_user = Window.partitionBy("part", "user_id")
    first = [] if usable is None else [usable.desc()]
    # Training users need no order among their plays: a constant spares comparing it.
    order = of_user.orderBy(
        *first, F.when(chosen, F.col("time")).desc(), F.when(chosen, draw), "track_id"
    )
    plays = (F.count("*") if usable is None else F.count_if(usable)).over(of_user)
    wanted = F.floor(plays * params.held_out + 0.5)
    held = chosen & (F.row_number().over(order) <= F.least(plays - 1, F.greatest(wanted, F.lit(1))))
    kind = F.when(user < params.validation_users, F.lit("validation")).otherwise(F.lit("test"))
    split = F.when(held, kind)
    if params.protocol == "strong_generalization":
        split = split.when(chosen, F.when(plays > 1, F.concat(kind, F.lit(HISTORY))))
    split = split.otherwise(F.lit("train"))
    return split if usable is None else F.when(usable, split)


def _filtered(plays: DataFrame, params: DataParams) -> DataFrame:
    """Merged plays with `split`, null where filters leave them out, and what they left out."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    users_of = plays.groupBy("track_id").agg(F.count("*").alias("track_users"))
    plays = plays.join(users_of, "track_id").repartition(PARTS, "part")
    of_user = Window.partitionBy("part", "user_id")
    _, chosen = _held_out_user(params)
    plays = plays.withColumns(
        {"track_kept": F.col("track_users") >= params.min_track_users, "chosen": chosen}
    )
    user_kept = F.count_if("track_kept").over(of_user) >= params.min_user_plays
    plays = plays.withColumns({"user_kept": user_kept, "known": F.lit(True)})
    usable = F.col("track_kept") & F.col("user_kept")
    if params.protocol == "strong_generalization":
        known = plays.where(usable & ~F.col("chosen")).select("track_id").distinct()
        known = known.withColumn("in_training", F.lit(True))
        plays = plays.join(known, "track_id", "left").repartition(PARTS, "part")
        plays = plays.withColumn("known", F.col("in_training").isNotNull() | ~F.col("chosen"))
        usable = usable & F.col("known")
    plays = plays.withColumn("usable", usable)
    first = F.row_number().over(of_user.orderBy("track_id")) == 1
    return plays.withColumns({"split": _split(params, F.col("usable")), "first": first})


def _filter_numbers() -> list[Column]:
    from pyspark.sql import functions as F

    kept = F.col("track_kept") & F.col("user_kept")
    return [
        F.count_if(~kept).alias("plays_filtered"),
        F.count_if(F.col("first") & ~F.col("user_kept")).alias("users_filtered"),
        F.count_if(kept & ~F.col("known")).alias("plays_of_unknown_tracks"),
        F.count_if(F.col("usable") & F.col("split").isNull()).alias("plays_of_short_histories"),
    ]


def _merged_by_split(params: DataParams) -> list[Column]:
    from pyspark.sql import functions as F

    return [
        F.sum(F.when(F.col("split") == name, F.col("merged"))).alias(f"merged {name}")
        for name in splits_of(params)
    ]
