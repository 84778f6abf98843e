"""Draws by hash: the same in every version, and on both engines."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from musicrec.ingest.split import on_spark
from musicrec.interactions.hashing import hash_fraction, text_parts


@pytest.mark.parametrize(("seed", "salt"), [(42, "test"), (43, "test"), (42, "other")])
def test_a_draw_is_of_seed_salt_and_ids(seed, salt):
    """A new version must not choose other users; `ab`, `c` is not `a`, `bc`."""
    left, right = pa.array(["ab", "a"]), pa.array(["c", "bc"])
    texts = [f"{seed}\0{salt}\0{pair}".encode() for pair in ("ab\0c", "a\0bc")]
    expected = [int(hashlib.md5(text).hexdigest()[:13], 16) / 2**52 for text in texts]
    assert hash_fraction(seed, left, right, salt=salt).tolist() == expected


def test_spark_draws_the_same(spark):
    users = pa.array([f"é{number}" for number in range(300)] + ["漢" * 40])
    tracks = pa.array([f"t{number % 7}" for number in range(301)])
    rows = list(zip(users.to_pylist(), tracks.to_pylist(), strict=True))
    frame = spark.createDataFrame(rows, "user_id string, track_id string")
    found = frame.select(
        on_spark.hash_fraction(42, "user_id", salt="u").alias("user"),
        on_spark.hash_fraction(42, "user_id", "track_id", salt="p").alias("play"),
        on_spark.user_part("user_id").alias("part"),
    ).collect()
    assert [row.user for row in found] == hash_fraction(42, users, salt="u").tolist()
    assert [row.play for row in found] == hash_fraction(42, users, tracks, salt="p").tolist()
    assert [row.part for row in found] == text_parts(users, 8).tolist()
