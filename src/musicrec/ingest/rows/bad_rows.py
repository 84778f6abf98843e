"""Stopping at bad rows, and saying which they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.rows.flaws import REASONS
from musicrec.params import ColumnParams
from musicrec.spark.failures import display_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def stop_at_bad_rows(checked: DataFrame) -> DataFrame:
    """Let Spark fail at the first bad row it meets, so that a long job does not run in vain."""
    from pyspark.sql import functions as F

    reason = F.col("reason")
    return checked.withColumn("reason", F.when(reason.isNotNull(), F.raise_error(reason)))


def require_good_rows(frames: Iterable[DataFrame], columns: ColumnParams) -> None:
    """Read checked frames to find their bad rows and say so.

    Raises
    ------
    MusicRecError
        There are some. The sentence names the first file (in name order) that has any, the
        column, how many rows, and the first one by its place in that file.
    """
    from pyspark.sql import functions as F

    fields = ["bad_value", "shown_user", "shown_track"]
    found = []
    for frame in frames:
        # Within a file, rows are numbered in order, from one block (one task) to the next.
        place = F.struct("block", F.monotonically_increasing_id().alias("row"))
        bad = frame.withColumn("place", place).filter(F.col("reason").isNotNull())
        first = F.min(F.struct("place", *fields)).alias("first")
        found += bad.groupBy("file", "reason").agg(F.count("*").alias("rows"), first).collect()
    if not found:
        return
    order = list(REASONS)
    found.sort(key=lambda row: (row.file, order.index(row.reason)))
    chosen = found[0]
    role, words, advice = REASONS[chosen.reason]
    what = f"column {getattr(columns, role)!r} is {words}" if role else f"a line has {words}"
    hint = f"{advice}, " if advice else ""
    others = sum(row.rows for row in found[1:])
    shown = [_shown(value) for value in (chosen.first[name] for name in fields)]
    more = "row of the source is" if others == 1 else "rows of the source are"
    also = f" ({others:,} more {more} bad in other ways or files)" if others else ""
    ids = "" if not role else f" (user {shown[1]}, track {shown[2]})"
    raise MusicRecError(
        f"{display_path(chosen.file)}: {what} in {chosen.rows:,} row{'s' * (chosen.rows != 1)}, "
        f"first in {shown[0]}{ids}{also}; {hint}fix the source or set data.on_bad_rows: drop"
    )


def _shown(value: str | None) -> str:
    return "null" if value is None else repr(value if len(value) <= 80 else value[:77] + "...")
