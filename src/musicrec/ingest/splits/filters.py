"""Splits that need the whole table first: filters of users and tracks, strong generalisation.

The order is that of Liang, Krishnan, Hoffman and Jebara (WWW 2018, "Variational autoencoders for
collaborative filtering") in their own code: first tracks with too few users go, then users with too
few of the tracks left, once each, so that a track may end up below its bound; then users are held
out; then held-out users lose the plays of tracks that no training user has; what is left of each is
cut into fold-in and truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.splits.split import held_out_user, holdout_split, splits_of
from musicrec.params import DataParams
from musicrec.storage.parquet import PARTS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation


def needs_whole_table(params: DataParams) -> bool:
    """Whether a play's split follows from more than its user's plays."""
    return params.protocol == "strong_generalization" or filters_on(params)


def filters_on(params: DataParams) -> bool:
    """Whether users or tracks are filtered."""
    return params.min_user_plays > 1 or params.min_track_users > 1


def require_table(params: DataParams) -> None:
    """Stop where filters would change splits that are given.

    Raises
    ------
    MusicRecError
        The protocol is `given` and a filter is set.
    """
    if params.protocol == "given" and filters_on(params):
        name = "min_user_plays" if params.min_user_plays > 1 else "min_track_users"
        raise MusicRecError(
            f"data.{name} = {getattr(params, name)} filters one table; data.protocol: given takes "
            "three as they are, so set it to 1 or use data.protocol: holdout"
        )


def split_filtered(plays: DataFrame, params: DataParams, observation: Observation) -> DataFrame:
    """Filter and split merged plays (one row a user and track).

    Parameters
    ----------
    plays : DataFrame
        Cheap to read several times: `user_id`, `track_id`, `count`, `merged`, and `time` with a
        timestamp.
    observation : Observation
        Gets what `add_filtered` reads.

    Returns
    -------
    DataFrame
        `split`, `user_id`, `track_id`, `count`, in `PARTS` partitions by user.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    timed = params.columns.timestamp is not None
    users_of = plays.groupBy("track_id").agg(F.count("*").alias("track_users"))
    plays = plays.join(users_of, "track_id").repartition(PARTS, "user_id")
    of_user = Window.partitionBy("user_id")
    track_kept = F.col("track_users") >= params.min_track_users
    _, chosen = held_out_user(params)
    plays = plays.withColumns({"track_kept": track_kept, "chosen": chosen})
    user_kept = F.count_if("track_kept").over(of_user) >= params.min_user_plays
    plays = plays.withColumn("user_kept", user_kept)
    usable = F.col("track_kept") & F.col("user_kept")
    plays = plays.withColumn("known", F.lit(True))
    if params.protocol == "strong_generalization":
        known = plays.filter(usable & ~F.col("chosen")).select("track_id").distinct()
        known = known.withColumn("in_training", F.lit(True))
        plays = plays.drop("known").join(known, "track_id", "left")
        in_training = F.col("in_training").isNotNull() | ~F.col("chosen")
        plays = plays.withColumn("known", in_training).repartition(PARTS, "user_id")
        usable = usable & F.col("known")
    plays = plays.withColumn("usable", usable)
    split = holdout_split(params, timed=timed, usable=F.col("usable"))
    first = F.row_number().over(of_user.orderBy("track_id")) == 1
    plays = plays.withColumns({"split": split, "first": first})
    plays = plays.observe(observation, *_numbers(params))
    return plays.filter(F.col("split").isNotNull()).select("split", "user_id", "track_id", "count")


def _numbers(params: DataParams) -> list[Column]:
    """What to observe over all plays, those left out too."""
    from pyspark.sql import functions as F

    kept = F.col("track_kept") & F.col("user_kept")
    too_short = F.col("usable") & F.col("split").isNull()
    observed = [
        F.count_if(~kept).alias("plays_filtered"),
        F.count_if(F.col("first") & ~F.col("user_kept")).alias("users_filtered"),
        F.count_if(kept & ~F.col("known")).alias("plays_of_unknown_tracks"),
        F.count_if(too_short).alias("plays_of_short_histories"),
    ]
    for name in splits_of(params):
        merged = F.when(F.col("split") == name, F.col("merged"))
        observed.append(F.sum(merged).alias(f"merged {name}"))
    return observed


def add_filtered(
    summary: dict[str, dict[str, Any]], observed: dict[str, Any], params: DataParams
) -> None:
    """Put what was observed into the summary: `left_out`, and `merged_rows` of each split."""
    summary["left_out"] = {
        name: observed[name] for name in ("plays_filtered", "users_filtered") if filters_on(params)
    }
    if params.protocol == "strong_generalization":
        for name in ("plays_of_unknown_tracks", "plays_of_short_histories"):
            summary["left_out"][name] = observed[name]
    for split in splits_of(params):
        summary[split] = {"merged_rows": observed[f"merged {split}"] or 0}
