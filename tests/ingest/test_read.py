"""Plays in the many forms that people have them in, each a row of a table: all read right."""

from __future__ import annotations

import gzip
import io
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import text_chunks
from tests.support.many_sources import Found, read_many, read_source

from tests.support.plays import (  # isort: skip
    BARE, COUNTED, COUNTS, CSV, HEADER, HOLDOUT, PAIRS, PLACES, PLAYS, TIMED, TIMES, TRACKS,
    USERS, data_params, lines, parquet, text_of, titled, write, written, zipped,
)  # fmt: skip

EVENTS = [(user, track, 1) for user, track, _ in PLAYS]
QUOTES = [("Harbour", '"Half" a', 1), ('12" mix', '"open', 3)]
ACCENTS = [("Zoë", "Café", 2), *PLAYS]
THE = titled("{t}, The")
NOTHING = {name: pa.array([], pa.null()) for name in ("user_id", "track_id", "count")}
UNMAPPED = {
    "uuid": pa.array([uuid.uuid4().bytes for _ in PLAYS], pa.uuid()),
    "half": pa.array(np.ones(len(PLAYS), np.float16)),
    "clock": pa.array([5] * len(PLAYS), pa.time64("us")),
    "span": pa.array([5] * len(PLAYS), pa.duration("ns")),
    "wide": pa.array([1] * len(PLAYS), pa.decimal256(60, 2)),
    "at": pa.array([1] * len(PLAYS), pa.timestamp("ns", "UTC")),
    "list": [[1]] * len(PLAYS),
    "map": pa.array([[("a", 1)]] * len(PLAYS), pa.map_(pa.string(), pa.int8())),
    "Count": COUNTS,
    "USER_ID": USERS,
}


HIVE = {
    f"s/user_id={user}/part-0.csv": "track_id,count\n"
    + "".join(f"{t},{c}\n" for u, t, c in PLAYS if u == user)
    for user in USERS
}
ODD_FOLDERS = {"a b": "a b", "é": "é", "x/y": "x%2Fy", "1+1": "1+1", "%zz+": "%zz+", "100%": "100%",
               "a=b": "a%3Db"}  # fmt: skip

# name: (text, or files by name; parameters; plays)
CASES: dict[str, tuple] = {
    # lines, separators, line ends
    "spaces": ({"s/[1] b%20/a.dat": text_of(PLAYS, " ")}, {}, PLAYS),
    "sep line in quotes, tab": ('"sep=\t"\r\n' + text_of(PLAYS, "\t", end="\r\n"), {}, PLAYS),
    "comma in the first field": (lines("Artist, The {t};{u};{c}", "track_id;user_id;count\n"), {},
        titled("Artist, The {t}")),
    "separator at the end of rows": (lines("{u}|{t}|{c}|", "user_id|track_id|count\n"), {}, PLAYS,
        ),
    "separator at the end of the header": (CSV.replace("count\n", "count,\n"), {}, PLAYS),
    "line separators within a line": (lines("{u}\tx\u2028y\x85z\t{t}\t{c}"),
        {"columns": {"user": 0, "track": 2, "count": 3}}, PLAYS),
    "rows of separators": (CSV + ",,\n" * 3, {}, PLAYS),
    # quotes
    "lone quotes in CSV": (text_of(QUOTES), {"quote": "none"}, QUOTES),
    "lone quotes in a column of tabs that nobody maps": (lines('{u}\t{t}\t"Half" a\t{c}',
        "user_id\ttrack_id\ttitle\tcount\n") + 'a\tb\t"open\t1\nc\td\t7" edit\t2\n', {},
        [*PLAYS, ("a", "b", 1), ("c", "d", 2)]),
    "other quotes": (lines("'{u}','a, {t}',{c}", HEADER), {"quote": "'"}, titled("a, {t}")),
    "a no-break space beside quotes": ( # is skipped, as a blank is, and as it is beside ids
        lines('{u},\u00a0"{t}, The"\u00a0,{c}', HEADER), {}, THE,
    ),
    "quotes in the header of tabs": (lines('"{u}"\t"{t}\tx"\t"{c}"',
        '"user_id"\t"track_id"\t"count"\n'), {}, titled("{t}\tx")),
    # headers and lines beside rows
    "event log with a header, by position": (text_of(PAIRS, header="User ID,Song"), PLACES, EVENTS),
    "comments and a preamble": ("# made today\n# by hand\nMy plays, 2020\n" + CSV, {}, PLAYS),
    "header behind a sign": ("# " + text_of(PLAYS, " "), {}, PLAYS),
    "comments without a header": ("# made, today\n" + BARE, COUNTED, PLAYS),
    "a user with a sign": (CSV + "#1,t,3\n", {}, [*PLAYS, ("#1", "t", 3)]),
    "header in the middle": (CSV + HEADER + "a,b,3\n", {}, [*PLAYS, ("a", "b", 3)]),
    "header again, in capitals": (CSV + HEADER.upper() + BARE, {}, PLAYS + PLAYS),
    "mark in the middle": (CSV + "\ufeff" + CSV.replace("\n1", "\n\ufeff1"), {}, PLAYS + PLAYS),
    "a rule under the header": (HEADER + "-------,--------,--\n" + BARE, {}, PLAYS),
    "shards of another order": ({"s/a": text_of(PLAYS[:50]),
        "s/b": text_of([p[::-1] for p in PLAYS[50:]], header="count,track_id,user_id")}, {}, PLAYS,
        ),
    # ids, encodings
    "ids as they stand": (CSV + "0012,-7,1\n12,--help,2\né,YWJj==,3\n", {}, [*PLAYS,
        ("0012", "-7", 1), ("12", "--help", 2), ("é", "YWJj==", 3)]),
    "windows-1252 in gzip": ({"a.csv.gz": gzip.compress(lines("{u},œ€{t},{c}",
        HEADER).encode("cp1252"))}, {"encoding": "windows-1252"}, titled("œ€{t}")),
    "a mark of UTF-8 and another encoding": (text_of(ACCENTS).encode("utf-8-sig"),
        {"encoding": "latin-1"}, ACCENTS),
    "other bytes in a column nobody maps": (lines("{u},{t},{c},é",
        "user_id,track_id,count,näme\n").encode("latin-1"), {}, PLAYS),
    "unseen signs around ids": (lines("\u200b{u}\u00a0,\u3000{t}\u2060,{c}",
        HEADER) + '" 100 ","0\t",1\n', {}, [*PLAYS, ("100", "0", 1)]),
    "words that files of other kinds begin with": ({"s/a": "ORC,t,1\nb,c,2\n",
        "s/b": "070701,t,1\nb,c,3\n", "s/c": "PARE,t,1\nb,c,4\n"}, COUNTED, [(u, "t",
        1) for u in ("ORC", "070701", "PARE")] + [("b", "c", i) for i in (2, 3, 4)]),
    # packings
    "two members of gzip": (
        {"a.csv.gz": gzip.compress(CSV.encode()) + gzip.compress(BARE.encode())}, {}, PLAYS + PLAYS,
    ),
    "text named gzip": ({"plays.csv.gz": CSV}, {}, PLAYS),
    "zip with a README": ({"a.zip": zipped(**{"d/plays.csv": CSV, "d/README.txt": "x",
        "d/.DS_Store": "x"})}, {}, PLAYS),
    # counts
    "thousands": ("user_id;track_id;count\na;b;2.000\nc;d;1.234.567,0\n", {"decimal": "comma"},
        [("a", "b", 2000), ("c", "d", 1234567)]),
    "thousands in quotes": (HEADER + 'a,b,"2,000"\nc,d,3.000\n', {"decimal": "point"}, [("a", "b",
        2000), ("c", "d", 3)]),
    "the largest": (HEADER + f"u,t,9.223372036854775807e18\nv,t,{2**63 - 1}\nw,t,1e18\n", {},
        [("u", "t", 2**63 - 1), ("v", "t", 2**63 - 1), ("w", "t", 10**18)]),
    # times, all the same one
    "scrobbles": (lines('{u},{t},"02 Jan 2012, 17:05"', TIMES), TIMED, EVENTS),
    "tweets": (lines("{u},{t},Mon Jan 02 17:05:00 +0000 2012", TIMES), TIMED, EVENTS),
    "mail": (lines('{u},{t},"Mon, 2 Jan 2012 17:05:00 +0000"', TIMES), TIMED, EVENTS),
    "zones": (TIMES + "a,b,2012-01-02 18:05:00 +0100\na,c,2012-01-02T17:05:00.000000000Z\n"
        "a,d,2012-01-02 17:05:00 UTC\na,e,2012-1-2T12:05:00-05:00\n", TIMED, [("a", track,
        1) for track in "bcde"]),
    "times by a pattern": (lines("{u},{t},2/1/2012 17.05", TIMES),
        TIMED | {"time_format": "%d/%m/%Y %H.%M"}, EVENTS),
    "times of all kinds": (TIMES + "a,b,1325523900\na,c,1325523900000\na,d,2012-01-02T17:05:00Z\n"
        "a,e,2012/01/02 17:05\n", TIMED, [("a", track, 1) for track in "bcde"]),
    "times in 32 bits": (parquet(at=pa.array([1_325_523_900] * len(PLAYS), pa.uint32())),
        {"columns": {"timestamp": "at"}}, PLAYS),
    "times in nanoseconds": (parquet(at=pa.array([1_325_523_900 * 10**9] * len(PLAYS),
        pa.timestamp("ns"))), {"columns": {"timestamp": "at"}}, PLAYS),
    # Parquet
    "blanks at the end in Parquet": (parquet(user_id=[f"{u} \t" for u in USERS]), {}, PLAYS),
    "columns nobody maps": (parquet(**UNMAPPED), {}, PLAYS),
    "small and unsigned": (parquet(user_id=pa.array(map(int, USERS), pa.uint32()),
        count=pa.array(COUNTS, pa.uint8()), track_id=pa.array(map(int, TRACKS), pa.uint64())), {},
        PLAYS),
    "parts of other types": ({"s/0": parquet(PLAYS[::3], count=list(map(float, COUNTS[::3])),
        user_id=list(map(int, USERS[::3]))), "s/1": parquet(PLAYS[1::3],
        count=[Decimal(c) for c in COUNTS[1::3]]), "s/2": parquet(PLAYS[2::3],
        count=[f"{c}.0" for c in COUNTS[2::3]])}, {"files": "*"}, PLAYS),
    "no rows and no types": ({"s/a": parquet(), "s/b.parquet": parquet([("", "", 0)], **NOTHING)},
        {}, PLAYS),
    # folders and names
    "Hive folders": (HIVE, {}, PLAYS),
    "Hive folders, odd names": (
        {f"s/day=1/user_id={path}/p": f"track_id,count\nt,{len(path)}\n"
         for path in ODD_FOLDERS.values()},
        {}, [(name, "t", len(path)) for name, path in ODD_FOLDERS.items()],
    ),
    "a column of a folder beside positions": (
        {f"s/user={user}/p.csv": "t1,1\nt2,2\n" for user in ("anna", "berta")},
        {"columns": {"user": "user", "track": 0, "count": 1}},
        [(user, f"t{i}", i) for user in ("anna", "berta") for i in (1, 2)],
    ),
    "files beside": ({"s/plays.csv": CSV, "s/README.md": "a,b,3\n", "s/LICENSE": "x",
        "s/part-9.csv": "", "s/_SUCCESS": "", "s/x.pdf": "x"}, COUNTED, PLAYS),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Found]:
    folder = tmp_path_factory.mktemp("read")
    return read_many({
        name: data_params(written(folder / str(place), content), **(HOLDOUT | kwargs))
        for place, (name, (content, kwargs, _)) in enumerate(CASES.items())
    })  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_read_right(found, name):
    here = found[name]
    assert (here.sentence, here.bad) == ("", {})
    assert here.plays == sorted(CASES[name][2])


def test_times_of_all_forms_are_the_same(found):
    second = datetime(2012, 1, 2, 17, 5, tzinfo=UTC).timestamp()
    timed = [name for name, case in CASES.items() if "timestamp" in case[1].get("columns", {})]
    assert len(timed) == 8
    assert {name: set(found[name].times) for name in timed} == {name: {second} for name in timed}


@pytest.mark.parametrize("size", range(1, 8))
def test_line_ends_are_told_wherever_text_is_cut(size):
    stream = io.BufferedReader(io.BytesIO("a\r\nb\rÉ\r".encode("utf-16")))
    chunks = text_chunks(stream, SourceFile("a", "a", 9, "a"), "utf-8", size)
    assert b"".join(chunks).decode() == "a\nb\nÉ\n"


def test_links_and_loops(tmp_path):
    write(tmp_path / "s/in/plays.csv", CSV)
    (tmp_path / "s/in/again").symlink_to(tmp_path / "s")
    (tmp_path / "s/beside").symlink_to(tmp_path / "s/in")
    (tmp_path / "s/in/link.csv").symlink_to(tmp_path / "s/in/plays.csv")
    assert read_source(data_params(tmp_path / "s", **HOLDOUT)).plays == sorted(PLAYS)


def test_uris_and_pointers(tmp_path):
    uri = write(tmp_path / "b c.csv", CSV).as_uri()
    marked = write(tmp_path / "a.uri", f"\ufeff{uri}\r\n")
    for source in (uri, marked):
        assert read_source(data_params(source, **HOLDOUT)).plays == sorted(PLAYS)
    write(marked, b"\x81\x82")
    found = read_source(data_params(marked, **HOLDOUT))
    assert "holds one URI and nothing else" in found.sentence
