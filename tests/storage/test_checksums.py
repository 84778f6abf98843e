"""A folder of a stage tells when a file of it is missing, altered or foreign."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.spark.session import local_uri
from musicrec.storage.files import CHECKSUMS, require_sound, write_array, write_checksums
from musicrec.storage.parquet import read_files, read_table, write_rows, write_table

PLAYS = pa.table(
    {
        "user_id": [f"u{n % 50}" for n in range(3000)],
        "track_id": [f"t{n * 7 % 3000}" for n in range(3000)],
        "count": list(range(1, 3001)),
    }
)


@pytest.fixture
def folder(tmp_path):
    """Two Parquet files, an array and a folder below, as a stage leaves them."""
    root = tmp_path / "out"
    for part in range(2):
        write_table(root / f"part-0000{part}.parquet", PLAYS.slice(1500 * part, 1500))
    write_array(root / "factors.npy", np.arange(100, dtype=np.float32))
    (root / "below").mkdir()
    write_checksums(root)
    return root


def test_what_the_stage_left_is_sound_as_a_whole_and_file_by_file(folder):
    (folder / ".DS_Store").touch()  # a file manager's
    require_sound(folder)
    require_sound(folder / "factors.npy")
    before = (folder / CHECKSUMS).read_bytes()
    write_checksums(folder)
    assert (folder / CHECKSUMS).read_bytes() == before
    assert read_table(folder / "part-00001.parquet").equals(PLAYS.slice(1500))


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def put(name, content):
    return lambda root: (root / name).write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (
        lambda root: (root / "part-00001.parquet").unlink(),
        "part-00001.parquet is missing",
    ),
    "emptied": (put("part-00001.parquet", b""), r"\(0 bytes, not "),
    "cut": (
        put("factors.npy", bytes(519)),
        r"factors.npy: not as the stage wrote it \(519 bytes, not 528\)",
    ),
    "flipped": (lambda root: flip(root / "factors.npy", 300), "other content of the same length"),
    "extra": (put("part-00002.parquet", b"x"), "part-00002.parquet: not a file of the stage"),
    "a folder in a file's place": (
        lambda root: ((root / "factors.npy").unlink(), (root / "factors.npy").mkdir()),
        "factors.npy is missing",
    ),
    "no checksums": (lambda root: (root / CHECKSUMS).unlink(), f"{CHECKSUMS} is missing"),
    "foreign checksums": (put(CHECKSUMS, b"[]"), "damaged since"),
    "damaged checksums": (lambda root: flip(root / CHECKSUMS, 0), "damaged since"),
    "binary checksums": (put(CHECKSUMS, b"\xff\x00"), "damaged since"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_sentence_that_says_how_to_get_the_file_back(folder, kind):
    damage, sentence = DAMAGE[kind]
    damage(folder)
    with pytest.raises(MusicRecError, match=sentence) as error:
        require_sound(folder)
    assert re.search("dvc checkout --force brings it back, dvc repro makes", str(error.value))
    assert "\n" not in str(error.value)


def test_only_the_file_that_is_read_must_be_sound(folder):
    flip(folder / "factors.npy", 300)
    read_table(folder / "part-00000.parquet")
    with pytest.raises(MusicRecError, match=r"factors\.npy"):
        read_table(folder)


def data_pages(path):
    """Places within the data pages of a file's last column."""
    chunk = pq.read_metadata(path).row_group(0).column(2)
    start = chunk.data_page_offset
    end = (chunk.dictionary_page_offset or start) + chunk.total_compressed_size
    return [start + (end - start) * share // 10 for share in (5, 7, 9)]


@pytest.mark.parametrize(
    "write", [write_table, lambda path, table: write_rows(path, [table], table.schema)]
)
def test_arrow_finds_a_flipped_bit_by_the_checksum_of_its_page(tmp_path, write):
    """Without the folder's checksums, as where a table is read from a revision."""
    path = tmp_path / "plays.parquet"
    write(path, PLAYS)
    assert read_files([path]).equals(PLAYS)
    for place in data_pages(path):
        flip(path, place)
        with pytest.raises(OSError, match=r"[Cc]hecksum|CRC"):
            read_files([path])
        flip(path, place)


def test_spark_finds_a_flipped_bit_by_the_checksum_of_its_page(spark, tmp_path):
    path = tmp_path / "plays.parquet"
    pq.write_table(PLAYS, path, compression="none", use_dictionary=False, write_page_checksum=True)
    whole = spark.read.parquet(local_uri(path)).collect()
    assert len(whole) == 3000
    for place in data_pages(path):
        flip(path, place)
        with pytest.raises(Exception, match=r"[Cc]hecksum|CRC"):
            spark.read.parquet(local_uri(path)).collect()
        flip(path, place)
