"""On Spark's executors the lists of the held-out users are those of this process, all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from musicrec.als.fold_in import read_model
from musicrec.errors import MusicRecError
from musicrec.evaluate import on_spark
from musicrec.evaluate.judge import recommend
from musicrec.interactions.held_out import read_held_out
from tests.support.indexed_data import make_plays, write_factors, write_indexed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("length", [6, 500])  # 500: more than there are items
def test_the_same_lists(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(on_spark, "BYTES_A_JOB", 8 * length * 40)  # several jobs
    plays = make_plays()
    users = plays.users.copy()
    users[7] = 0  # has no list
    write_indexed(tmp_path / "indexed", plays)
    write_factors(tmp_path / "factors", users, plays.items)
    held_out = read_held_out(tmp_path / "indexed", "validation")
    queries, items = read_model(tmp_path / "factors", held_out)
    assert len(queries) > 2 * 40
    there = on_spark.recommend_on_spark(spark, held_out, queries, items, length)
    here = recommend(held_out, queries, items, length)
    for found, expected in zip(there, here, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(on_spark.VARIABLE, raising=False)
    assert not on_spark.on_spark()
    monkeypatch.setenv(on_spark.VARIABLE, "spark")
    assert on_spark.on_spark()
    monkeypatch.setenv(on_spark.VARIABLE, "sparks")
    with pytest.raises(MusicRecError, match="MUSICREC_EVALUATE_ON = 'sparks' is not allowed"):
        on_spark.on_spark()
