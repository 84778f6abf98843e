"""Sources that stop ingest, each with one sentence, and what is typed to have them read."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.run import ingest
from tests.support.many_sources import read_source

from tests.support.plays import (  # isort: skip
    BARE, COUNTED, COUNTS, CSV, HEADER, HOLDOUT, LOG, PLACES, PLAYS, TIMED, TIMES, TRACKS, TSV,
    TWO, USERS, data_params, lines, parquet, run, text_of, titled, write, written, zipped,
)  # fmt: skip

NAMED = [(f"u{user}", f"t{track}", count) for user, track, count in PLAYS]
PAIRS = [play[:2] for play in NAMED]
EVENTS = [(*pair, 1) for pair in PAIRS]
DROP = {"on_bad_rows": "drop"}
HUGE = "9223372036854775808"


def counts(*values, kind=None) -> bytes:
    plays = [("a", f"t{i}", 1) for i in range(len(values))]
    return parquet(plays, count=pa.array(values, kind))


def with_counts(value: object) -> str:
    return text_of([*PLAYS, ("u9", "t9", value), ("u9", "t8", value)])


def quoted(plays, separator: str = ",", quoting: int = csv.QUOTE_ALL) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(plays)
    return text.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("plays.csv"))
    return packed.getvalue()


def table_of(log: str) -> dict[str, str]:
    return {f"s/{log}": "{}", "s/data/plays.csv": CSV}


# name: (text, or files by name, or what writes a file; parameters; parts of the sentence)
REFUSED: dict[str, tuple] = {
    # columns
    "missing column": (CSV, {"columns": {"count": "plays"}}, "plays.csv: no column 'plays'"),
    "no column of that name": (CSV, {"columns": {"user": "a", "track": "b", "count": "c"}},
        "plays.csv: no column 'a' (data.columns.user), 'b' (data.columns.track), 'c'"),
    "column twice": ("user_id,count,track_id,count\na,1,b,2\n", {}, "2 columns named 'count'"),
    "same column": (CSV, {"columns": {"track": 0}}, "data.columns.user and data.columns.track"),
    "names without header": (CSV, {"header": False}, "'user_id'", "3 columns and no header"),
    # layout
    "wrong separator": (CSV, {"separator": "tab"}, "plays.csv: only one column found"),
    "long quote": (CSV, {"quote": '""'}, "data.quote = '\"\"' must be auto, none or"),
    "two separators": (lines("{u},a;{t}"), PLACES,
        "',' and ';' cut its lines into as many fields each"),
    "one field more": (lines("{u},{t},{c},x", HEADER), {}, "rows have 4 fields, the header 3"),
    "plays above the header": ("a,b,3\n" + CSV, {},
        "lines above the header may be plays, first 'a,b,3'; move the header"),
    "a user and the user's tracks": ("0 2 9 1\n1 7 0 6 9\n2 5 0 9\n3 3 7\n", PLACES | DROP,
        "if a line holds a user and the user's tracks"),
    "another order amid": (text_of(PAIRS[:40],
        header=TWO[:-1]) + "track_id,user_id\n" + text_of([p[::-1] for p in PAIRS[40:]], header=""),
        LOG, "names the columns in another order"),
    "header in one of two files": ({"s/a": text_of(NAMED[:40]), "s/b": text_of(NAMED[40:],
        header="")}, COUNTED | {"header": True}, "have other first lines, with data.header: true",
        ),
    # encodings
    "UTF-16 without a mark": (CSV.encode("utf-16-le"), {"encoding": "utf-16"},
        "not utf-16 text near", "utf-16-le"),
    **{
        f"encoding {name}": (CSV, {"encoding": name}, f"data.encoding = '{name}' is not known")
        for name in ("rot13", "latin-99")
    },
    "NUL": (CSV + "u\x001,t,1\n", {}, "not text: it begins with"),
    # damaged, packed, unsupported
    "truncated gzip": ({"a.gz": gzip.compress(os.urandom(99_999))[:-5000]}, COUNTED,
        "a.gz: cannot unpack its gzip data", "ended before"),
    "truncated zstd": (pa.compress(CSV.encode(), "zstd", asbytes=True)[:-20], {},
        "cannot unpack its zstd"),
    "truncated Parquet": ({"a.parquet": parquet()[:-40]}, {}, "not a whole Parquet file"),
    "Parquet joined": (counts(1) + counts(2), {}, "joined end to end"),
    "packed Parquet": (gzip.compress(parquet()), {}, "not text: it begins with", "unpack them"),
    "zip of two": (zipped(a=CSV, b=CSV), {}, "a zip archive of 2 files (a, b)"),
    "tar": (tarred(), DROP, "this is a tar archive; unpack it"),
    "LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", {}, "a Git LFS pointer"),
    "DVC": ({"a.dvc": "outs:\n- md5: 0123\n  size: 1\n  path: a.csv\n"}, {}, "run dvc pull"),
    "HTML": ("<!DOCTYPE html>\n<html><body>Sign in, please</body>", {}, "an HTML page"),
    "SQLite": (b"SQLite format 3\0" + b"\0" * 99, {}, "not text: it begins with b'SQ"),
    # folders and places
    "Delta": (table_of("_delta_log/00000000000000000000.json"), {}, "table (_delta_log/"),
    "Iceberg": (table_of("metadata/v1.metadata.json"), {}, "table (metadata/v1"),
    "plays beside the sample": ({"s/train.csv": CSV, "s/validation.csv": "x", "s/test.csv": "x",
        "s/mine.csv": TSV}, {}, "train, validation and test files and beside them mine.csv"),
    "Parquet and text": ({"s/a": parquet(), "s/b": CSV}, {}, "other formats (Parquet and text)"),
    "unknown scheme": ("foo://x/plays", {}, "foo://x/plays: cannot be listed"),
    "empty file": ("", {}, "plays.csv: the file is empty"),
    # JSON
    "JSON by position": ('{"a": 1, "b": 2, "c": 3}\n', COUNTED, "JSON has names and no positions"),
    # types
    "list as id": (parquet(user_id=[[u] for u in USERS]), {}, "holds lists or structs"),
    "UUID": (parquet(PLAYS[:1], user_id=pa.array([b"x" * 16], pa.uuid())), {}, "holds extension"),
    "float as id": (parquet(user_id=[1.0] * len(PLAYS)), {},
        "column 'user_id' (data.columns.user) holds double values; it must hold text"),
}  # fmt: skip
# What a bad row is told by: name: (content, parameters, parts of the sentence)
BAD_ROWS: dict[str, tuple] = {
    "time format": ("user_id,track_id,at\na,b,2012-01-02\n", {"columns": {"count": None,
        "timestamp": "at"}, "time_format": "%d/%m/%Y"}, "not of the form data.time_format = '%d",
        "set it to auto"),
    "header alone": (HEADER, {}, "plays.csv has no rows"),
    "ragged line": (CSV + "a,b\nc,d,1,2\n", {}, "plays.csv: a line has another number of fields",
        "in 2 rows, first in 'a,b' (line 107)", "quote"),
    "not UTF-8 id": (CSV.encode() * 500 + b"j\xfcrg,t,1\n", {},
        "plays.csv: column 'user_id' is holding U+FFFD", "in 1 row", "data.encoding"),
    "null user": (HEADER + ",t0,1\n" + BARE + ",t1,1\n , t2,1\n", {},
        "plays.csv: column 'user_id' is null or blank in 3 rows, first in ''",
        "(line 2, user '', track 't0')"),
    "nearly three": (with_counts("2.9999999999999999999"), {}, "not a whole number in 2 rows"),
    "a comma": (lines("{u};{t};{c},00", HEADER.replace(",", ";")), {},
        "set data.decimal to point or comma"),
    "backslash before quotes": (CSV + 'u,"a \\"b\\", t",1\n', {}, "misplaced quote",
        "not behind a backslash"),
    "several": (with_counts("1_000") + "a,b,0\n,b,\n", {}, "where a number is expected in 2 rows",
        "'1_000' (line 107", "; more bad rows: user missing in 1, first in line 110; ",
        "count zero in 1, first in line 109"),
    "Parquet uint64 too large": (counts(2**63, kind=pa.uint64()), {}, f"first in '{HUGE}'"),
    "NUL in ids": (parquet(user_id=[*USERS[:-1], "u\x001"]), {}, "or NUL in 1 row"),
    "bad time": (lines("{u},{t},noon", TIMES), TIMED, "column 'at' is neither a number",
        "in 'noon'"),
    "no user chosen": (HEADER + "a,b,1\nd,c,2\n", {"validation_users": 1e-9},
        "no usable row is left in validation; use plays of more users, or raise"),
    "nobody to train on": (CSV, {"test_users": 0.8}, "leaves no user to train on"),
}  # fmt: skip
# name: (content, parameters, how many rows have a reason, good rows)
DROPPED: dict[str, tuple] = {
    "two or two thousand": (CSV + "a,b,2.000\na,b,1.234.567\n", {}, {"count_ambiguous": 2}, PLAYS),
    **{
        f"the time {time}": (TIMES + f"a,b,{time}\n" * 3, TIMED, {"timestamp_invalid": 3}, [])
        for time in ("17:05", "T7:05:30", "1/2/2012", "2012-13-01")
    },
    "null words": (CSV + "NULL,a,1\n", {"null_words": "usual"}, {"user_missing": 1}, PLAYS),
    "only unseen signs": (CSV + "\u200b,a,1\n", {}, {"user_missing": 1}, PLAYS),
    "a blank part": ("u,artist,title\nx,A,T\nx,,T\n", {"columns": {"user": "u", "track": ["artist",
        "title"], "count": None}}, {"track_missing": 1}, [("x", "A / T", 1)]),
    "a line break in quotes": (CSV + 'a,"b\nc",1\n', {}, {"ragged_line": 2}, PLAYS),
    "one broken quote": (quoted(NAMED) + '"u98","12" vinyl","3"\n', COUNTED, {"ragged_line": 1},
        NAMED),
    "one quote not closed": (quoted(NAMED).rstrip()[:-1], COUNTED, {"ragged_line": 1}, NAMED[:-1]),
    "a bad line in each block": ("".join(text_of(PLAYS, header="") * 40 + "x\n" for _ in range(9)),
        COUNTED, {"ragged_line": 9}, PLAYS * 360),
    "bytes that are no text": (parquet(user_id=[*(u.encode() for u in USERS[:-1]), b"\xff"]), {},
        {"user_not_text": 1}, PLAYS[:-1]),
    "no count in the first row": ("u1\tt1\tNULL\n" + text_of(NAMED, "\t", ""), COUNTED,
        {"count_not_a_number": 1}, NAMED),
}  # fmt: skip
AMID = "no play but a comment or a header"
ASKED = "set data.quote to none, or to '\"' if they enclose"
ENCLOSE, TEXT = {"quote": '"'}, {"quote": "none"}
VINYL = [("u2", '"Heroes"', 2), ("u2", "Heroes", 1), ("u3", '12" mix', 2), *NAMED]
THE = [(u, f"{t}, The" if i % 7 == 0 else f'{t} 12"' if i % 11 == 0 else t, c)
       for i, (u, t, c) in enumerate(NAMED)]  # fmt: skip
# Tabs, and quotes around what holds a comma or a quote.
EXCEL = "".join(
    quoted([row], quoting=csv.QUOTE_MINIMAL).replace(",", "\t").replace("\t ", ", ") for row in THE
)
ROW_NAMES = '"user_id" "track_id" "count"\n' + "".join(
    f'"{i + 1}" "{u}" "{t} x" {c}\n' for i, (u, t, c) in enumerate(PLAYS)
)
# name: (content, parameters, part of the sentence, what is typed, plays)
ADVISED: dict[str, tuple] = {
    "quotes in TSV": (text_of(VINYL, "\t"), {}, ASKED, TEXT, VINYL),
    "quotes that enclose in TSV": (lines('"{u}"\t"a ""b"" {t}"\t{c}',
        "user_id\ttrack_id\tcount\n"), {}, ASKED, ENCLOSE, titled('a "b" {t}')),
    "Excel's tabs": (EXCEL, COUNTED, ASKED, ENCLOSE, THE),
    "a lone quote": (lines('{u},12" {t},{c}', HEADER, NAMED), {},
        "none, if quotes are part of the text", TEXT, titled('12" {t}', NAMED)),
    "header of numbers": ("0,1,2\n" + text_of(NAMED, header=""), COUNTED,
        "set data.header to true or false", {"header": True}, NAMED),
    "names in another form": (text_of(PAIRS, header="listener,medium"), PLACES,
        "set data.header to true or false", {"header": True}, EVENTS),
    "R's row names": (ROW_NAMES, {},
        "set data.header: true and data.columns to positions in the rows", {"columns": {"user": 1,
        "track": 2, "count": 3}, "header": True}, titled("{t} x")),
    "a header at the end": (text_of(PAIRS, header="") + TWO, PLACES, AMID, DROP, EVENTS),
    "a comment": (text_of(PAIRS, header="") + "# exported, nightly\n", PLACES, AMID, DROP, EVENTS),
    "comma and tab": (text_of(PAIRS, ",\t", ""), PLACES, "set data.separator",
        {"separator": ",\t"}, EVENTS),
    "separators that differ": ({"s/a": text_of(PAIRS[:40], header=""), "s/b": text_of(PAIRS[40:],
        "\t", "")}, PLACES, "have other separators", {"files": "a*", "separator": "comma"},
        EVENTS[:40]),
    "fractions": (lines("{u},{t},{c}.5", HEADER), {}, "100.0% of the rows have fractions",
        {"fractions": "one"}, [(u, t, 1) for u, t, _ in PLAYS]),
}  # fmt: skip


def source(folder: Path, content):
    if isinstance(content, str) and "://" in content[:7]:
        return content
    return written(folder, content)


def sentence_of(path, tmp_path, kwargs) -> str:
    (tmp_path / "out").mkdir()
    with pytest.raises(MusicRecError) as raised:
        ingest(data_params(path, **(HOLDOUT | kwargs)), tmp_path / "out")
    return str(raised.value)


@pytest.mark.parametrize("name", [*REFUSED, *BAD_ROWS])
def test_one_sentence(tmp_path, name):
    content, kwargs, *parts = (REFUSED | BAD_ROWS)[name]
    path = source(tmp_path, content)
    sentence = sentence_of(path, tmp_path, kwargs)
    assert [part for part in parts if part not in sentence] == [], sentence
    for word in ("\n", "Exception", "SQLSTATE", "org.apache"):
        assert word not in sentence
    if name in REFUSED:  # whatever is done with bad rows
        found = read_source(data_params(path, **(HOLDOUT | DROP | kwargs)))
        assert all(part in found.sentence for part in parts)


@pytest.mark.parametrize("name", DROPPED)
def test_bad_rows_have_their_reason(tmp_path, name):
    content, kwargs, bad, plays = DROPPED[name]
    found = read_source(data_params(source(tmp_path, content), **(HOLDOUT | DROP | kwargs)))
    assert (found.sentence, dict(found.bad), found.plays) == ("", bad, sorted(plays))


@pytest.mark.parametrize("name", ADVISED)
def test_what_the_sentence_says_reads_it(tmp_path, name):
    content, kwargs, words, typed, plays = ADVISED[name]
    path = source(tmp_path, content)
    assert words in sentence_of(path, tmp_path, kwargs)
    found = read_source(data_params(path, **(HOLDOUT | kwargs | typed)))
    assert found.sentence == "" and found.plays == sorted(plays)
    assert not found.bad or typed is DROP


def test_places_that_hold_no_plays(tmp_path):
    assert "plays: no such file or folder" in sentence_of(tmp_path / "plays", tmp_path, {})
    write(tmp_path / "s/_plays.csv", CSV)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "t/_delta_log/0.json", "{}")
    write(tmp_path / "t/data/a.csv", CSV)
    write(tmp_path / "d/a.csv", CSV)
    (tmp_path / "d/b.csv").symlink_to("no")
    for name, words in {
        "empty": "empty: the folder holds no file",
        "s": "left out (_plays.csv: see",
        "pipe": "pipe: this is a pipe or a device",
        "t/data": "a Delta, Hudi",
        "d": "b.csv: the link leads nowhere",
    }.items():
        assert words in read_source(data_params(tmp_path / name, **HOLDOUT)).sentence


def test_first_bad_row_is_the_first_of_the_first_file(tmp_path, monkeypatch):
    """However the files are cut into tasks."""
    for name, value in (("a", 3), ("b", -7), ("c", -1)):
        plays = [(f"u{i}", "t", value if i % 100 == 90 else 1) for i in range(1000)]
        write(tmp_path / "s" / f"{name}.csv", text_of(plays))
    sentence = r"b\.csv: .* in 20 rows, first in '-7' \(line 92, user 'u90'"
    monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 1000)
    with pytest.raises(MusicRecError, match=sentence):
        run(tmp_path / "s", tmp_path, **HOLDOUT)


def test_rows_of_parquet_are_counted_over_its_groups(tmp_path):
    table = pa.table({"user_id": USERS, "track_id": TRACKS, "count": [*COUNTS[:-1], -5]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    assert "first in '-5' (row 105, user" in sentence_of(tmp_path / "a.parquet", tmp_path, {})


def test_lines_are_counted_whatever_pieces_they_are_read_in(tmp_path):
    rows = [f"u{i},t{i},1" for i in range(40_000)]
    rows[10], rows[5000], rows[35_000] = "", "u,t,x1", "u,t,x2"
    path = write(tmp_path / "plays.csv", "\n".join([*rows, "ragged"]))
    sentence = sentence_of(path, tmp_path, COUNTED)
    assert "in 2 rows, first in 'x1' (line 5,001, user 'u'" in sentence
    assert "; more bad rows: ragged line in 1, first in line 40,001" in sentence
