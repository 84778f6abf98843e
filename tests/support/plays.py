"""A small table of plays, and files that hold it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.ingest.in_process.run import ingest_in_process
from musicrec.ingest.on_spark import ingest_on_spark
from musicrec.params import ColumnParams, DataParams
from musicrec.storage.parquet import read_table

HOLDOUT = {"protocol": "holdout", "validation_users": 0.3, "test_users": 0.3}
SPLITS = ("train", "validation", "test")
POSITIONS = {"user": 0, "track": 1, "count": 2}


@contextmanager
def small_jobs(spark) -> Iterator[None]:
    """Spark settings for tables of a hundred rows: nothing compiled, few tasks."""
    wanted = {
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
    }
    before = {key: spark.conf.get(key) for key in wanted}
    for key, value in wanted.items():
        spark.conf.set(key, value)
    yield
    for key, value in before.items():
        spark.conf.set(key, value)


@contextmanager
def tiny_blocks(spark, size: int) -> Iterator[None]:
    """Let Spark cut files into blocks of `size` bytes, a task each."""
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", str(size))
    yield
    spark.conf.set("spark.sql.files.maxPartitionBytes", before)


def data_params(source: Path | str, columns: dict | None = None, **kwargs) -> DataParams:
    return DataParams(source=str(source), columns=ColumnParams(**(columns or {})), **kwargs)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def write_parquet(path: Path, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


# 30 users with 1 to 6 tracks each, all ids and counts different enough to notice a mix-up.
PLAYS = [
    (str(100 + user), str(7 * track + user % 3), 1 + user * track)
    for user in range(30)
    for track in range(1 + user % 6)
]


def text_of(plays, separator=",", header="user_id,track_id,count", end="\n") -> str:
    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(map(str, row)) for row in plays]
    return end.join(lines) + end


def run(spark, source, tmp_path, **kwargs):
    """Ingest on Spark; what needs no Spark must come out the same without."""
    folder = tmp_path / "ingested"
    folder.mkdir()
    params = data_params(source, **kwargs)
    summary = ingest_on_spark(spark, params, folder)
    with tempfile.TemporaryDirectory() as name:
        found = ingest_in_process(params, Path(name))
        if found is None:
            assert not list(Path(name).iterdir())
        else:
            assert found == summary
            assert contents(Path(name)) == contents(folder)
    return summary, folder


def rows(folder: Path, split: str) -> list[tuple[str, str, int]]:
    table = read_table(folder / split)
    assert table.schema == pa.schema(
        [("user_id", pa.string()), ("track_id", pa.string()), ("count", pa.int64())]
    )
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def all_rows(folder: Path) -> dict[str, list[tuple[str, str, int]]]:
    return {split: sorted(rows(folder, split)) for split in SPLITS}


def together(folder: Path) -> list[tuple[str, str, int]]:
    return [row for split in all_rows(folder).values() for row in split]


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
