"""Plays in the many forms that people have them in: read right, or named as what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from tests.support.many_sources import Found, read_many, read_source
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    POSITIONS,
    data_params,
    text_of,
    write,
    write_parquet,
)

LOG = {"user": "user_id", "track": "track_id", "count": None}
EVENTS = [(user, track, 1) for user, track, _ in PLAYS]
NAMED = [(f"u{user}", f"t{track}", count) for user, track, count in PLAYS]
CSV = text_of(PLAYS)
TSV = text_of(PLAYS, "\t")
USERS, TRACKS, COUNTS = map(list, zip(*PLAYS, strict=True))
Case = tuple[Callable[[Path], Path], dict, list[tuple[str, str, int]]]


def text(content: str | bytes, name: str = "plays.csv") -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, content)


def rows(line: Callable[[str, str, int], str], header: str = "", plays=PLAYS) -> str:
    return header + "".join(line(*play) + "\n" for play in plays)


def zipped(name: str, content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._" + name, "x")
    return packed.getvalue()


def parquet(**columns) -> Callable[[Path], Path]:
    whole = {"user_id": USERS, "track_id": TRACKS, "count": COUNTS} | columns
    return lambda folder: write_parquet(folder / "plays.parquet", **whole)


def in_folder(**files: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name, content in files.items():
            write(folder / "source" / name, content)
        return folder / "source"

    return make


def hive(folder: Path) -> Path:
    for user in set(USERS):
        mine = [(track, count) for other, track, count in PLAYS if other == user]
        write(folder / f"s/user_id={user}/part-0.csv", text_of(mine, header="track_id,count"))
    return folder / "s"


def hive_encoded(folder: Path) -> Path:
    for name, path in (("a b", "a b"), ("é", "é"), ("x/y", "x%2Fy"), ("1+1", "1+1")):
        write_parquet(
            folder / f"s/day=1/user_id={path}/0.parquet", track_id=[name], count=[len(name)]
        )
    return folder / "s"


def halves(first: str, second: str, text: str = CSV) -> Callable[[Path], Path]:
    lines = text.splitlines(keepends=True)
    parts = lines[:50], [lines[0], *lines[50:]]
    return in_folder(**{first: "".join(parts[0]), second: "".join(parts[1])})


def loops(folder: Path) -> Path:
    write(folder / "s/in/plays.csv", CSV)
    (folder / "s/in/again").symlink_to(folder / "s")
    (folder / "s/beside").symlink_to(folder / "s/in")
    (folder / "s/in/link.csv").symlink_to(folder / "s/in/plays.csv")
    return folder / "s"


def moved(name: str) -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, CSV)


def json_lines(*keys: str, kind: type = str) -> str:
    def record(user, track, count) -> dict:
        found: dict = {"listened_at": 1, "extra": [1, {"a": 2}]}
        for key, value in zip(keys, (kind(user), kind(track), count), strict=True):
            inner = found
            *outer, last = key.split(".")
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = value
        return found

    return rows(lambda *play: json.dumps(record(*play)))


QUOTED = [('"Harbour"', "Harbour", 2), ("Harbour", '"Half" a', 1), ('12" mix', '"open', 3)]
ALL_COLUMNS = {
    "uuid": pa.array([uuid.uuid4().bytes for _ in PLAYS], pa.uuid()),
    "half": pa.array(np.ones(len(PLAYS), np.float16)),
    "clock": pa.array([5] * len(PLAYS), pa.time64("us")),
    "span": pa.array([5] * len(PLAYS), pa.duration("ns")),
    "wide": pa.array([1] * len(PLAYS), pa.decimal256(60, 2)),
    "at": pa.array([1] * len(PLAYS), pa.timestamp("ns", "UTC")),
    "bytes": pa.array([b"\xff"] * len(PLAYS), pa.binary(1)),
    "list": [[1]] * len(PLAYS),
    "map": pa.array([[("a", 1)]] * len(PLAYS), pa.map_(pa.string(), pa.int8())),
    "Count": COUNTS,
    "USER_ID": USERS,
}
NAMES = ("user_id", "track_id", "count")
HEADER, TIMES = "user_id,track_id,count\n", "user_id,track_id,at\n"
TIMED = {"columns": LOG | {"timestamp": "at"}}
UUIDS = [str(uuid.UUID(int=i * 2**64 + 7)) for i in range(len(PLAYS))]


def _packed_by(folder: Path, codec: str) -> Path:
    table = pa.table({"user_id": USERS, "track_id": TRACKS, "count": COUNTS})
    pq.write_table(table, folder / "a.parquet", compression=codec)
    return folder / "a.parquet"


READ: dict[str, Case] = {
    "lone quotes in CSV": (text(text_of(QUOTED[1:])), {"quote": "none"}, QUOTED[1:]),
    "backslash before quotes": (
        text(rows(lambda u, t, c: f'{u},"a \\"b\\", {t}",{c}', HEADER)),
        {}, [(u, f'a "b", {t}', c) for u, t, c in PLAYS],
    ),
    "other quotes": (
        text(rows(lambda u, t, c: f"'{u}','a, {t}',{c}", HEADER)),
        {"quote": "'"}, [(u, f"a, {t}", c) for u, t, c in PLAYS],
    ),
    "separators in quotes": (
        text(rows(lambda u, t, c: f'{u},"{t}, The",{c}', HEADER)),
        {}, [(u, f"{t}, The", c) for u, t, c in PLAYS],
    ),
    "header in the middle": (text(CSV + CSV[: CSV.index("\n") + 1] + "a,b,3\n"), {},
                             sorted([*PLAYS, ("a", "b", 3)])),
    "byte order mark in the middle": (
        text(CSV + "\ufeff" + CSV.replace("\n1", "\n\ufeff1")), {}, sorted([*PLAYS, *PLAYS]),
    ),
    "event log with a header, by position": (
        text(text_of([play[:2] for play in PLAYS], header="User ID,Song")),
        {"columns": {"user": 0, "track": 1, "count": None}}, EVENTS,
    ),
    "comments and a preamble": (
        text("# made today\n# by hand\nMy plays, 2020\n" + CSV), {}, PLAYS,
    ),
    "header behind a sign": (text("# " + text_of(PLAYS, " ")), {}, PLAYS),
    "comments without a header": (
        text("# made, today\n" + text_of(PLAYS, header="")), {"columns": POSITIONS}, PLAYS,
    ),
    "sep line in quotes, tab": (text('"sep=\t"\r\n' + text_of(PLAYS, "\t", end="\r\n")), {}, PLAYS),
    "sep line, two columns": (
        text("sep=;\n" + text_of([p[:2] for p in PLAYS], ";", "user_id,track_id")),
        {"columns": LOG}, EVENTS,
    ),
    "shards with and without mapped order": (
        in_folder(a=text_of(PLAYS[:50]), b=text_of([p[::-1] for p in PLAYS[50:]],
                                                   header="count,track_id,user_id")),
        {}, PLAYS,
    ),
    "separator at the end of rows": (
        text(rows(lambda u, t, c: f"{u}|{t}|{c}|", "user_id|track_id|count\n")), {}, PLAYS,
    ),
    "separator at the end of the header": (
        text(CSV.replace("count\n", "count,\n")), {}, PLAYS,
    ),
    # separators
    "several signs": (
        text(rows(lambda u, t, c: f"{u}<SEP>{t}<SEP>{c}"), "a.txt"), {"columns": POSITIONS}, PLAYS,
    ),
    "several signs, named": (text(text_of(PLAYS, "||")), {"separator": "||"}, PLAYS),
    "comma in the first field": (
        text(rows(lambda u, t, c: f"Artist, The {t};{u};{c}", "track_id;user_id;count\n")),
        {}, [(u, f"Artist, The {t}", c) for u, t, c in PLAYS],
    ),
    "comma in the header of semicolons": (
        text(rows(lambda u, t, c: f"{u};{t};{c};x", "user_id;track_id;count;name, first\n")),
        {}, PLAYS,
    ),
    "decimal commas": (
        text(rows(lambda u, t, c: f"{u};{t};{c},0", "user_id;track_id;count\n")),
        {"decimal": "comma"}, PLAYS,
    ),
    "thousands": (
        text("user_id;track_id;count\na;b;2.000\nc;d;1.234.567,0\n"),
        {"decimal": "comma"}, [("a", "b", 2000), ("c", "d", 1234567)],
    ),
    "thousands in quotes": (
        text('user_id,track_id,count\na,b,"2,000"\nc,d,3.000\n'),
        {"decimal": "point"}, [("a", "b", 2000), ("c", "d", 3)],
    ),
    "line separators within a line": (
        text(rows(lambda u, t, c: f"{u}\tx\u2028y\x85z\t{t}\t{c}")),
        {"columns": {"user": 0, "track": 2, "count": 3}}, PLAYS,
    ),
    # encodings
    "Latin-1": (
        text(text_of([(f"jörg {u}", t, c) for u, t, c in PLAYS]).encode("latin-1")),
        {"encoding": "latin-1"}, [(f"jörg {u}", t, c) for u, t, c in PLAYS],
    ),
    "windows-1252 in gzip": (
        text(gzip.compress(text_of([("œ€", t + u, c) for u, t, c in PLAYS]).encode("cp1252")),
             "a.csv.gz"),
        {"encoding": "windows-1252"}, sorted(("œ€", t + u, c) for u, t, c in PLAYS),
    ),
    "UTF-16 by its mark": (text(CSV.encode("utf-16")), {}, PLAYS),
    "UTF-16 without a mark": (text(CSV.encode("utf-16-le")), {"encoding": "utf-16-le"}, PLAYS),
    "UTF-32 by its mark": (text(TSV.encode("utf-32")), {}, PLAYS),
    "other bytes in a column nobody maps, early": (
        text(rows(lambda *p: ",".join(map(str, p)) + ",\xe9", "user_id,track_id,count,n\xe4me\n")
             .encode("latin-1")), {}, PLAYS,
    ),
    "unseen signs around ids": (
        text(rows(lambda u, t, c: f"\u200b{u}\u00a0,\u3000{t}\u2060,{c}", HEADER)
             + '" 100 ","0\t",1\n'),
        {}, sorted([*PLAYS, ("100", "0", 1)]),
    ),
    "blanks at the end in Parquet": (parquet(user_id=[f"{u} \t" for u in USERS]), {}, PLAYS),
    # packings
    "xz": (text(lzma.compress(TSV.encode()), "a.xz"), {}, PLAYS),
    "gzip under another name": (text(gzip.compress(CSV.encode()), "a.csv"), {}, PLAYS),
    "bzip2 under another name": (text(bz2.compress(CSV.encode()), "a.dump"), {}, PLAYS),
    "zstd under another name": (text(pa.compress(CSV.encode(), "zstd", asbytes=True), "a.zstd"),
                                {}, PLAYS),
    "lz4": (text(pa.compress(CSV.encode(), "lz4", asbytes=True), "a.csv.lz4"), {}, PLAYS),
    "zip": (text(zipped("plays.csv", CSV), "a.zip"), {}, PLAYS),
    "zip in gzip": (text(gzip.compress(zipped("a.csv", CSV)), "a.csv.gz.x"),
                    {}, PLAYS),
    # JSON
    "JSON lines": (text(json_lines(*NAMES), "a.jsonl"), {}, PLAYS),
    "JSON of numbers": (text(json_lines(*NAMES, kind=int), "a"), {}, PLAYS),
    "JSON within": (
        text(json_lines("user", "meta.info.track_name", "n"), "a.json"),
        {"columns": {"user": "user", "track": "meta.info.track_name", "count": "n"}}, PLAYS,
    ),
    "JSON array": (
        text("[" + ",\n".join(json_lines(*NAMES).splitlines()) + "]\n",
             "StreamingHistory0.json"), {}, PLAYS,
    ),
    "JSON over several lines": (
        text("\n".join(json.dumps(json.loads(line), indent=1)
                       for line in json_lines(*NAMES).splitlines())),
        {}, PLAYS,
    ),
    "JSON in gzip": (
        text(gzip.compress(json_lines(*NAMES).encode()), "a.json.gz"),
        {}, PLAYS,
    ),
    # times
    "scrobbles": (
        text(rows(lambda u, t, c: f'{u},{t},"02 Jan 2012, 17:{c % 60:02d}"', TIMES)),
        TIMED, EVENTS,
    ),
    "tweets": (
        text(rows(lambda u, t, c: f"{u},{t},Mon Jan 02 17:05:00 +0000 2012", TIMES)),
        TIMED, EVENTS,
    ),
    "mail": (
        text(rows(lambda u, t, c: f'{u},{t},"Mon, 2 Jan 2012 17:05:00 +0000"', TIMES)),
        TIMED, EVENTS,
    ),
    "times by a pattern": (
        text(rows(lambda u, t, c: f"{u},{t},2/1/2012 17.05", TIMES)),
        TIMED | {"time_format": "d/M/yyyy HH.mm"}, EVENTS,
    ),
    "dates, seconds and milliseconds": (
        text("user_id,track_id,at\na,b,1325523900\na,c,1325523900000\na,d,2012-01-02T17:05:00Z\n"
             "a,e,2012/01/02 17:05\n"),
        TIMED, [("a", track, 1) for track in "bcde"],
    ),
    # Parquet
    "brotli": (
        lambda p: _packed_by(p, "brotli"), {}, PLAYS,
    ),
    "columns nobody maps": (parquet(**ALL_COLUMNS), {}, PLAYS),
    "nanoseconds": (
        parquet(at=pa.array([1_325_523_900 * 10**9] * len(PLAYS), pa.timestamp("ns"))),
        {"columns": {"timestamp": "at"}}, PLAYS,
    ),
    "UUIDs": (
        parquet(track_id=pa.array([uuid.UUID(v).bytes for v in UUIDS], pa.uuid())), {},
        sorted((u, i, c) for u, i, c in zip(USERS, UUIDS, COUNTS, strict=True)),
    ),
    "bytes": (parquet(user_id=[u.encode() for u in USERS]), {}, PLAYS),
    "dictionaries": (parquet(user_id=pa.array(USERS).dictionary_encode()), {}, PLAYS),
    "small and unsigned": (
        parquet(user_id=pa.array(map(int, USERS), pa.uint32()), count=pa.array(COUNTS, pa.uint8()),
                track_id=pa.array(map(int, TRACKS), pa.uint64())), {}, PLAYS,
    ),
    "decimals": (
        parquet(user_id=pa.array(map(int, USERS), pa.decimal128(20, 0)),
                count=pa.array(COUNTS, pa.decimal128(30, 4))), {}, PLAYS,
    ),
    "a name with signs": (
        parquet(**{"a `b`.c (STRING)": USERS}), {"columns": {"user": "a `b`.c (STRING)"}}, PLAYS,
    ),
    "Hive folders": (hive, {}, PLAYS),
    "Hive folders of packed files": (
        lambda p: write(
            p / "s/user_id=a%20b/plays.xz",
            lzma.compress(text_of([("t", 3)], header="track_id,count").encode()),
        ).parent.parent,
        {}, [("a b", "t", 3)],
    ),
    "Hive folders, odd names": (
        hive_encoded, {}, sorted((n, n, len(n)) for n in ("a b", "é", "x/y", "1+1")),
    ),
    # names
    "brackets in two names": (halves("plays [2020].csv", "plays [2021].csv"), {}, PLAYS),
    "other patterns in names": (halves("a{b,c}*?.csv", "d\\e.csv"), {}, PLAYS),
    "accents and colons": (halves("plays_2024-01-01T10:00:00.csv", "é à.csv"), {}, PLAYS),
    "an underline before a name": (moved("_plays.csv"), {}, PLAYS),
    "a point before a name": (moved(".plays.csv"), {}, PLAYS),
    "a colon in a name": (moved("plays 10:00:00.csv"), {}, PLAYS),
    "a percent sign": (moved("100%25 [a].csv"), {}, PLAYS),
    "loops and links": (loops, {}, PLAYS),
    "a README beside": (in_folder(**{"plays.csv": CSV, "README.md": "a,b,3\n", "LICENSE": "x"}),
                        {"columns": POSITIONS}, PLAYS),
}  # fmt: skip


def feather(folder: Path) -> Path:
    table = pa.table({"user_id": USERS, "track_id": TRACKS, "count": COUNTS})
    pyarrow.feather.write_feather(table, folder / "a.feather")
    return folder / "a.feather"


def sqlite(folder: Path) -> Path:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("create table plays (a, b, c)")
    connection.close()
    return folder / "a.db"


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", np.zeros((3, 3)))
    return folder / "a.npy"


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "a.tgz", "w:gz") as archive:
        archive.add(write(folder / "b.csv", CSV), "b.csv")
    return folder / "a.tgz"


def table_folder(*logs: str) -> Callable[[Path], Path]:
    return in_folder(**dict.fromkeys(logs, "{}"), **{"data/plays.csv": CSV})


def with_time(value: str, n: int = 3) -> Callable[[Path], Path]:
    return text("user_id,track_id,at\n" + f"a,b,{value}\n" * n)


ITEMS = "".join(f"{u} {' '.join(str(i) for i in range(u % 7 + 1))}\n" for u in range(30))
# name: (source, parameters, what the sentence must hold)
REFUSED: dict[str, tuple[Callable[[Path], Path], dict, str]] = {
    "numbers that may be names": (
        text("0,1,2\n" + text_of(PLAYS, header="")), {"columns": POSITIONS}, "set data.header to"
    ),
    "user and items": (text(ITEMS), {"columns": {"user": 0, "track": 1, "count": None}}, "awk"),
    "user and items, tabs": (
        text(ITEMS.replace(" ", "\t")), {"columns": {"user": 0, "track": 1, "count": None}}, "awk"
    ),
    "one field more": (
        text(rows(lambda u, t, c: f"{u},{t},{c},x", HEADER)), {},
        "the rows have one field more than the header, 4 against 3",
    ),
    "two fields fewer": (
        text(rows(lambda u, t, c: f"{u},{t},{c}", "user_id,track_id,count,a,b\n")), {},
        "the rows have 2 fields fewer than the header",
    ),
    "another case": (text(CSV.replace("user_id", "UserID")), {}, "did you mean 'UserID'?"),
    "all in another case": (text(CSV.upper()), {}, "did you mean 'USER_ID' and 'TRACK_ID' and"),
    "another case in Parquet": (
        parquet(**{"Plays": COUNTS}), {"columns": {"count": "plays"}}, "did you mean 'Plays'?"
    ),
    "tar": (tar, {}, "this is a tar archive"),
    "zip of two": (
        lambda p: write(p / "a.zip", _two_in_zip()), {}, "a zip archive of 2 files (a.csv, b.csv)"
    ),
    "truncated xz": (text(lzma.compress(CSV.encode())[:-20], "a.xz"), {}, "cannot unpack its xz"),
    "LFS": (text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n"), {},
            "a Git LFS pointer"),
    "dvc": (text("outs:\n- md5: 0123\n  size: 1\n  path: a.csv\n", "a.dvc"), {}, "run dvc pull"),
    "HTML": (text("<!DOCTYPE html>\n<html><body>Sign in, please</body>"), {}, "an HTML page"),
    "SQLite": (sqlite, {}, "an SQLite database"),
    "Feather": (feather, {}, "a Feather (Arrow) file"),
    "NumPy": (npy, {}, "a NumPy array"),
    "Markdown": (
        text("| user | track | count |\n|---|:---|---:|\n| a | b | 3 |\n", "a.md"),
        {},
        "a Markdown table; write it as CSV or Parquet",
    ),
    "Markdown of pandas": (
        text("|    | user   | track   |\n|---:|:-------|:--------|\n|  0 | a      | b       |\n"),
        {},
        "a Markdown table",
    ),
    "Markdown without outer pipes": (
        text("user | track\n--- | ---\na | b\n"),
        {},
        "a Markdown table",
    ),
    "pickle": (text(pickle.dumps(PLAYS), "a.pkl"), {}, "a Python pickle"),
    "pickle of a dict": (text(pickle.dumps({"a": 1}, 2), "a.pkl"), {}, "a Python pickle"),
    "HDF5": (text(b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "a.h5"), {}, "an HDF5 file"),
    "spreadsheet": (text(zipped("[Content_Types].xml", "x"), "a.xlsx"), {}, "spreadsheet"),
    "Delta": (table_folder("_delta_log/00000000000000000000.json"), {}, "a Delta table"),
    "Iceberg": (table_folder("metadata/v1.metadata.json"), {}, "an Iceberg table"),
    "Hudi": (table_folder(".hoodie/hoodie.properties"), {}, "a Hudi table"),
    "part of a Delta table": (
        lambda p: table_folder("_delta_log/0.json")(p) / "data", {}, "a part of"
    ),
    "plays beside the sample": (
        in_folder(**{"train.csv": CSV, "validation.csv": "x", "test.csv": "x", "mine.csv": TSV}),
        {}, "train, validation and test files and beside them mine.csv",
    ),
    "equal files": (in_folder(**{"a.csv": CSV, "b.csv": CSV}), {}, "have equal content"),
    "a dead link": (
        lambda p: (write(p / "s/a.csv", CSV), (p / "s/b.csv").symlink_to("no"))[0].parent, {},
        "b.csv: the link leads nowhere",
    ),
    "JSON by position": (text(json_lines("a", "b", "c"), "a.json"), {"columns": POSITIONS},
                         "JSON has names and no positions"),
    "JSON field": (text(json_lines("user_id", "a.track", "count")), {},
                   "no column 'track_id'; the file has: listened_at, extra, user_id, a, a.track"),
    "JSON object as id": (text(json_lines("user_id", "track_id.name", "count")), {},
                          "holds objects; name a field within: track_id.name"),
    "JSON around": (text(json.dumps({"listens": [{"a": 1}]}, indent=1), "a.json"), {},
                    "one object around the plays"),
    "bad JSON array": (text('[{"user_id": "a"},\n {"user', "a.json"), {}, "JSON that is damag"),
    "list as id": (parquet(user_id=[[u] for u in USERS]), {}, "holds lists or structs"),
    "clock as count": (
        parquet(count=pa.array(COUNTS, pa.time64("us"))), {}, "holds time64[us] values",
    ),
    "unknown pattern": (with_time("2"), TIMED | {"time_format": "EEE bbb"}, "data.time_format = "),
    "long quote": (text(CSV), {"quote": '""'}, "data.quote = '\"\"' is not allowed"),
}  # fmt: skip
# name: (source, parameters, the reason that all bad rows have, good rows)
BAD_ROWS: dict[str, tuple[Callable[[Path], Path], dict, str, int]] = {
    "two or two thousand": (text(CSV + "a,b,2.000\n"), {}, "count_ambiguous", 105),
    "more thousands": (text(CSV + "a,b,1.234.567\n"), {}, "count_ambiguous", 105),
    "a point where commas are decimal": (
        text(CSV + "a,b,2.5\n"),
        {"decimal": "comma"},
        "count_not_a_number",
        105,
    ),
    "a clock": (with_time("17:05"), TIMED, "timestamp_invalid", 0),
    "a clock with seconds": (with_time("T7:05:30"), TIMED, "timestamp_invalid", 0),
    "day or month first": (with_time("1/2/2012"), TIMED, "timestamp_invalid", 0),
    "null words": (text(CSV + "NULL,a,1\n"), {"null_words": "usual"}, "user_missing", 105),
    "own null words": (text(CSV + "a,-,1\n"), {"null_words": "-,?"}, "track_missing", 105),
    "only unseen signs": (text(CSV + "\u200b,a,1\n"), {}, "user_missing", 105),
    "no JSON": (
        text(json_lines(*NAMES) + "{'a'\n"),
        {},
        "broken_json",
        105,
    ),
    "a line break in quotes": (text(CSV + 'a,"b\nc",1\n'), {}, "ragged_line", 105),
    "bytes that are no text": (
        parquet(user_id=[*(u.encode() for u in USERS[:-1]), b"\xff"]),
        {},
        "user_not_text",
        104,
    ),
}


def _two_in_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    return packed.getvalue()


# name: (source, parameters, part of the sentence, what is typed, plays)
R_NAMES = '"user_id" "track_id" "count"\n' + "".join(
    f'"{i + 1}" "{u}" "{t} x" {c}\n' for i, (u, t, c) in enumerate(PLAYS)
)
NUMBERED = {"columns": {"user": 1, "track": 2, "count": 3}}
ADVISED: dict[str, tuple] = {
    "quotes in TSV": (
        text(text_of(QUOTED, "\t")), {}, "set data.quote to none", {"quote": "none"}, QUOTED,
    ),
    "quotes that enclose in TSV": (
        text(rows(lambda u, t, c: f'"{u}"\t"a ""b"" {t}"\t{c}', "user_id\ttrack_id\tcount\n")),
        {}, "'\"' if they enclose", {"quote": '"'}, [(u, f'a "b" {t}', c) for u, t, c in PLAYS],
    ),
    "header of numbers": (
        text("0,1,2\n" + text_of(NAMED, header="")), {"columns": POSITIONS},
        "set data.header to true or false", {"header": True}, NAMED,
    ),
    "header of numbers and an index": (
        text(",0,1,2\n" + rows(lambda *p: "9," + ",".join(map(str, p)), plays=NAMED)),
        NUMBERED, "set data.header to true or false", {"header": True}, NAMED,
    ),
    "R's row names": (
        text(R_NAMES), {}, "set data.header=true data.columns.user=1 data.columns.track=2",
        NUMBERED | {"header": True}, [(u, f"{t} x", c) for u, t, c in PLAYS],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVISED)
def test_what_the_sentence_says_reads_it(tmp_path, name):
    make, kwargs, words, typed, plays = ADVISED[name]
    (tmp_path / "out").mkdir()
    path = make(tmp_path)
    with pytest.raises(MusicRecError) as raised:
        ingest(data_params(path, **(HOLDOUT | kwargs)), tmp_path / "out")
    assert words in str(raised.value)
    found = read_source(data_params(path, **(HOLDOUT | kwargs | typed)))
    assert found.sentence == "" and not found.bad and found.plays == sorted(plays)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Found]:
    folder = tmp_path_factory.mktemp("kinds")
    sources = {}
    cases = {**READ, **REFUSED, **BAD_ROWS}
    assert len(cases) == len(READ) + len(REFUSED) + len(BAD_ROWS), "a name stands for two cases"
    for place, (name, (make, kwargs, *_)) in enumerate(cases.items()):
        here = folder / f"{place:03d}"
        here.mkdir()
        sources[name] = data_params(make(here), **(HOLDOUT | {"on_bad_rows": "drop"} | kwargs))
    return read_many(sources)


@pytest.mark.parametrize("name", READ)
def test_read_right(found, name):
    here = found[name]
    assert here.sentence == ""
    assert here.bad == {}
    assert here.plays == sorted(READ[name][2])


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(found, name):
    sentence = found[name].sentence
    assert REFUSED[name][2] in sentence
    for word in ("\n", "Exception", "SQLSTATE", "org.apache"):
        assert word not in sentence


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_have_their_reason(found, name):
    _, _, reason, good = BAD_ROWS[name]
    assert set(found[name].bad) == {reason}
    assert len(found[name].plays) == good


def test_times_of_all_forms_are_the_same(found):
    second = datetime(2012, 1, 2, 17, 5, tzinfo=UTC).timestamp()
    for name in ("dates, seconds and milliseconds", "tweets", "mail", "times by a pattern"):
        assert set(found[name].times) == {second}
    assert set(found["nanoseconds"].times) == {second}
