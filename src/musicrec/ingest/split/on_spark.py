"""Rows merged to one a user and track, and split, by Spark: as `in_memory` does, same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F

from musicrec.ingest.read.values import SECOND
from musicrec.ingest.split.protocol import HOLDOUT_PLAYS, HOLDOUT_USERS, Plan
from musicrec.ingest.split.summary import Merged, read_contents, sum_too_large
from musicrec.interactions.hashing import BITS, SEPARATOR
from musicrec.params import DataParams
from musicrec.spark.java import readable_errors
from musicrec.spark.parts import local_uri, write_splits
from musicrec.spark.session import spark_session
from musicrec.storage.parquet import HISTORY, PARTS

_SCHEMA = "user_id string, track_id string, count bigint, time bigint"
_KEY = ["user_id", "track_id"]


def merge_on_spark(folders: dict[str, Path], plan: Plan, folder: Path) -> Merged:
    """Merge and split rows in files, as `merge_in_memory` does; `folders`: table -> its files."""
    with spark_session("ingest") as spark, readable_errors(plan.params.source):
        return _merge(spark, folders, plan, folder)


def _merge(spark: SparkSession, folders: dict[str, Path], plan: Plan, folder: Path) -> Merged:
    params = plan.params
    timed = params.columns.timestamp is not None
    columns = ["part", "split", *_KEY, "count", *(["last_played"] if timed else [])]
    merging, splitting = Observation("merging"), Observation("splitting")
    large = F.col("count").isNull()
    pairs = _merged(spark, folders, plan).observe(
        merging,
        F.count_if(large).alias("too_large"),
        F.min(F.when(large, F.struct(*_KEY))).alias("first_too_large"),
        F.sum("again").alias("again"),
    )
    scratch = folder / "merged"
    if plan.needs_whole_table:
        pairs.write.parquet(local_uri(scratch))
        _require_sums(merging.get, params)
        pairs = _filtered(spark.read.schema(pairs.schema).parquet(local_uri(scratch)), plan)
    pairs = _split(pairs, plan).observe(splitting, *_numbers(plan))
    written = pairs.where("split is not null and count is not null").select(columns)
    write_splits(written, folder, _KEY)
    shutil.rmtree(scratch, ignore_errors=True)
    _require_sums(merging.get, params)
    numbers: dict[str, Any] = {
        name: value or 0 for name, value in (merging.get | splitting.get).items()
    }
    return Merged(
        {name: read_contents(folder / name) for name in plan.splits if (folder / name).is_dir()},
        numbers,
        [
            (name, numbers[f"both {name}"], tuple(numbers[f"first both {name}"]))
            for name in plan.splits
            if numbers.get(f"both {name}")
        ],
    )


def hash_fraction(seed: int, *columns: str, salt: str) -> Column:
    """`interactions.hashing.hash_fraction` as an expression: double."""
    parts: list[Column] = [F.lit(f"{seed}{SEPARATOR}{salt}")]
    for column in columns:
        parts += [F.lit(SEPARATOR), F.col(column)]
    digits = F.substring(F.md5(F.concat(*parts)), 1, BITS // 4)
    return F.conv(digits, 16, 10).cast("long").cast("double") / F.lit(float(2**BITS))


def user_part(column: str) -> Column:
    """`interactions.hashing.text_parts` of a column, as an expression: int."""
    digits = F.substring(F.md5(F.col(column)), 1, 8)
    return (F.conv(digits, 16, 10).cast("long") % PARTS).cast("int")


def _merged(spark: SparkSession, folders: dict[str, Path], plan: Plan) -> DataFrame:
    """One row a (user, track, place of the split), as `in_memory.Pairs`, with its `part`."""
    params = plan.params
    reader = spark.read.schema(_SCHEMA).option("recursiveFileLookup", True)
    frames = [
        reader.parquet(local_uri(path)).withColumn("place", F.lit(place))
        for place, path in enumerate(folders.values())
    ]
    rows = reduce(lambda one, other: one.unionByName(other), frames)
    if plan.windows:
        place = F.lit(None).cast("int")
        for number, (start, stop) in enumerate(plan.windows.values()):
            here = (F.col("time") >= start) & (F.col("time") < stop)
            place = F.when(here, F.lit(number)).otherwise(place)
        rows = rows.withColumn("place", place).where("place is not null")
    rows = rows.withColumn("part", user_part("user_id")).repartition(PARTS, "part")
    count = F.max("count") if params.same_listen == "once" else F.try_sum("count")
    key = ["part", *_KEY, "place"]
    if params.columns.timestamp is None:
        rows = rows.withColumns({"rows": F.lit(1).cast("long"), "again": F.lit(0).cast("long")})
    else:
        rows = rows.groupBy(*key, "time").agg(
            count.alias("count"), F.count("*").alias("rows"), (F.count("*") - 1).alias("again")
        )
    too_large = F.count_if(F.col("count").isNull()) > 0  # which a sum of the others would hide
    return rows.groupBy(*key).agg(
        F.when(~too_large, F.try_sum("count")).alias("count"),
        F.min("time").alias("first"),
        F.max("time").alias("last"),
        F.floor(F.max("time") / F.lit(SECOND)).cast("long").alias("last_played"),
        (F.sum("rows") - 1).alias("merged"),
        F.sum("again").alias("again"),
    )


def _require_sums(numbers: dict[str, Any], params: DataParams) -> None:
    if numbers["too_large"]:
        raise sum_too_large(numbers["too_large"], tuple(numbers["first_too_large"]), params)


def _drawn_user(params: DataParams) -> tuple[Column, Column]:
    """A user's draw, and whether it makes them a validation or test user."""
    user = hash_fraction(params.seed, "user_id", salt=HOLDOUT_USERS)
    return user, user < params.validation_users + params.test_users


def _filtered(pairs: DataFrame, plan: Plan) -> DataFrame:
    """Pairs with what the filters say of them: `kept`, `user_kept`, `known` and `usable`."""
    params, counted = plan.params, F.col("place") == 0
    users_of = pairs.groupBy("track_id").agg(F.count_if(counted).alias("track_users"))
    pairs = pairs.join(users_of, "track_id").repartition(PARTS, "part")
    of_user = Window.partitionBy("part", "user_id")
    kept = (F.col("track_users") >= params.min_track_users) | (params.min_track_users == 1)
    if params.min_user_plays > 1:
        kept = kept & (F.count_if(kept & counted).over(of_user) >= params.min_user_plays)
    pairs = pairs.withColumns({"kept": kept, "known": F.lit(True)})
    pairs = pairs.withColumn("user_kept", F.bool_or("kept").over(of_user))
    if params.protocol == "strong_generalization":
        pairs = pairs.withColumn("drawn", _drawn_user(params)[1])
        known = pairs.where("kept and not drawn").select("track_id").distinct()
        known = known.withColumn("in_training", F.lit(True))
        pairs = pairs.join(known, "track_id", "left").repartition(PARTS, "part")
        pairs = pairs.withColumn("known", F.col("in_training").isNotNull() | ~F.col("drawn"))
    return pairs.withColumn("usable", F.col("kept") & F.col("known"))


def _split(pairs: DataFrame, plan: Plan) -> DataFrame:
    """Pairs with their `split`, null where they have none, as `in_memory._split` says."""
    of_user = Window.partitionBy("part", "user_id")
    filtered = "usable" in pairs.columns
    usable = F.col("usable") if filtered else F.lit(True)
    pairs = pairs.withColumns({"overlap": F.lit(False), "new": F.lit(False)})
    if plan.windows or filtered:
        in_order = of_user.orderBy(usable.desc(), "track_id", "place")
        pairs = pairs.withColumn("first_of_user", F.row_number().over(in_order) == 1)
    if plan.drawn:
        split = _drawn_split(plan.params, usable if filtered else None)
        return pairs.withColumn("split", F.when(usable, split))
    name = _by_place(plan.splits)
    if plan.windows:
        trained = F.bool_or(usable & (F.col("place") == 0)).over(of_user)
        pairs = pairs.withColumn("new", usable & ~trained)
        return pairs.withColumn("split", F.when(usable & ~F.col("new"), name))
    there = F.expr("bit_or(shiftleft(1, place)) over (partition by part, user_id, track_id)")
    pairs = pairs.withColumn("overlap", there.bitwiseAND(_by_place(plan.known)) > 0)
    return pairs.withColumn("split", F.when(~F.col("overlap"), name))


def _by_place(values: Sequence[str | int]) -> Column:
    return F.get(F.array(*map(F.lit, values)), F.col("place"))


def _drawn_split(params: DataParams, usable: Column | None) -> Column:
    """The split of each usable pair, as `in_memory._drawn_splits` says; null where it has none."""
    user, chosen = _drawn_user(params)
    draw = hash_fraction(params.seed, *_KEY, salt=HOLDOUT_PLAYS)
    of_user = Window.partitionBy("part", "user_id")
    first = [] if usable is None else [usable.desc()]
    # Training users need no order among their plays: a constant spares comparing it.
    order = of_user.orderBy(
        *first, F.when(chosen, F.col(params.held_out_by)).desc(), F.when(chosen, draw), "track_id"
    )
    plays = (F.count("*") if usable is None else F.count_if(usable)).over(of_user)
    wanted = F.floor(plays * params.held_out + 0.5)
    held = chosen & (F.row_number().over(order) <= F.least(plays - 1, F.greatest(wanted, F.lit(1))))
    kind = F.when(user < params.validation_users, F.lit("validation")).otherwise(F.lit("test"))
    split = F.when(held, kind)
    if params.protocol == "strong_generalization":
        split = split.when(chosen, F.when(plays > 1, F.concat(kind, F.lit(HISTORY))))
    return split.otherwise(F.lit("train"))


def _numbers(plan: Plan) -> list[Column]:
    overlap, split, rows = F.col("overlap"), F.col("split"), F.col("merged") + 1
    found = [F.sum(F.when(~overlap, F.col("merged"))).alias("merged")]
    for place, name in enumerate(plan.splits):
        found.append(F.sum(F.when(split == name, F.col("merged"))).alias(f"merged {name}"))
        both = overlap & (F.col("place") == place)
        if not plan.drawn:
            found.append(F.sum(F.when(both, rows)).alias(f"both {name}"))
            found.append(F.min(F.when(both, F.struct(*_KEY))).alias(f"first both {name}"))
    left_out = {
        "plays_filtered": "not kept",
        "users_filtered": "first_of_user and not user_kept",
        "plays_of_unknown_tracks": "kept and not known",
        "plays_of_short_histories": "usable and split is null",
        "plays_without_history": "new",
        "users_without_history": "new and first_of_user",
    }
    return found + [F.count_if(F.expr(left_out[name])).alias(name) for name in plan.left_out]
