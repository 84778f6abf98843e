"""Folders that hold plays twice are refused; shards that look alike are not."""

from __future__ import annotations

import gzip
import io
import os
import zipfile

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.source.copies import refuse_copies
from musicrec.ingest.source.listing import list_files
from musicrec.ingest.splits.split import tables_of
from tests.support.plays import PLAYS, data_params, text_of, write, write_parquet

CSV = text_of(PLAYS).encode()
MORE = CSV + b"a,b,1\n"
OTHER = text_of(PLAYS[50:]).encode()
SMALL = b"user_id,track_id,count\na,b,1\nc,d,2\n"


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", content)
    return packed.getvalue()


# name: (files, what the sentence must hold)
TWICE = {
    "packed and not": ({"plays.csv": CSV, "plays.csv.gz": gzip.compress(MORE)}, "plays.csv.gz"),
    "a zip": ({"plays.csv": CSV, "plays.zip": zipped(MORE)}, "plays.csv and plays.zip"),
    "two formats": ({"plays.csv": CSV, "plays.tsv": OTHER}, "plays.csv and plays.tsv"),
    "two notations of JSON": ({"p.json": b"[]", "p.jsonl": b"{}"}, "p.json and p.jsonl"),
    "given splits": ({"train.csv": CSV, "train.csv.xz": OTHER, "test.csv": b"x"}, "train.csv.xz"),
    "a second download": ({"plays.csv": CSV, "plays (1).csv": MORE}, "plays (1).csv"),
    "another download": ({"plays.csv.gz": CSV, "plays.csv(2).gz": MORE}, "plays.csv(2).gz"),
    "of wget": ({"plays.csv": CSV, "plays.csv.1": MORE}, "plays.csv.1"),
    "a former state": ({"plays.csv": CSV, "plays_old.csv": OTHER}, "plays_old.csv"),
    "a version": ({"plays.csv": CSV, "plays-v2.csv": OTHER}, "plays-v2.csv"),
    "German": ({"plays.csv": CSV, "plays - Kopie (2).csv": MORE}, "Kopie (2).csv: looks like"),
    "German of old": ({"plays.csv": CSV, "Kopie von plays.csv": MORE}, "Kopie von plays.csv: loo"),
    "Spanish": ({"plays.csv": CSV, "plays copia.csv": MORE}, "plays copia.csv: looks like"),
    "Emacs": ({"plays.csv": CSV, "#plays.csv#": MORE}, "#plays.csv#: looks like"),
    "half a download": ({"plays.csv": CSV, "plays2.csv.part": MORE}, "plays2.csv.part: looks like"),
    "other line ends": ({"a.csv": CSV, "b.csv": CSV.replace(b"\n", b"\r\n")}, "line ends"),
    "a mark, no last line end": ({"a.csv": CSV, "b.csv": b"\xef\xbb\xbf" + CSV[:-1]}, "are equal"),
    "packed twice": (
        {"a.gz": gzip.compress(CSV, mtime=1), "b.gz": gzip.compress(CSV, 1, mtime=2)}, "packing"
    ),
    "packed under another name": ({"b/plays.csv": CSV, "all.zip": zipped(CSV)}, "are equal but"),
    "small files": ({"a.csv": SMALL, "b.csv": SMALL}, "equal byte for byte"),
    "one line of JSON": ({"a.json": b'[{"a": 1}]' * 99, "b.json": b'[{"a": 1}]' * 99}, "are equal"),
    "a folder for each day": (
        {"day=1/p.csv": CSV * 40, "day=2/p.csv": CSV * 40}, "day=1/p.csv and day=2/p.csv are equal"
    ),
}  # fmt: skip
ONCE = {
    "quiet days": {"day=1/p.csv": SMALL, "day=2/p.csv": SMALL},
    "a year in brackets": {"listens.csv": CSV, "listens (2020).csv": OTHER},
    "a version that is a year": {"plays.csv": CSV, "plays_v2020.csv": OTHER},
    "a title": {"original-soundtracks.csv": CSV, "soundtracks.csv": OTHER},
    "words amid a name": {"plays-kopi-luwak.csv": CSV, "users-backup-service.csv": OTHER},
    "parts": {"listens.part": CSV, "listens2.part": OTHER},
    "shards": {"part-0.csv": CSV, "part-1.csv": OTHER, "part-2.csv": MORE},
    "numbered": {"plays (1).csv": CSV, "plays (2).csv": OTHER},
    "rotated logs": {"events.log": CSV, "events.log.1": OTHER},
    "years": {"2020.csv": CSV, "2021.csv.gz": gzip.compress(OTHER), "2021/2020.csv": MORE},
    "users": {"user_id=1/p.csv": CSV, "user_id=2/p.csv": CSV},
    "headers alone": {"a.csv": CSV, "b.csv": b"user_id,track_id\n", "c.csv": b"user_id,track_id\n"},
    "long headers alone": {"a.csv": CSV, "b.csv": b"a,b" * 999 + b"\n", "c.csv": b"a,b" * 999},
    "a pointer of DVC": {"p.csv": CSV, "p.csv.dvc": b"outs:\n", "a/b": SMALL, "a.dvc": b"o"},
    "damaged": {"a.gz": gzip.compress(CSV)[:60], "b.gz": gzip.compress(CSV, 1)[:60]},
}  # fmt: skip


def listed(folder, files):
    for name, content in files.items():
        write(folder / name, content)
    files = list_files(None, str(folder))
    refuse_copies(files, ["user_id", "track_id", "count"])
    return files


@pytest.mark.parametrize("name", TWICE)
def test_what_is_there_twice_is_refused(tmp_path, name):
    files, words = TWICE[name]
    with pytest.raises(MusicRecError, match="counted twice") as error:
        listed(tmp_path, files)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ONCE)
def test_what_only_looks_alike_is_read(tmp_path, name):
    files = {file: text for file, text in ONCE[name].items() if not file.endswith(".dvc")}
    assert {file.relative for file in listed(tmp_path, ONCE[name])} == files.keys()


def test_shards_of_parquet_without_rows_are_no_copies(tmp_path):
    for name in ("a", "b"):
        write_parquet(tmp_path / f"{name}.parquet", user_id=[], track_id=[], count=[])
    refuse_copies(list_files(None, str(tmp_path)))


def test_files_that_are_in_no_split_may_be_there_twice(tmp_path):
    for name in ("train", "validation", "test"):
        write(tmp_path / f"{name}.csv", text_of(PLAYS[len(name) :]))
    for name in ("songs.csv", "songs.tsv", "songs (1).csv"):
        write(tmp_path / name, CSV)
    files = list_files(None, str(tmp_path))
    tables_of(files, data_params(tmp_path, protocol="given"))
    write(tmp_path / "train.csv.gz", gzip.compress(CSV))
    with pytest.raises(MusicRecError, match=r"train.csv and train.csv.gz have one name"):
        tables_of(list_files(None, str(tmp_path)), data_params(tmp_path, protocol="given"))


def test_large_files_are_read_whole_only_where_they_may_be_equal(tmp_path, monkeypatch):
    from musicrec.ingest.source import copies

    read = []
    monkeypatch.setattr(copies, "_digest", lambda file: read.append(file.relative))
    files = {"a.csv": CSV, "b.csv": OTHER, "c.csv": CSV + b"x,y,1\n" * 999, "d.gz": CSV[5:]}
    listed(tmp_path, files)
    assert read == []


def test_pipes_and_hidden_files_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MusicRecError, match="pipe: this is a pipe or a device"):
        list_files(None, str(tmp_path / "pipe"))
    write(tmp_path / "s/_plays.csv", CSV)
    with pytest.raises(MusicRecError, match=r"left out \(_plays.csv: see"):
        list_files(None, str(tmp_path / "s"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_pointers_of_any_editor(tmp_path, encoding):
    path = write(tmp_path / "plays.csv", CSV)
    pointer = write(tmp_path / "plays.uri", f"file://{path}\r\n".encode(encoding))
    assert [file.relative for file in list_files(None, str(pointer))] == ["plays.csv"]
    write(pointer, b"\x81\x82")
    with pytest.raises(MusicRecError, match="holds one URI and nothing else"):
        list_files(None, str(pointer))
