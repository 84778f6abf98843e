"""Keep a share of the full-history users, and every validation and test user whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.params.downsample import DownsampleParams
from musicrec.spark.hashing import hash_fraction

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KINDS = ("full_history", "validation", "test")


def downsample(
    train: DataFrame, validation: DataFrame, test: DataFrame, params: DownsampleParams
) -> tuple[DataFrame, dict[str, Any]]:
    """Choose the training users by hash of (seed, user).

    A full-history user (one of neither `validation` nor `test`) is kept when the hash, a number
    in [0, 1), is below `fraction`: a larger fraction keeps the same users and more.

    Parameters
    ----------
    train, validation, test : DataFrame
        Columns `user_id`, `track_id`, `count`.

    Returns
    -------
    plays : DataFrame
        The rows of `train` of the users kept.
    summary : dict
        For each of KINDS, and together: users and plays of `train`, kept and dropped.

    Raises
    ------
    MusicRecError
        No play is left.
    """
    from pyspark.sql import functions as F

    held_out = validation.select("user_id", F.lit("validation").alias("kind")).unionByName(
        test.select("user_id", F.lit("test").alias("kind"))
    )
    kinds = held_out.groupBy("user_id").agg(F.min("kind").alias("kind"))
    chosen = hash_fraction(params.seed, "user_id", salt="downsample") < params.fraction

    def judge(frame: DataFrame) -> DataFrame:
        known = frame.join(kinds, "user_id", "left")
        return known.withColumn("kept", F.col("kind").isNotNull() | chosen)

    summary = summarise(judge(train.groupBy("user_id").agg(F.count("*").alias("plays"))))
    if not summary["kept"]["plays"]:
        raise MusicRecError(
            f"downsample.fraction = {params.fraction:g} leaves no training plays of the "
            f"{summary['dropped']['users']} full-history users; raise it"
        )
    return judge(train).where("kept").select("user_id", "track_id", "count"), summary


def summarise(users: DataFrame) -> dict[str, Any]:
    """Count users and plays, kept and dropped, by kind of user; ids stay in Spark.

    `users` has a row a user: `kind` (null: full history), `kept`, `plays`.
    """
    from pyspark.sql import functions as F

    groups = users.groupBy("kind", "kept").agg(
        F.count("*").alias("users"), F.sum("plays").alias("plays")
    )
    found = {(row.kind or "full_history", row.kept): row for row in groups.collect()}
    summary: dict[str, Any] = {}
    for fate, kept in (("kept", True), ("dropped", False)):
        rows = {kind: found.get((kind, kept)) for kind in KINDS}
        counts = {
            kind: {"users": row.users if row else 0, "plays": row.plays if row else 0}
            for kind, row in rows.items()
            if kept or kind == "full_history"
        }
        total = {name: sum(c[name] for c in counts.values()) for name in ("users", "plays")}
        summary[fate] = total | (counts if kept else {})
    return summary


def headline(summary: dict[str, Any]) -> dict[str, int]:
    """Figures of `metrics/downsample.json`."""
    return {
        f"{name}_{fate}": summary[fate][name]
        for fate in ("kept", "dropped")
        for name in ("users", "plays")
    }


def kept_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `plots/downsample.json`: training users and plays kept, by kind of user."""
    return [{"kind": kind, "fate": "kept"} | summary["kept"][kind] for kind in KINDS] + [
        {"kind": "full_history", "fate": "dropped"} | summary["dropped"]
    ]


def describe(summary: dict[str, Any]) -> str:
    """Say in a line what was kept, for the terminal."""
    kept, dropped = summary["kept"], summary["dropped"]
    return (
        f"kept {kept['users']:,} users with {kept['plays']:,} plays; left out {dropped['users']:,} "
        f"full-history users with {dropped['plays']:,} plays (downsample.fraction)"
    )
