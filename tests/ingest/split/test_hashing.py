from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from musicrec.ingest.split import on_spark
from musicrec.interactions.hashing import hash_fraction, text_parts

IDS = pa.array([str(number) for number in range(20_000)])


def test_uniform_on_the_unit_interval():
    values = hash_fraction(42, IDS, salt="test")
    assert values.min() >= 0.0 and values.max() < 1.0
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # 19 degrees of freedom: 1 in 10,000


@pytest.mark.parametrize("other", [{"seed": 43, "salt": "test"}, {"seed": 42, "salt": "other"}])
def test_seeds_and_salts_choose_independently(other):
    base = hash_fraction(42, IDS, salt="test")
    changed = hash_fraction(other["seed"], IDS, salt=other["salt"])
    assert abs(np.mean((base < 0.5) & (changed < 0.5)) - 0.25) < 0.015  # 5 standard errors


def test_column_boundaries_count():
    left, right = pa.array(["ab", "a"]), pa.array(["c", "bc"])
    first, second = hash_fraction(1, left, right, salt="test")
    assert first != second


def test_known_values_stay():
    """A new version must not choose other users."""
    text = hashlib.md5(b"42\0test\x000").hexdigest()
    assert hash_fraction(42, IDS[:1], salt="test")[0] == int(text[:13], 16) / 2**52


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
