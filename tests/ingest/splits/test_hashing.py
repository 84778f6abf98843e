import numpy as np
import pytest
from pyspark.sql import functions as F

from musicrec.ingest.splits.hashing import hash_fraction


def fractions(frame, *args, **kwargs):
    rows = frame.select("id", hash_fraction(*args, **kwargs).alias("h")).collect()
    return np.array([row.h for row in sorted(rows, key=lambda row: int(row.id))])


@pytest.fixture(scope="module")
def ids(spark):
    return spark.range(20_000, numPartitions=3).select(F.col("id").cast("string").alias("id"))


def test_uniform_on_the_unit_interval(ids):
    values = fractions(ids, 42, "id", salt="test")
    assert values.min() >= 0.0 and values.max() < 1.0
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    chi_squared = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_squared < 50  # 19 degrees of freedom: 1 in 10,000 by chance


def test_order_and_partitions_do_not_matter(ids):
    shuffled = ids.repartition(7).orderBy(F.col("id").desc())
    again = fractions(shuffled, 42, "id", salt="test")
    np.testing.assert_array_equal(fractions(ids, 42, "id", salt="test"), again)


@pytest.mark.parametrize("other", [{"seed": 43, "salt": "test"}, {"seed": 42, "salt": "other"}])
def test_seeds_and_salts_choose_independently(ids, other):
    base = fractions(ids, 42, "id", salt="test")
    changed = fractions(ids, other["seed"], "id", salt=other["salt"])
    both = np.mean((base < 0.5) & (changed < 0.5))
    assert abs(both - 0.25) < 0.015  # 5 standard errors


def test_column_boundaries_count(spark):
    frame = spark.createDataFrame([("1", "ab", "c"), ("2", "a", "bc")], ["id", "left", "right"])
    first, second = fractions(frame, 1, "left", "right", salt="test")
    assert first != second


def test_known_values_stay(ids):
    """A new Spark must not silently choose other users."""
    first_three = fractions(ids.filter("id < 3"), 42, "id", salt="test")
    np.testing.assert_array_equal(
        first_three, [0.4682157396997011, 0.5240649601271034, 0.9029261040745602]
    )
