"""Many small sources read in one Spark job, to save the time that each would take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from musicrec.errors import MusicRecError
from musicrec.ingest.on_spark import checked_tables
from musicrec.params import DataParams


@dataclass
class Found:
    """What ingest makes of a source before it merges: its rows, or the sentence it stops with."""

    sentence: str = ""
    plays: list[tuple[str, str, int]] = field(default_factory=list)
    bad: Counter = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)
    times: list = field(default_factory=list)

    @property
    def tracks(self) -> set[str]:
        return {track for _, track, _ in self.plays}

    @property
    def users(self) -> set[str]:
        return {user for user, _, _ in self.plays}

    @property
    def total(self) -> int:
        return sum(count for _, _, count in self.plays)


def read_many(spark, sources: dict[str, DataParams], scratch: Path) -> dict[str, Found]:
    """Read and check every row of each source, as the `holdout` protocol does."""
    from pyspark.sql import functions as F

    found = {name: Found() for name in sources}
    union = None
    for place, (name, params) in enumerate(sources.items()):
        try:
            tables = checked_tables(spark, params, scratch / str(place) / "source")
        except MusicRecError as error:
            found[name].sentence = str(error)
            continue
        for frame in tables["plays"]:
            time = F.col("time") if "time" in frame.columns else F.lit(None)
            rows = frame.select(
                F.lit(name).alias("name"), "user_id", "track_id", "count", "reason", "file",
                time.cast("double").alias("time"),
            )  # fmt: skip
            union = rows if union is None else union.union(rows)
    for row in [] if union is None else union.collect():
        here = found[row.name]
        here.files.add(row.file)
        if row.reason is None:
            here.plays.append((row.user_id, row.track_id, row["count"]))
            here.times.append(row.time)
        else:
            here.bad[row.reason] += 1
    for here in found.values():
        here.plays.sort()
    return found
