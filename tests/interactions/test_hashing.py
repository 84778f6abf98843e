"""Hashes of texts and numbers are Spark's, and those of their designers."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from musicrec.interactions import hashing

LETTERS = "abcdé漢😀 0123"
N = 2_000


def texts(seed: int, longest: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice(LETTERS) for _ in range(draw.randrange(longest))) for _ in range(N)]


A, B = texts(1, 80), texts(2, 9)


def test_xxh64_of_known_texts():
    """Values of the reference implementation, with the seed 0."""
    known = {
        "": 0xEF46DB3751D8E999,
        "a": 0xD24EC4F1A98C6E5B,
        "abc": 0x44BC2CF5AD770999,
    }
    found = hashing.xxhash64(pa.array(list(known)), np.zeros(len(known), np.uint64))
    assert found.tolist() == list(known.values())


@pytest.mark.parametrize("seed", [0, 7, -5, 2**62])
def test_hash_fraction_is_that_of_spark(spark, seed):
    from musicrec.ingest.splits.hashing import hash_fraction

    rows = [(i, a, b) for i, (a, b) in enumerate(zip(A, B, strict=True))]
    frame = spark.createDataFrame(rows, "i int, a string, b string")
    chosen = hash_fraction(seed, "a", "b", salt="sält x").alias("fraction")
    expected = frame.select("i", chosen).orderBy("i").toArrow()["fraction"].to_numpy()
    found = hashing.hash_fraction(seed, pa.array(A), pa.array(B), salt="sält x")
    assert np.array_equal(found, expected)
    assert 0.4 < found.mean() < 0.6


@pytest.mark.parametrize("parts", [1, 8])
def test_parts_are_those_of_repartition(spark, parts):
    from pyspark.sql import functions as F

    frame = spark.createDataFrame([(i - N // 2, a) for i, a in enumerate(A)], "i int, a string")
    for column, found in (
        ("a", hashing.text_parts(pa.array(A), parts)),
        ("i", hashing.number_parts(np.arange(-N // 2, N // 2, dtype=np.int32), parts)),
    ):
        lying = frame.repartition(parts, column).select("i", F.spark_partition_id().alias("part"))
        rows = lying.orderBy("i").toArrow()["part"].to_pylist()
        assert found.tolist() == rows


def test_slices_and_large_texts_hash_alike():
    whole = pa.array(A)
    seeds = np.arange(N, dtype=np.uint64)
    expected = hashing.xxhash64(whole, seeds)
    assert np.array_equal(hashing.xxhash64(whole.slice(7), seeds[7:]), expected[7:])
    assert np.array_equal(hashing.xxhash64(whole.cast(pa.large_string()), seeds), expected)
    assert len(hashing.xxhash64(whole.slice(N), seeds[N:])) == 0
