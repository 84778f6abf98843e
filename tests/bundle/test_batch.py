"""The lists of all users are the answers of `recommend`, in process and on Spark, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from musicrec.bundle import Bundle, batch
from musicrec.bundle.batch import Request, recommend_all, recommend_all_on_spark
from musicrec.bundle.query import Options
from musicrec.cli import main
from musicrec.storage import parquet
from tests.support.served import N_USERS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("options", [{}, {"exclude_seen": False}])
@pytest.mark.parametrize("k", [0, 5, 10**9])
def test_every_user_gets_the_answer_of_recommend(
    bundle: Bundle, tmp_path: Path, k: int, options: Options
) -> None:
    path = tmp_path / "top.parquet"
    recommend_all(bundle, path, Request(bundle.query(k, **options)))
    expected = []
    for user in bundle.users:
        answer = bundle.recommend(user, k, **options)
        expected += [
            {
                "user_id": user,
                "position": position,
                "track_id": found.track_id,
                "score": found.score,
                "source": answer.source,
            }
            for position, found in enumerate(answer, 1)
        ]
    assert pq.read_table(path).to_pylist() == expected


def test_bytes_do_not_follow_the_blocks(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(bundle.query(5))
    monkeypatch.setattr(parquet, "ROW_GROUP", 37)
    contents = []
    for users in (1, 7, 4096):
        monkeypatch.setattr(batch, "USERS_A_BLOCK", users)
        recommend_all(bundle, tmp_path / "top.parquet", request)
        contents.append((tmp_path / "top.parquet").read_bytes())
    assert len(set(contents)) == 1
    assert pq.ParquetFile(tmp_path / "top.parquet").num_row_groups == -(-N_USERS * 5 // 37)


def test_spark_gives_the_same_bytes_and_shuffles_nothing(
    spark: SparkSession, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shuffled() -> int:
        status = spark.sparkContext._jsc.sc().statusStore()
        return int(status.executorSummary("driver").totalShuffleWrite())

    before = shuffled()
    monkeypatch.setattr(batch, "USERS_A_BLOCK", 7)  # several partitions and batches
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    for k in (10**9, 6):
        request = Request(bundle.query(k))
        recommend_all(bundle, here, request)
        recommend_all_on_spark(spark, bundle, there, request)
        assert there.read_bytes() == here.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"here.parquet", "there.parquet"}
    assert shuffled() == before


def test_the_command_writes_the_file(
    project: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new/top.parquet"
    words = ["recommend", "--bundle", str(project / "bundle"), "--all", "-k", "5"]
    assert main([*words, "--output", str(path), "--exclude", "item-1", "nobody"]) == 0
    request = Request(bundle.query(5, exclude=["item-1"]))
    recommend_all(bundle, tmp_path / "top.parquet", request)
    assert path.read_bytes() == (tmp_path / "top.parquet").read_bytes()
    printed = capsys.readouterr()
    assert printed.out.startswith(
        f"{path}: up to 5 tracks for each of {N_USERS} users, {5 * N_USERS} rows"
    )
    assert printed.out.count("\n") == 1
    assert "unknown to the model and left out: nobody" in printed.err
