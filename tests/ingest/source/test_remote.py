"""Plays on S3, read through Arrow from a real endpoint on loopback."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tests.support.many_sources import read_source
from tests.support.plays import HOLDOUT, PLAYS, data_params, text_of

KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}
QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def storage() -> Iterator[fs.S3FileSystem]:
    server_of = pytest.importorskip("moto.server", reason="make setup-bench")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        more = {"AWS_ENDPOINT_URL": f"http://{address}", "NO_PROXY": "127.0.0.1"}
        for name, value in {**KEYS, **QUIET, **more}.items():
            patch.setenv(name, value)
        system = fs.S3FileSystem(
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=address,
            scheme="http",
            allow_bucket_creation=True,
        )
        system.create_dir("plays")
        yield system
    server.stop()


def put(system: fs.S3FileSystem, path: str, data: bytes) -> None:
    with system.open_output_stream(path) as stream:
        stream.write(data)


def test_folders_of_packed_text_and_of_parquet(storage):
    put(storage, "plays/text/2020/a.csv.gz", gzip.compress(text_of(PLAYS[:50]).encode()))
    put(storage, "plays/text/b.csv", text_of(PLAYS[50:]).encode())
    put(storage, "plays/text/_SUCCESS", b"")
    for place, rows in enumerate((PLAYS[:50], PLAYS[50:])):
        columns = zip(("user_id", "track_id", "count"), zip(*rows, strict=True), strict=True)
        table = pa.table({name: list(column) for name, column in columns})
        pq.write_table(table, f"plays/parquet/part-{place}.parquet", filesystem=storage)
    for source in ("s3://plays/text", "s3a://plays/parquet/", "s3://plays/parquet"):
        found = read_source(data_params(source, **HOLDOUT))
        assert (found.sentence, found.plays, found.bad) == ("", sorted(PLAYS), {})
        assert len(found.files) == 2 and all("//plays/" in file for file in found.files)
    found = read_source(data_params("s3://plays/text/b.csv", **HOLDOUT))
    assert found.plays == sorted(PLAYS[50:]) and found.files == {"s3://plays/text/b.csv"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://plays/nothing", "s3://plays/nothing: no such file or folder"),
        ("s3://others/plays", "s3://others/plays: "),
        ("s3://plays/parquet/part-0.parquet", ""),
    ],
)
def test_what_is_not_there_is_one_sentence(storage, source, words):
    sentence = read_source(data_params(source, **HOLDOUT)).sentence
    assert words in sentence and bool(sentence) == bool(words) and "\n" not in sentence
