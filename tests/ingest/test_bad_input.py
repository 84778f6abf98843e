"""Sources that ingest must refuse, each with one sentence."""

from __future__ import annotations

import gzip
import random

import pyarrow as pa
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    POSITIONS,
    data_params,
    run,
    text_of,
    write,
    write_parquet,
)


def with_count(value: str) -> str:
    return text_of([*PLAYS, ("u9", "t9", value), ("u9", "t8", value)])


def parquet_counts(values, kind=None):
    columns = {
        "user_id": ["a"] * len(values),
        "track_id": [f"t{i}" for i in range(len(values))],
        "count": pa.array(values, kind),
    }
    return lambda path: write_parquet(path.with_suffix(".parquet"), **columns)


HEADER = "user_id,track_id,count\n"
GOOD = text_of(PLAYS)
HUGE = "9223372036854775808"
# name: (source, further parameters, what the sentence must hold)
BAD: dict[str, tuple] = {
    "missing file": (lambda p: p, {}, ["plays: no such file or folder"]),
    "empty folder": (lambda p: p.mkdir() or p, {}, ["plays: the folder holds no file"]),
    "empty file": ("", {}, ["plays.csv: the file is empty"]),
    "header alone": (HEADER, {}, ["plays.csv has no rows"]),
    "blank file": ("\n\n", {}, ["plays.csv: the file holds no line"]),
    "missing column": (GOOD, {"columns": {"count": "plays"}}, ["plays.csv: no column 'plays'"]),
    "missing position": (GOOD, {"columns": {"count": 7}}, ["no column 7", "data.columns.count"]),
    "no column of that name": (
        GOOD,
        {"columns": {"user": "a", "track": "b", "count": "c"}},
        ["plays.csv: no column 'a', 'b', 'c' in the first line"],
    ),
    "column twice": ("user_id,count,track_id,count\na,1,b,2\n", {}, ["2 columns named 'count'"]),
    "same column": (GOOD, {"columns": {"track": 0}}, ["data.columns.user and data.columns.track"]),
    "names without header": (GOOD, {"header": False}, ["'user_id'", "3 columns and no header"]),
    "wrong separator": (GOOD, {"separator": "tab"}, ["plays.csv: only one column found"]),
    "no separator": ("user_id\na\n", {}, ["plays.csv: only one column found"]),
    "another separator": (GOOD, {"separator": "::"}, ["only one column found with data.separ"]),
    "ragged line": (
        GOOD + "a,b\nc,d,1,2\n",
        {},
        [
            "plays.csv: a line has another number of fields",
            "in 2 rows, first in 'a,b' (line 107)",
            "quote",
        ],
    ),
    "not UTF-8 id": (
        GOOD.encode() * 500 + b"j\xfcrg,t,1\n",
        {},
        ["plays.csv: column 'user_id' is holding U+FFFD", "in 1 row", "data.encoding"],
    ),
    "not the encoding": (
        GOOD.encode() + b"\x81",
        {"encoding": "cp1252"},
        ["plays.csv: not cp1252 text near"],
    ),
    "unknown encoding": (GOOD, {"encoding": "latin-99"}, ["data.encoding = 'latin-99' is not kn"]),
    "damaged zip": (b"PK\x03\x04" + b"\0" * 50, {}, ["plays.csv: cannot unpack its zip data"]),
    "truncated gzip": (
        lambda p: write(
            p.with_suffix(".csv.gz"),
            gzip.compress("".join(f"u{random.random()},t,1\n" for _ in range(9999)).encode())[
                :-5000
            ],
        ),
        {"columns": POSITIONS},
        ["plays.csv.gz: cannot unpack its gzip data", "ended before"],
    ),
    "not gzip": (lambda p: write(p.with_suffix(".csv.gz"), GOOD), {}, ["plays.csv.gz: "]),
    "not Parquet": (
        lambda p: write(p.with_suffix(".parquet"), GOOD),
        {},
        ["plays.parquet: not a whole Parquet file"],
    ),
    "truncated Parquet": (
        lambda p: write(p.with_suffix(".parquet"), parquet_counts([1] * 999)(p).read_bytes()[:-40]),
        {},
        ["plays.parquet: not a whole Parquet file"],
    ),
    "damaged Parquet": (
        lambda p: write(
            p.with_suffix(".parquet"),
            b"PAR1"
            + b"\xff" * 2000
            + parquet_counts(random.Random(1).sample(range(10**9), 2000))(p).read_bytes()[2004:],
        ),
        {},
        ["plays.parquet: "],
    ),
    "Parquet and text": (
        lambda p: (
            write(
                write_parquet(p / "a.parquet", user_id=["a"], track_id=["b"], count=[1]).parent
                / "b.csv",
                GOOD,
            ).parent
        ),
        {},
        ["Parquet and text are mixed"],
    ),
    "null user": (
        HEADER + ",t0,1\n" + GOOD[len(HEADER) :] + ",t1,1\n , t2,1\n",
        {},
        [
            "plays.csv: column 'user_id' is null or blank in 3 rows, first in ''",
            "(line 2, user '', track 't0')",
        ],
    ),
    "blank track": (
        GOOD + 'u,"  ",1\n',
        {},
        ["column 'track_id' is null or blank in 1 row, first in '  ' (line 107, user 'u'"],
    ),
    "null count": (
        with_count(""),
        {},
        ["plays.csv: column 'count' is null or blank in 2 rows, first in '' (line 107, user"],
    ),
    "count zero": (
        with_count("0.0"),
        {},
        ["'count' is zero in 2 rows, first in '0.0' (line 107, user 'u9'"],
    ),
    "count negative": (with_count("-3"), {}, ["'count' is negative in 2 rows, first in '-3'"]),
    "count fractional": (
        with_count("1.5e0"),
        {},
        ["not a whole number in 2 rows, first in '1.5e0"],
    ),
    "count NaN": (with_count("NaN"), {}, ["'count' is NaN or infinite in 2 rows, first in 'NaN'"]),
    "count infinite": (with_count("-inf"), {}, ["NaN or infinite in 2 rows, first in '-inf'"]),
    "count too large": (with_count(HUGE), {}, ["above 9223372036854775807", f"in '{HUGE}'"]),
    "count text": (
        with_count("1_000"),
        {},
        ["text where a number is expected", "in '1_000' (line 107, use"],
    ),
    "several": (
        with_count("x") + "a,b,0\n,b,\n",
        {},
        ["text where a number is expected in 2 rows", "; 2 more rows are bad in other ways"],
    ),
    "Parquet null count": (
        parquet_counts([1, None]),
        {},
        ["'count' is null", "in 1 row, first in n"],
    ),
    "Parquet null float": (
        parquet_counts([1.0, None]),
        {},
        ["'count' is null", "first in null (row 2, use"],
    ),
    "Parquet NaN": (
        parquet_counts([1.0, float("nan")]),
        {},
        ["NaN or infinite in 1 row, first in 'n"],
    ),
    "Parquet infinite": (parquet_counts([float("inf")]), {}, ["NaN or infinite", "first in 'inf"]),
    "Parquet fraction": (
        parquet_counts([1.0, 2.5, 0.5]),
        {},
        ["whole number in 2 rows, first in '2.5"],
    ),
    "Parquet float too large": (parquet_counts([2.0**63]), {}, ["above 9223372036854775807"]),
    "Parquet uint64 too large": (parquet_counts([2**63], pa.uint64()), {}, [f"first in '{HUGE}'"]),
    "Parquet zero": (
        parquet_counts([0, 3]),
        {},
        ["'count' is zero in 1 row, first in '0' (row 1, user 'a'"],
    ),
    "Parquet mixed text": (parquet_counts(["1", "many"]), {}, ["text where a number", "'many'"]),
    "Parquet boolean": (
        parquet_counts([True]),
        {},
        ["column 'count' (data.columns.count) holds boo"],
    ),
    "Parquet float ids": (
        lambda p: write_parquet(
            p.with_suffix(".parquet"), user_id=[1.0], track_id=["t"], count=[1]
        ),
        {},
        ["column 'user_id' (data.columns.user) holds double values; it must hold text"],
    ),
    "Parquet column": (
        lambda p: write_parquet(p.with_suffix(".parquet"), user_id=["1"], count=[1]),
        {},
        ["no column 'track_id'; the file has: user_id, count"],
    ),
    "no time": (
        GOOD.replace("\n", ",\n").replace("count,", "count,time"),
        {"columns": {"timestamp": "time"}},
        ["column 'time' is null or blank in 105 rows"],
    ),
    "bad time": (
        GOOD.replace("\n", ",noon\n").replace("noon", "time", 1),
        {"columns": {"timestamp": "time"}},
        ["column 'time' is neither a number", "first in 'noon'"],
    ),
    "no user chosen": (
        HEADER + "a,b,1\nd,c,2\n",
        {"validation_users": 1e-9},
        ["no validation user", "data.validation_users = 1e-09"],
    ),
    "nobody left": (
        HEADER + "a,b,0\n",
        {"on_bad_rows": "drop"},
        ["plays.csv: no usable row is left of 1: all because column 'count' is zero"],
    ),
    "nobody to train on": (GOOD, {"test_users": 0.8}, ["leaves no user to train on"]),
    "unknown scheme": (lambda p: "foo://x/plays", {}, ["foo://x/plays: cannot be listed", "foo"]),
    "unknown host": (lambda p: "hdfs://nowhere.invalid/x", {}, ["hdfs://nowhere.invalid/x: "]),
    "pointer to nothing": (lambda p: write(p.with_suffix(".uri"), "a b\n"), {}, ["holds one URI"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(tmp_path, case):
    make, kwargs, parts = BAD[case]
    path = tmp_path / "plays"
    source = make(path) if callable(make) else write(path.with_suffix(".csv"), make)
    params = data_params(source, **(HOLDOUT | kwargs))
    with pytest.raises(MusicRecError) as raised:
        ingest(params, tmp_path)
    sentence = str(raised.value)
    for part in parts:
        assert part in sentence
    assert "\n" not in sentence and "Exception" not in sentence


def test_first_bad_row_is_the_first_of_the_first_file(tmp_path, monkeypatch):
    """However the files are cut into tasks."""
    for name, value in (("a", 3), ("b", -7), ("c", -1)):
        plays = [(f"u{i}", "t", value if i % 100 == 90 else 1) for i in range(1000)]
        write(tmp_path / "s" / f"{name}.csv", text_of(plays))
    sentence = r"b\.csv: .* in 20 rows, first in '-7' \(line 92, user 'u90'"
    monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 1000)
    with pytest.raises(MusicRecError, match=sentence):
        run(tmp_path / "s", tmp_path, **HOLDOUT)
