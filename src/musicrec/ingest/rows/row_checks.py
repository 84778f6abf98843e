"""Every row of a source checked and converted to the canonical schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.ingest.formats.frames import Table
from musicrec.ingest.rows.counts import checked_count
from musicrec.ingest.rows.flaws import REASONS, Flaws
from musicrec.ingest.rows.ids import checked_id, null_words
from musicrec.ingest.rows.times import checked_time
from musicrec.params import ROLES, DataParams

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def check_rows(table: Table, params: DataParams) -> DataFrame:
    """Convert rows to the canonical schema, bad ones marked.

    Returns
    -------
    DataFrame
        `user_id` string, `track_id` string, `count` int64 (1 without a count column), `time`
        decimal(38,9) and `time_form` int (with a timestamp column: see `times.checked_time`),
        `reason` null or the first of `REASONS` that holds; the ids are null where the reason is
        not. `bad_value`, `shown_user`, `shown_track`, `file` and `block` serve the message.

    Raises
    ------
    MusicRecError
        A column's type cannot hold an id, a count or a time.
    """
    from pyspark.sql import functions as F

    columns, file = params.columns, table.first
    roles = [role for role in ROLES if role in table.frame.columns]
    frame = table.frame
    nulls = null_words(params.null_words)
    flaws: Flaws = [(table.reason, F.col("broken").isNotNull())]
    for role in ("user", "track"):
        frame, found = checked_id(frame, role, file, columns, nulls)
        flaws += found
    shown = {"": "broken", "user": "user", "track": "track", "timestamp": "timestamp"}
    if "count" in roles:
        frame, found = checked_count(frame, file, columns, params.decimal)
        flaws += found
        shown["count"] = "shown_count"
    else:
        frame = frame.withColumn("count", F.lit(1).cast("long"))
    if "timestamp" in roles:
        frame, found = checked_time(frame, file, columns, params.time_format)
        flaws += found
    reason = F.coalesce(*[F.when(flaw, F.lit(name)) for name, flaw in flaws])
    good = F.col("reason").isNull()
    values = [
        F.when(F.col("reason").isin(*names), F.col(shown[role]).cast("string"))
        for role in ["", *roles]
        if (names := [name for name, _ in flaws if REASONS[name][0] == role])
    ]
    return frame.withColumn("reason", reason).select(
        F.when(good, F.col("user")).alias("user_id"),
        F.when(good, F.col("track")).alias("track_id"),
        F.when(good, F.col("count")).alias("count"),
        *(["time", "time_form"] if "timestamp" in roles else []),
        "reason",
        F.coalesce(*values).alias("bad_value"),
        F.col("user").alias("shown_user"),
        F.col("track").alias("shown_track"),
        "file",
        "block",
    )
