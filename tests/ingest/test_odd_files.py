"""Files that are not quite what they seem: read right, warned of, or named, on both roads."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from tests.support.many_sources import Found, read_many
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    data_params,
    run,
    text_of,
    write,
    write_parquet,
)

CSV = text_of(PLAYS)
ACCENTS = [("Zoë", "Café", 2), *PLAYS]
LATIN = {"encoding": "latin-1"}
USERS, TRACKS, COUNTS = map(list, zip(*PLAYS, strict=True))


def text(content: str | bytes, name="plays.csv") -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, content)


def folder_of(**files: str | bytes) -> Callable[[Path], Path]:
    return lambda folder: (
        [write(folder / "s" / name, file) for name, file in files.items()] and (folder / "s")
    )


def zipped(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def with_password() -> bytes:
    packed = bytearray(zipped(**{"plays.csv": CSV}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + place] |= 1
    return bytes(packed)


def parquet(rows=PLAYS) -> bytes:
    users, tracks, counts = map(list, zip(*rows, strict=True))
    packed = io.BytesIO()
    pq.write_table(pa.table({"user_id": users, "track_id": tracks, "count": counts}), packed)
    return packed.getvalue()


def empty_shard(**columns) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write(folder / "s/a.parquet", parquet())
        return write_parquet(folder / "s/b.parquet", **columns).parent

    return make


NOTHING = pa.array([], pa.null())
HALVES = {"a.csv": text_of(PLAYS[:50]), "b.csv": text_of(PLAYS[50:])}
# name: (source, parameters, plays)
READ: dict[str, tuple[Callable[[Path], Path], dict, list]] = {
    "a mark of UTF-8 and another encoding": (
        text(text_of(ACCENTS).encode("utf-8-sig")), LATIN, ACCENTS,
    ),
    "zip with a README": (
        text(zipped(**{"d/plays.csv": CSV, "d/README.txt": "x", "d/.DS_Store": "x",
                       "__MACOSX/._a": "x"}), "a.zip"), {}, PLAYS,
    ),
    "zip of a hidden file": (text(zipped(_plays=CSV), "a.zip"), {}, PLAYS),
    "plain text named like packings of Hadoop": (
        folder_of(**{"a.snappy": text_of(PLAYS[:30]), "b.lz4": text_of(PLAYS[30:60]),
                     "c.deflate": text_of(PLAYS[60:90]), "d.csv": text_of(PLAYS[90:])}), {}, PLAYS,
    ),
    "no rows and no types": (
        empty_shard(user_id=NOTHING, track_id=NOTHING, count=NOTHING), {}, PLAYS,
    ),
    "no rows and no columns": (empty_shard(), {}, PLAYS),
    "percent signs in folders": (
        folder_of(**{"user_id=100%/p.csv": "track_id,count\nt,3\n",
                     "user_id=%zz+/p.csv": "track_id,count\nt,4\n",
                     "user_id=a%3Db/p.csv": "track_id,count\nt,5\n"}), {},
        [("%zz+", "t", 4), ("100%", "t", 3), ("a=b", "t", 5)],
    ),
    "words that files of other kinds begin with": (
        folder_of(**{"a.csv": "ORC,t,1\nb,c,2\n", "b.csv": "070701,t,1\nb,c,3\n",
                     "c.csv": "PARE,t,1\nb,c,4\n"}),
        {"columns": {"user": 0, "track": 1, "count": 2}},
        sorted([("ORC", "t", 1), ("070701", "t", 1), ("PARE", "t", 1), ("b", "c", 2), ("b", "c", 3),
                ("b", "c", 4)]),
    ),
}  # fmt: skip
# name: (source, parameters, what the sentence must hold)
REFUSED: dict[str, tuple[Callable[[Path], Path], dict, str]] = {
    "UTF-16 without a mark": (
        text(CSV.encode("utf-16-le")), {"encoding": "utf-16"}, "set data.encoding to utf-16-le or"
    ),
    **{
        f"encoding {name}": (text(CSV), {"encoding": name}, f"= '{name}' is not known")
        for name in ("zip", "base64", "rot13", "bz2", "hex")
    },
    "a password": (text(with_password(), "a.zip"), {}, "asks for a password"),
    "zip of nothing": (text(zipped(), "a.zip"), {}, "a zip archive of 0 files"),
    "an open document": (
        text(zipped(**{"mimetype": "x", "content.xml": "x", "META-INF/manifest.xml": "x"})), {},
        "a spreadsheet (.ods)",
    ),
    "PyTorch": (text(zipped(**{"a/data.pkl": "x", "a/version": "3"})), {}, "a PyTorch file"),
    "Parquet joined": (text(parquet(PLAYS[:9]) + parquet(), "a.parquet"), {}, "joined end to end"),
    "Parquet joined, of one size": (
        text(parquet([("a", "b", 1)]) + parquet([("c", "d", 2)]), "a.parquet"), {}, "joined end to"
    ),
    "text named Parquet": (text(CSV, "a.parquet"), {}, "does not start with Parquet's mark"),
    "SQLite named Parquet": (
        text(b"SQLite format 3\0" + b"\0" * 99, "a.parquet"), {}, "this is an SQLite database"
    ),
    "lzma": (text(b"\x5d\0\0\x80\0" + b"\xff" * 20, "a.lzma"), {}, "packed by lzma"),
    "lzop": (text(b"\x89LZO\0\r\n\x1a\n" + b"\0" * 20, "a.lzo"), {}, "packed by lzop"),
    "cpio": (text(b"070701" + b"0A" * 52 + b"\0" * 20), {}, "a cpio archive"),
    "Arrow stream": (text(b"\xff\xff\xff\xff\x10\0\0\0" + b"\0" * 20), {}, "an Arrow stream"),
    "Stata": (text(b"<stata_dta><header>\0\0"), {}, "a Stata file"),
    "old Stata": (text(b"\x72\x02\x01\0" + b"\0" * 20), {}, "a Stata file"),
    "SPSS": (text(b"$FL2@(#) SPSS DATA FILE\0"), {}, "an SPSS file"),
    "SAS": (text(b"\0" * 12 + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf"), {}, "a SAS file"),
    "RDS": (text(gzip.compress(b"X\n\0\0\0\x03\0\4"), "a.rds"), {}, "an R object"),
    "half letters": (
        text(text_of([*PLAYS, ("u\0" + "1", "t", 1)]).encode()), {}, "not text: it holds NUL"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("odd")
    found = {}
    for place, (name, (make, kwargs, _)) in enumerate((READ | REFUSED).items()):
        here = folder / f"{place:03d}"
        here.mkdir()
        found[name] = data_params(make(here), **(HOLDOUT | kwargs))
    return found


@pytest.fixture(scope="module")
def found(sources, tmp_path_factory) -> dict[str, Found]:
    return read_many(sources)


@pytest.mark.parametrize("name", READ)
def test_read_right(found, sources, tmp_path, name):
    assert found[name].sentence == ""
    assert found[name].plays == sorted(READ[name][2])
    assert found[name].bad == {}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(found, sources, tmp_path, name):
    words = REFUSED[name][2]
    assert words in found[name].sentence


def warned(tmp_path, source, capfd, **kwargs) -> list[str]:
    run(source, tmp_path, **(HOLDOUT | kwargs))
    said = capfd.readouterr().err.splitlines()
    return [line for line in said if line.startswith("warning")]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "iso8859-15"])
def test_utf8_said_to_be_another_encoding_is_warned_of(tmp_path, capfd, encoding):
    path = write(tmp_path / "plays.csv", text_of(ACCENTS))
    (line,) = warned(tmp_path, path, capfd, encoding=encoding)
    assert "plays.csv: read as " in line and "valid UTF-8" in line
    with_it = write(tmp_path / "b.csv", text_of(ACCENTS).encode(encoding))
    scratch = tmp_path / "second"
    scratch.mkdir()
    assert warned(scratch, with_it, capfd, encoding=encoding) == []


def test_ids_in_two_forms_and_rounded_ones_are_warned_of(tmp_path, capfd):
    more = [("100.0", "7", 1), ("101.0", "x", 1), ("1.23457E+11", "y", 2), ("5.0", "z", 1)]
    path = write(tmp_path / "plays.csv", text_of([*PLAYS, *more]))
    said = warned(tmp_path, path, capfd)
    assert len(set(said)) == 2 and len(said) == 2
    assert "'user_id' has users in two forms, 2 of them such as 100 and 100.0" in said[0]
    assert "a spreadsheet may have rounded, 1 of them such as 1.23457E+11" in said[1]


@pytest.mark.parametrize("value", ["-1", "1900-01-01", "0001-01-01 00:00:00", "1601-01-01"])
def test_times_that_stand_for_none_are_warned_of(tmp_path, capfd, value):
    usual = "1325523900" if value == "-1" else "2012-01-02 17:05:00"
    lines = [f"{user},{track},{usual}" for user, track, _ in PLAYS] + [f"a,b,{value}"]
    path = write(tmp_path / "plays.csv", "user_id,track_id,at\n" + "\n".join(lines))
    columns = {"count": None, "timestamp": "at"}
    said = warned(tmp_path, path, capfd, columns=columns)
    assert any("'at' is -1 or before 1950 in 1 of 106 rows" in line for line in said)


def test_half_letters_behind_the_head_are_no_text(tmp_path):
    lines = text_of(PLAYS * 200).encode()
    path = write(tmp_path / "plays.csv", lines + "u1,t1,1\n".encode("utf-16-le"))
    params = data_params(path, **HOLDOUT)
    (tmp_path / "out").mkdir()
    with pytest.raises(MusicRecError):
        ingest(params, tmp_path / "out")


def test_nul_in_ids_of_parquet_is_no_text(tmp_path):
    users = [*USERS[:-1], "u\0" + "1"]
    path = write_parquet(tmp_path / "a.parquet", user_id=users, track_id=TRACKS, count=COUNTS)
    params = data_params(path, **HOLDOUT)
    (tmp_path / "out").mkdir()
    with pytest.raises(MusicRecError, match="or NUL in 1 row"):
        ingest(params, tmp_path / "out")
