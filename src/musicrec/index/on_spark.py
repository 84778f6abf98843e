"""Dense ids through Spark: for plays that one machine's memory does not hold."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from musicrec.index.in_memory import COLUMNS, id_map, write_id_maps
from musicrec.interactions.coded import IndexSizes
from musicrec.spark.parts import read_parts, write_splits
from musicrec.storage.parquet import LAST_PLAYED, PARTS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Splits = dict[str, "DataFrame"]  # train, validation, test, and what the latter are folded in with


def index_on_spark(spark: SparkSession, splits: Splits, folder: Path) -> IndexSizes:
    """Do what `run.index_splits` says through Spark, with the same bytes."""
    from pyspark.sql import functions as F

    tables = {name: _id_map(splits, *names) for name, names in COLUMNS.items()}
    sizes = write_id_maps(tables, folder)
    maps = [
        read_parts(spark, folder / "users.parquet", "user int, user_id string"),
        read_parts(spark, folder / "items.parquet", "item int, track_id string"),
    ]
    plays = _union(frame.withColumn("split", F.lit(name)) for name, frame in splits.items())
    for mapping in maps:
        plays = plays.join(mapping, mapping.columns[1])
    plays = plays.withColumn("part", F.col("user") % PARTS).repartition(PARTS, "part")
    values = [name for name in ("count", LAST_PLAYED.name) if name in plays.columns]
    rows = plays.select("split", "part", "user", "item", *values)
    write_splits(rows, folder, ["user", "item"])
    return sizes


def _id_map(splits: Splits, column: str, index: str) -> pa.Table:
    """Count ids in Spark; only the distinct ones reach the driver, as Arrow."""
    from pyspark.sql import functions as F

    rows = _union(
        frame.select(column, F.lit(int(name == "train")).cast("long").alias("row"))
        for name, frame in splits.items()
    )
    table = rows.groupBy(column).agg(F.sum("row").alias("plays")).toArrow().sort_by(column)
    ids = table.column(column).cast(pa.string()).combine_chunks()
    return id_map(ids, table.column("plays").to_numpy(), column, index)[0]


def _union(frames: Iterable[DataFrame]) -> DataFrame:
    return functools.reduce(lambda one, other: one.unionByName(other), frames)
