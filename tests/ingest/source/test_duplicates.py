"""Folders that hold plays twice are refused; files that look alike are not."""

import gzip

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.source.duplicates import refuse_duplicates
from musicrec.ingest.source.files import list_files
from musicrec.ingest.split.protocol import tables_of
from tests.support.plays import PLAYS, data_params, text_of, write, write_parquet

CSV = text_of(PLAYS).encode()
MORE = CSV + b"a,b,1\n"
OTHER = text_of(PLAYS[50:]).encode()
SMALL = b"user_id,track_id,count\na,b,1\nc,d,2\n"


TWICE = {
    "two names": {"a.csv": CSV, "b.csv": CSV},
    "packed and not": {"plays.csv": CSV, "plays.csv.gz": gzip.compress(CSV)},
    "other line ends": {"a.csv": CSV, "b.csv": CSV.replace(b"\n", b"\r\n")},
    "a mark, no last line end": {"a.csv": CSV, "b.csv": b"\xef\xbb\xbf" + CSV[:-1]},
    "one line of JSON": {"a.json": b'[{"a": 1}]' * 999, "b.json": b'[{"a": 1}]' * 999},
    "a folder for each day": {"day=1/p.csv": CSV * 40, "day=2/p.csv": CSV * 40},
}  # fmt: skip
ONCE = {
    "a rotated log": {"listens.csv": CSV, "listens.csv.1": OTHER},
    "quiet days": {"day=1/p.csv": SMALL, "day=2/p.csv": SMALL},
    "users": {"user_id=1/p.csv": CSV, "user_id=2/p.csv": CSV},
    "headers alone": {"a.csv": CSV, "b.csv": b"user_id,track_id\n", "c.csv": b"user_id,track_id\n"},
    "a pointer of DVC": {"p.csv": CSV, "p.csv.dvc": b"outs:\n", "a/b": SMALL, "a.dvc": b"o"},
    "damaged": {"a.gz": gzip.compress(CSV)[:60], "b.gz": gzip.compress(CSV, 1)[:60]},
}


def listed(folder, files):
    for name, content in files.items():
        write(folder / name, content)
    files, _ = list_files(str(folder))
    refuse_duplicates(files, ["user_id", "track_id", "count"])
    return files


@pytest.mark.parametrize("name", TWICE)
def test_equal_content_is_refused(tmp_path, name):
    with pytest.raises(MusicRecError, match=r"equal content.* set data\.duplicates: ignore"):
        listed(tmp_path, TWICE[name])


@pytest.mark.parametrize("name", ONCE)
def test_what_only_looks_alike_is_read(tmp_path, name):
    files = {file: text for file, text in ONCE[name].items() if not file.endswith(".dvc")}
    assert {file.relative for file in listed(tmp_path, ONCE[name])} == files.keys()


def test_a_name_of_a_copy_is_warned_of(tmp_path, capfd):
    for name in ("plays.csv", "plays.csv.bak"):
        write(tmp_path / name, text_of(PLAYS[len(name) :]))
    params = data_params(tmp_path, protocol="holdout")
    tables_of(list_files(str(tmp_path))[0], params)
    assert "plays.csv.bak: by its name this may be a copy" in capfd.readouterr().err


def test_shards_of_parquet_without_rows_are_no_copies(tmp_path):
    for name in ("a", "b"):
        write_parquet(tmp_path / f"{name}.parquet", user_id=[], track_id=[], count=[])
    refuse_duplicates(list_files(str(tmp_path))[0], [])


def test_files_that_are_in_no_split_may_be_there_twice(tmp_path):
    for name in ("train", "validation", "test"):
        write(tmp_path / f"{name}.csv", text_of(PLAYS[len(name) :]))
    for name in ("songs.csv", "songs.tsv"):
        write(tmp_path / name, CSV)
    params = data_params(tmp_path, protocol="given")
    tables_of(list_files(str(tmp_path))[0], params)
    write(tmp_path / "train.csv.gz", gzip.compress((tmp_path / "train.csv").read_bytes()))
    with pytest.raises(MusicRecError, match=r"train.csv and train.csv.gz have equal content"):
        tables_of(list_files(str(tmp_path))[0], params)


def test_which_files_of_a_folder(tmp_path):
    for name in ("a/x.json", "a/y.csv", "z.json", "manual.pdf"):
        write(tmp_path / name, CSV + name.encode())
    files, left_out = list_files(str(tmp_path), "*.json")
    assert [file.relative for file in files] == ["a/x.json", "z.json"]
    assert left_out == ["a/y.csv"]
    with pytest.raises(MusicRecError, match=r"data.files = '\*.tsv' matches none"):
        list_files(str(tmp_path), "*.tsv")
