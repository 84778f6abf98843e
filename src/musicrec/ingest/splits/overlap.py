"""Whether training knows the users and tracks that are held out, or calls them something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.params.data import DataParams
from musicrec.spark.parts import read_parts

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

_LEAST = 0.05  # share of held-out users, or tracks, that training must know


def require_overlap(
    spark: SparkSession, summary: dict[str, Any], params: DataParams, folder: Path
) -> None:
    """Stop where training knows hardly any held-out user or track.

    Nothing could be recommended to the users, or nothing of what they played, and every metric
    would be near 0. Most often ids were written in two ways, such as `12` and `12.0`.

    Parameters
    ----------
    summary : dict
        What `summary.describe_splits` says of the splits.
    folder : Path
        Holds them.

    Raises
    ------
    MusicRecError
        Under 5 % are known; the sentence shows two ids side by side.
    """
    for split, role, known in strangers(summary, params):
        ours, theirs = _two_ids(spark, folder, split, f"{role}_id")
        column = getattr(params.columns, role)
        raise MusicRecError(
            f"{params.source}: train has {known:,} of the {summary[split][f'{role}s']:,} {role}s "
            f"of {split} (column {column!r}), such as {ours!r} in train and {theirs!r} in "
            f"{split}; write the ids of all splits in the same form"
        )


def strangers(summary: dict[str, Any], params: DataParams) -> Iterator[tuple[str, str, int]]:
    """Yield split, role and number of those known, where training knows hardly any."""
    if params.protocol != "given":  # of one table, whose ids all have one form
        return
    for split in ("validation", "test"):
        described = summary[split]
        for role in ("user", "track"):
            known = described[f"{role}s"] - described[f"cold_{role}s"]
            if known < _LEAST * described[f"{role}s"]:
                yield split, role, known


def _two_ids(spark: SparkSession, folder: Path, split: str, column: str) -> tuple[str, str]:
    """An id of training and one of the split: of the same plain form, where there are such."""
    from pyspark.sql import functions as F

    def ids(name: str) -> Any:
        frame = read_parts(spark, folder / name)
        return frame.select(F.col(column).alias(name), _plain(F.col(column)).alias("plain"))

    held = ids(split).join(ids("train"), F.col(split) == F.col("train"), "left_anti")
    pairs = held.join(ids("train"), "plain")
    both = pairs.agg(F.min(F.struct("train", split)).alias("pair")).first()
    if both.pair:
        return both.pair["train"], both.pair[split]
    return (
        ids("train").agg(F.min("train")).first()[0],
        held.agg(F.min(split)).first()[0],
    )


def _plain(text: Column) -> Column:
    """An id without what tools change: case, zeros and signs around it, decimals of floats."""
    from pyspark.sql import functions as F

    bare = F.regexp_replace(F.lower(text), r"\.0+$", "")
    return F.regexp_replace(bare, r"^[^\p{L}\p{N}]*0*|[^\p{L}\p{N}]+$", "")
