"""Plain plays are ingested without Spark, with the same bytes; what is doubtful is left to Spark.

Every other test of this folder compares the two roads as well: `tests.support.plays.run`.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.in_process.run import ingest_in_process
from musicrec.ingest.on_spark import ingest_on_spark
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    POSITIONS,
    all_rows,
    contents,
    data_params,
    text_of,
    write,
    write_parquet,
)

USERS, TRACKS, COUNTS = (list(column) for column in zip(*PLAYS, strict=True))


def clean(source, folder, **kwargs):
    folder.mkdir()
    return ingest_in_process(data_params(source, **(HOLDOUT | kwargs)), folder)


def with_accents(values):
    return [f"é漢{value}" for value in values]


PLAIN = {
    "text": pa.table({"user_id": USERS, "track_id": TRACKS, "count": COUNTS}),
    "accents": pa.table(
        {"user_id": with_accents(USERS), "track_id": with_accents(TRACKS), "count": COUNTS}
    ),
    "numbers": pa.table(
        {"user_id": [*map(int, USERS)], "track_id": [*map(int, TRACKS)], "count": COUNTS}
    ),
    "categories": pa.table(
        {
            "user_id": pa.array(USERS).dictionary_encode(),
            "track_id": pa.array(TRACKS).dictionary_encode(),
            "count": pa.array(COUNTS, pa.uint8()),
        }
    ),
    "floats and more columns": pa.table(
        {
            "note": ["", *USERS[1:]],
            "count": pa.array(COUNTS, pa.float64()),
            "track_id": pa.array(TRACKS, pa.large_string()),
            "user_id": USERS,
        }
    ),
    "duplicates": pa.table(
        {"user_id": USERS * 3, "track_id": TRACKS * 3, "count": [*COUNTS, *COUNTS, *COUNTS]}
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_parquet_needs_no_spark(spark, tmp_path, name):
    source = tmp_path / "plays.parquet"
    pq.write_table(PLAIN[name], source, row_group_size=40)
    summary = clean(source, tmp_path / "here")
    assert summary is not None
    (tmp_path / "there").mkdir()
    assert summary == ingest_on_spark(spark, data_params(source, **HOLDOUT), tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


TEXTS = {
    "tab": (text_of(PLAYS, "\t"), {}),
    "comma, Windows": (text_of(PLAYS, ",", end="\r\n"), {}),
    "no header": (text_of(PLAYS, ";", header=""), {"columns": POSITIONS}),
    "byte order mark, no last line end": ("\ufeff" + text_of(PLAYS, "|").rstrip(), {}),
    "blank lines": ("\n\n" + text_of(PLAYS, "\t") + "\n\n", {}),
    "an event log": (
        text_of([(u, t, "x") for u, t, n in PLAYS for _ in range(n)], "\t"),
        {"columns": {"count": None}},
    ),
    "quotes that are text": (
        text_of([(u, f'12" {t}', n) for u, t, n in PLAYS], "\t"),
        {"quote": "none"},
    ),
    "quotes around some fields": (
        text_of([(u, f'"{t}, live #1"' if int(t) % 2 else t, n) for u, t, n in PLAYS]),
        {},
    ),
    "quotes around all fields": (
        text_of([(f'"{u}"', f'"{t};|"', f'"{n}"') for u, t, n in PLAYS], ";", end="\r\n"),
        {},
    ),
    "quotes of another kind": (
        text_of([(u, f"'{t}\t{t}'", n) for u, t, n in PLAYS], "\t"),
        {"quote": "'"},
    ),
    "zeros in front": (text_of([(u, t, f"00{n}") for u, t, n in PLAYS], "\t"), {}),
    "one field more at the end": (text_of([(u, t, f"{n}\t") for u, t, n in PLAYS], "\t"), {}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_plain_text_needs_no_spark(spark, tmp_path, name):
    text, kwargs = TEXTS[name]
    source = write(tmp_path / "plays.txt", text)
    summary = clean(source, tmp_path / "here", **kwargs)
    assert summary is not None
    (tmp_path / "there").mkdir()
    params = data_params(source, **(HOLDOUT | kwargs))
    assert summary == ingest_on_spark(spark, params, tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


SINCE = 1_300_000_000
WHEN = [SINCE + 86_399 * (7 * i % len(PLAYS)) for i in range(len(PLAYS))]
DATES = pa.array(WHEN, pa.timestamp("s"))
TIMES = {
    "seconds": pa.array(WHEN),
    "milliseconds": pa.array([1000 * time for time in WHEN]),
    "a clock without a zone": DATES.cast(pa.timestamp("us")),
    "a clock of UTC": DATES.cast(pa.timestamp("ms", "UTC")),
    "days": DATES.cast(pa.date32()),
    "nanoseconds": DATES.cast(pa.timestamp("ns")),
    "text, a number": pa.array([str(time) for time in WHEN]),
    "text, T and Z": pc.strftime(DATES, "%Y-%m-%dT%H:%M:%SZ"),
    "text, a blank": pc.strftime(DATES, "%Y-%m-%d %H:%M:%S"),
}


@pytest.mark.parametrize("form", ["parquet", "text"])
@pytest.mark.parametrize("name", TIMES)
def test_times_need_no_spark(spark, tmp_path, name, form):
    table = PLAIN["duplicates"].append_column(
        "time", pa.concat_arrays([TIMES[name], TIMES[name][::-1], TIMES[name]])
    )
    if form == "parquet":
        pq.write_table(table, tmp_path / "plays.parquet")
    elif name.startswith("text"):
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        header = "user_id,track_id,count,time"
        write(tmp_path / "plays.csv", text_of(list(rows), header=header))
    else:
        return
    (source,) = tmp_path.iterdir()
    kwargs = HOLDOUT | {"columns": {"timestamp": "time"}}
    summary = clean(source, tmp_path / "here", **kwargs)
    assert summary is not None and summary["source"]["times_of_zero"] == 0
    (tmp_path / "there").mkdir()
    assert summary == ingest_on_spark(spark, data_params(source, **kwargs), tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


DOUBTFUL_TIMES = {
    "none": [None, *WHEN[1:]],
    "1970": [0, *WHEN[1:]],
    "two units": [1000 * WHEN[0], *WHEN[1:]],
    "text in two forms": [str(WHEN[0]), *["2012-01-02 03:04:05"] * (len(WHEN) - 1)],
    "a month that is none": ["2012-13-02 03:04:05"] * len(WHEN),
    "another form": ["02 Jan 2012, 17:05"] * len(WHEN),
    "fractions": [time + 0.5 for time in WHEN],
}


@pytest.mark.parametrize("name", DOUBTFUL_TIMES)
def test_doubtful_times_are_left_to_spark(tmp_path, name):
    table = PLAIN["text"].append_column("time", pa.array(DOUBTFUL_TIMES[name]))
    pq.write_table(table, tmp_path / "plays.parquet")
    kwargs = {"columns": {"timestamp": "time"}}
    assert clean(tmp_path / "plays.parquet", tmp_path / "here", **kwargs) is None
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("packed", ["plays.tsv.gz", "plays.tsv.zst", "plays.tsv.xz", "plays.zip"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_packed_text_needs_no_spark(spark, tmp_path, packed, encoding):
    text = text_of([(f"é{user}", track, count) for user, track, count in PLAYS], "\t")
    source = tmp_path / packed
    write_packed(source, text.encode(encoding))
    kwargs = HOLDOUT | {"encoding": encoding}
    summary = clean(source, tmp_path / "here", **kwargs)
    assert summary is not None
    (tmp_path / "there").mkdir()
    assert summary == ingest_on_spark(spark, data_params(source, **kwargs), tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def write_packed(path, content):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("plays.tsv", content)
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(content)
    else:
        opener = {".gz": gzip.open, ".xz": lzma.open}[path.suffix]
        with opener(path, "wb") as out:
            out.write(content)


@pytest.mark.parametrize("name", TEXTS)
def test_blocks_of_text_change_nothing(tmp_path, monkeypatch, name):
    text, kwargs = TEXTS[name]
    source = write(tmp_path / "plays.txt", text)
    whole = clean(source, tmp_path / "whole", **kwargs)
    for block in (24, 41, 300):
        monkeypatch.setattr("musicrec.ingest.in_process.text_file.BLOCK", block)
        assert clean(source, tmp_path / f"cut {block}", **kwargs) == whole
        assert contents(tmp_path / f"cut {block}") == contents(tmp_path / "whole")


def changed(**columns):
    """The plays with the last value of some columns replaced."""
    table = {"user_id": USERS, "track_id": TRACKS, "count": COUNTS}
    return table | {name: [*table[name][:-1], value] for name, value in columns.items()}


DOUBTFUL = {
    "no user": changed(user_id=None),
    "a blank track": changed(track_id=""),
    "a blank around an id": changed(user_id="7 "),
    "an unseen sign before an id": changed(user_id="\u200b7"),
    "a word for nothing": changed(track_id="NULL"),
    "bytes that were no text": changed(track_id="a\ufffdb"),
    "no count": changed(count=None),
    "a count of 0": changed(count=0),
    "a negative count": changed(count=-1),
    "half a play": changed(count=1.5),
    "no number": changed(count=float("nan")),
    "a sum above int64": {
        "user_id": [*USERS, "u", "u"],
        "track_id": [*TRACKS, "t", "t"],
        "count": [*COUNTS, 2**62, 2**62],
    },
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_doubtful_is_left_to_spark(tmp_path, name):
    source = write_parquet(tmp_path / "plays.parquet", **DOUBTFUL[name])
    assert clean(source, tmp_path / "here") is None
    assert not list((tmp_path / "here").iterdir())


DOUBTFUL_TEXTS = {
    "a ragged line": text_of(PLAYS) + "1,2\n",
    "a line of blanks": text_of(PLAYS) + "   \n",
    "a comment": text_of(PLAYS) + "#1,2,3\n",
    "another header": text_of(PLAYS) * 2,
    "a count that is no whole number": text_of(PLAYS) + "1,2,3.0\n",
    "a count in other digits": text_of(PLAYS) + "1,2,0x1F\n",
    "blanks around": text_of(PLAYS) + "1, 2,3\n",
    "several signs between fields": text_of(PLAYS, "::"),
    "JSON": '{"user_id": "1", "track_id": "2", "count": 3}\n' * 9,
    "a preamble": "plays of 2020\n" + text_of(PLAYS),
    "Latin-1 that is said to be UTF-8": text_of([(f"é{u}", t, n) for u, t, n in PLAYS]).encode(
        "latin-1"
    ),
    "a byte order mark amid": text_of(PLAYS) + "\ufeff1,2,3\n",
    "old Macintosh": text_of(PLAYS, end="\r"),
}


@pytest.mark.parametrize("name", DOUBTFUL_TEXTS)
def test_doubtful_text_is_left_to_spark(tmp_path, monkeypatch, name):
    monkeypatch.setattr("musicrec.ingest.in_process.text_file.BLOCK", 300)
    source = write(tmp_path / "plays.csv", DOUBTFUL_TEXTS[name])
    assert clean(source, tmp_path / "here") is None
    assert not list((tmp_path / "here").iterdir())


QUOTED = {
    "a quote within": text_of(PLAYS) + '1",2,3\n',
    "a quote that is never closed": text_of(PLAYS) + '"1,2,3\n',
    "a doubled quote": text_of(PLAYS) + '"1""",2,3\n',
    "a quote behind a backslash": text_of(PLAYS) + '"1\\"",2,3\n',
    "text after a quote": text_of(PLAYS) + '"1"2,2,3\n',
    "a blank before a quote": text_of(PLAYS) + '1, "2",3\n',
    "a line end between quotes": text_of(PLAYS) + '"1\n1",2,3\n',
    "nothing between quotes": text_of(PLAYS) + '"",2,3\n',
}


@pytest.mark.parametrize("name", QUOTED)
def test_quotes_that_do_more_than_enclose_are_left_to_spark(tmp_path, name):
    source = write(tmp_path / "plays.csv", QUOTED[name])
    assert clean(source, tmp_path / "here", quote='"') is None
    assert not list((tmp_path / "here").iterdir())


def test_a_named_master_or_little_memory_means_spark(tmp_path, monkeypatch):
    source = write_parquet(tmp_path / "plays.parquet", **changed())
    assert clean(source, tmp_path / "here") is not None
    monkeypatch.setattr("musicrec.interactions.memory.ROW_BYTES", 1 << 60)
    assert clean(source, tmp_path / "large") is None
    monkeypatch.undo()
    monkeypatch.setenv("MUSICREC_SPARK_MASTER", "local[1]")
    assert clean(source, tmp_path / "named") is None


@pytest.mark.parametrize("name", ["text", "duplicates"])
@pytest.mark.parametrize(
    "filters",
    [
        {"min_user_plays": 3},
        {"min_track_users": 4, "min_user_plays": 2},
        {"protocol": "strong_generalization"},
        {"protocol": "strong_generalization", "min_user_plays": 2, "min_track_users": 7},
    ],
)
def test_filters_need_no_spark(spark, tmp_path, name, filters):
    source = tmp_path / "plays.parquet"
    pq.write_table(PLAIN[name], source)
    summary = clean(source, tmp_path / "here", **filters)
    assert summary is not None and "left_out" in summary
    (tmp_path / "there").mkdir()
    params = data_params(source, **(HOLDOUT | filters))
    assert summary == ingest_on_spark(spark, params, tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_nothing(tmp_path, monkeypatch, threads):
    source = tmp_path / "plays.parquet"
    pq.write_table(PLAIN["duplicates"], source, row_group_size=7)
    expected = clean(source, tmp_path / "first")
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    assert clean(source, tmp_path / "second") == expected
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def given(folder, shift=0):
    """Three splits; a `shift` of 0 leaves no play in two of them."""
    chosen = np.arange(len(PLAYS)) % 4
    for name, kind in (("train", chosen > 1), ("validation", chosen == 0), ("test", chosen == 1)):
        rows = [row for row, held in zip(PLAYS, kind, strict=True) if held]
        if name == "test":
            rows = [(f"t{user}", track, count) for user, track, count in rows]
            rows += PLAYS[2 : 2 + shift]
        users, tracks, counts = zip(*rows, strict=True)
        write_parquet(folder / f"{name}.parquet", user_id=users, track_id=tracks, count=counts)
    return folder


def test_given_splits_that_share_a_play_are_left_to_spark(tmp_path):
    assert clean(given(tmp_path / "b", 1), tmp_path / "shared", protocol="given") is None


def test_given_splits_of_strangers_are_left_to_spark(tmp_path):
    """Training knows no user of `test` but that is told by Spark's road, with two ids."""
    assert clean(given(tmp_path / "a"), tmp_path / "strangers", protocol="given") is None


def test_nobody_to_train_on_is_said_without_spark(tmp_path):
    source = write_parquet(tmp_path / "plays.parquet", **changed())
    with pytest.raises(MusicRecError, match="leaves no user to train on"):
        clean(source, tmp_path / "here", validation_users=0.5, test_users=0.5)


def test_the_plays_held_out_are_merged_rows(tmp_path):
    source = tmp_path / "plays.parquet"
    pq.write_table(PLAIN["duplicates"], source)
    summary = clean(source, tmp_path / "here")
    assert summary["source"] == {
        "rows": 3 * len(PLAYS),
        "merged_rows": 2 * len(PLAYS),
        "rejected_rows": 0,
        "rejected": {},
    }
    found = sorted(row for rows in all_rows(tmp_path / "here").values() for row in rows)
    assert found == sorted((user, track, 3 * count) for user, track, count in PLAYS)
