"""What `metrics/data.json` says about the ingested splits."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.ingest.split import SPLITS
from musicrec.spark.parts import read_parts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def describe_splits(spark: SparkSession, folder: Path) -> dict[str, dict[str, Any]]:
    """Count rows, users and tracks of each split, and describe its play counts.

    Parameters
    ----------
    folder : Path
        Holds the Parquet parts of `train`, `validation` and `test`.

    Returns
    -------
    dict
        For each split `rows`, `users`, `tracks`, `count` (see `describe_counts`) and
        `share_of_count_1`; for the held-out ones `cold_users` and `cold_tracks`, those without a
        training row.
    """
    from pyspark.sql import functions as F

    splits = {split: read_parts(spark, folder / split) for split in SPLITS}
    metrics: dict[str, dict[str, Any]] = {split: {} for split in SPLITS}
    for column, name in (("user_id", "users"), ("track_id", "tracks")):
        for key, value in _distinct(splits, column).items():
            split, measure = key.split(" ")
            metrics[split][f"{measure}{name}"] = value
    histograms: dict[str, dict[int, int]] = {split: {} for split in SPLITS}
    frames = [frame.select("count", F.lit(split).alias("split")) for split, frame in splits.items()]
    for row in _union(frames).groupBy("split", "count").agg(F.count("*").alias("rows")).collect():
        histograms[row["split"]][row["count"]] = row["rows"]
    for split, histogram in histograms.items():
        rows = sum(histogram.values())
        metrics[split] |= {
            "rows": rows,
            "count": describe_counts(histogram),
            "share_of_count_1": float(Fraction(histogram.get(1, 0), rows)),
        }
    return metrics


def _distinct(splits: dict[str, DataFrame], column: str) -> dict[str, int]:
    """Count a column's distinct values in each split, and those that training does not have."""
    from pyspark.sql import functions as F

    frames = [frame.select(column, F.lit(split).alias("split")) for split, frame in splits.items()]
    present = [F.max(F.col("split") == split).alias(split) for split in SPLITS]
    values = _union(frames).groupBy(column).agg(*present)
    counted = [F.count_if(F.col(split)).alias(f"{split} ") for split in SPLITS]
    cold = [
        F.count_if(F.col(split) & ~F.col("train")).alias(f"{split} cold_") for split in SPLITS[1:]
    ]
    return values.agg(*counted, *cold).first().asDict()


def _union(frames: list[DataFrame]) -> DataFrame:
    first, *others = frames
    for other in others:
        first = first.unionByName(other)
    return first


def describe_counts(histogram: dict[int, int]) -> dict[str, float]:
    """Describe play counts as pandas' `describe` does, exactly.

    Sums are of whole numbers and are rounded once, at the end, so that the result does not follow
    the order of the rows.

    Parameters
    ----------
    histogram : dict
        Count -> number of rows, at least one.

    Returns
    -------
    dict
        `mean`; `sd`, of a sample (0 for a single row); `min`, `p25`, `median`, `p75`, `max`,
        interpolated linearly between the two nearest rows.
    """
    rows = sum(histogram.values())
    total = sum(count * n for count, n in histogram.items())
    squares = sum(count * count * n for count, n in histogram.items())
    variance = Fraction(squares * rows - total * total, rows * max(rows - 1, 1))
    quartiles = {"p25": Fraction(1, 4), "median": Fraction(1, 2), "p75": Fraction(3, 4)}
    return {
        "mean": float(Fraction(total, rows)),
        "sd": math.sqrt(variance),
        "min": min(histogram),
        "max": max(histogram),
        **{name: _quantile(histogram, rows, share) for name, share in quartiles.items()},
    }


def _quantile(histogram: dict[int, int], rows: int, share: Fraction) -> float:
    position = (rows - 1) * share
    below = math.floor(position)
    lower = _nth(histogram, below)
    upper = _nth(histogram, min(below + 1, rows - 1))
    return float(lower + (upper - lower) * (position - below))


def _nth(histogram: dict[int, int], n: int) -> int:
    """The count of row n (from 0), rows sorted by count."""
    passed = 0
    for count in sorted(histogram):
        passed += histogram[count]
        if passed > n:
            return count
    raise IndexError(n)
