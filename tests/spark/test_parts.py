"""Parquet parts with stable names and bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from musicrec.spark.parts import read_parts, write_splits
from musicrec.storage.files import CHECKSUMS
from musicrec.storage.parquet import read_table

ODD = r"a 1%20 [b] {c,d} *e? \f ~ #é"


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_parts_have_stable_names_and_bytes(spark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """In folders with a space and what Spark takes for patterns, from rows in another order."""
    from pyspark.sql.functions import col, crc32, when

    rows = [(f"u{n % 7}", f"t{n}", n + 1) for n in range(50)]
    for name, order, partitions in ((ODD, rows, 1), ("b", rows[::-1], 5)):
        frame = spark.createDataFrame(order, "user_id string, track_id string, count long")
        # Not a constant, for which Spark would sort once more and lose the order of the key.
        of_row = when(col("count") > 0, "all").otherwise("none")
        split = frame.repartition(partitions).withColumn("split", of_row)
        parts = split.withColumn("part", crc32("track_id") % 3).repartition(3, "part")
        (tmp_path / name).mkdir()
        write_splits(parts, tmp_path / name, ["user_id", "track_id"])
    first, second = digests(tmp_path / ODD / "all"), digests(tmp_path / "b/all")
    assert first == second
    assert set(first) - {CHECKSUMS} == {f"part-0000{n}.parquet" for n in range(3)}
    written = read_table(tmp_path / "b/all").to_pylist()
    assert sorted(tuple(row.values()) for row in written) == sorted(rows)
    (tmp_path / "a 1%20 b c *e? f ~ #é").mkdir()  # which the name would match as a pattern
    assert sorted(map(tuple, read_parts(spark, tmp_path / ODD / "all").collect())) == sorted(rows)
