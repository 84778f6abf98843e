"""The lists of all users are the answers of `recommend`, in process and on Spark, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from musicrec.bundle.bundle import Bundle
from musicrec.bundle.everyone import in_process as everyone
from musicrec.bundle.everyone.on_spark import recommend_all_on_spark
from musicrec.cli import main
from tests.support.served import N_USERS, name_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [0, 5, 10**9])
def test_every_user_gets_the_answer_of_recommend(
    bundle: Bundle, tmp_path: Path, k: int, exclude_seen: bool
) -> None:
    path = tmp_path / "top.parquet"
    everyone.recommend_all(bundle.model, path, k, exclude_seen)
    expected = []
    for user in range(N_USERS):
        answer = bundle.recommend(name_of("user", user), k, exclude_seen=exclude_seen)
        expected += [
            {
                "user_id": name_of("user", user),
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
    monkeypatch.setattr(everyone, "ROW_GROUP", 37)
    contents = []
    for users in (1, 7, 4096):
        monkeypatch.setattr(everyone, "USERS_A_BLOCK", users)
        everyone.recommend_all(bundle.model, tmp_path / "top.parquet", 5)
        contents.append((tmp_path / "top.parquet").read_bytes())
    assert len(set(contents)) == 1
    assert pq.ParquetFile(tmp_path / "top.parquet").num_row_groups == -(-N_USERS * 5 // 37)


@pytest.mark.parametrize("k", [6, 10**9])
def test_spark_gives_the_same_bytes(
    spark: SparkSession,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    k: int,
) -> None:
    monkeypatch.setattr(everyone, "USERS_A_BLOCK", 7)  # several partitions and batches
    everyone.recommend_all(bundle.model, tmp_path / "here.parquet", k)
    recommend_all_on_spark(spark, bundle.model, tmp_path / "there.parquet", k)
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"here.parquet", "there.parquet"}


def test_spark_shuffles_nothing(spark: SparkSession, bundle: Bundle, tmp_path: Path) -> None:
    before = (
        spark.sparkContext._jsc.sc().statusStore().executorSummary("driver").totalShuffleWrite()
    )
    recommend_all_on_spark(spark, bundle.model, tmp_path / "top.parquet", 6)
    after = spark.sparkContext._jsc.sc().statusStore().executorSummary("driver").totalShuffleWrite()
    assert after == before


def test_the_command_writes_the_file(
    project: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new/top.parquet"
    words = ["recommend", "--bundle", str(project / "bundle"), "--all", "-k", "5"]
    assert main([*words, "--output", str(path)]) == 0
    everyone.recommend_all(bundle.model, tmp_path / "top.parquet", 5)
    assert path.read_bytes() == (tmp_path / "top.parquet").read_bytes()
    said = capsys.readouterr().out
    assert said.startswith(
        f"{path}: up to 5 tracks for each of {N_USERS} users, {5 * N_USERS} rows"
    )
    assert said.count("\n") == 1
