"""Both engines write the same bytes and count the same."""

from __future__ import annotations

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest import run as run_module
from musicrec.ingest.split import on_spark
from musicrec.storage.parquet import read_table
from tests.support.plays import HOLDOUT, PLAYS, contents, data_params, run, text_of, write

WHEN = 1_600_000_000
LOG = [
    (user, track, WHEN + 86_399 * ((7 * i + 13 * again) % 101))
    for i, (user, track, count) in enumerate(PLAYS)
    for again in range(1 + count % 3)
]
LOG += LOG[:40]  # sent twice
TIMED = {"columns": {"count": None, "timestamp": "at"}}
STRONG = {"protocol": "strong_generalization"}
CASES = {
    "counts": (text_of([*PLAYS, *PLAYS[:40]]), {}),
    "filters": (text_of(PLAYS), {"min_track_users": 4, "min_user_plays": 2}),
    "strong": (text_of([*PLAYS, *PLAYS[:9]]), STRONG),
    "strong and filters": (text_of(PLAYS), STRONG | {"min_user_plays": 2, "min_track_users": 7}),
    "times": (text_of(LOG, header="user_id,track_id,at"), TIMED),
    "once": (text_of(LOG, header="user_id,track_id,at"), TIMED | {"same_listen": "once"}),
    "strong, times": (text_of(LOG, header="user_id,track_id,at"), TIMED | STRONG),
    "counts and times, once": (
        text_of([(u, t, 1 + i % 4, w) for i, (u, t, w) in enumerate(LOG)],
                header="user_id,track_id,count,at"),
        {"columns": {"timestamp": "at"}, "same_listen": "once"},
    ),
}  # fmt: skip


@pytest.fixture
def through_spark(spark, monkeypatch):
    """Send rows to files and merge them by the session of the tests."""

    def merge(folders, params, folder):
        return on_spark.merge_with(spark, folders, params, folder)

    def start():
        monkeypatch.setattr("musicrec.interactions.memory.ROW_BYTES", 1 << 60)
        monkeypatch.setattr(on_spark, "merge_on_spark", merge)

    return start


@pytest.mark.parametrize("name", CASES)
def test_same_bytes_and_figures(through_spark, tmp_path, name):
    text, kwargs = CASES[name]
    source = write(tmp_path / "plays.csv", text)
    expected, here = run(source, write(tmp_path / "a/x", "").parent, **(HOLDOUT | kwargs))
    through_spark()
    found, there = run(source, write(tmp_path / "b/x", "").parent, **(HOLDOUT | kwargs))
    assert found == expected
    assert contents(there) == contents(here)


def test_given_splits(through_spark, tmp_path):
    for number, split in enumerate(("train", "validation", "test")):
        rows = [row for row in PLAYS if int(row[1]) % 3 == number or split == "train"]
        rows = [(f"{split}{user}" if split == "test" else user, *row) for user, *row in rows]
        write(tmp_path / f"s/{split}.csv", text_of([*rows, *rows[:5]]))
    write(
        tmp_path / "s/train.csv", text_of([*PLAYS, *((f"test{u}", t, c) for u, t, c in PLAYS[::2])])
    )
    kwargs = {"on_bad_rows": "drop"}
    with pytest.raises(MusicRecError, match="are in train too, first user"):
        run(tmp_path / "s", write(tmp_path / "c/x", "").parent)
    write(tmp_path / "s/validation.csv", text_of([("100", "7", 2), ("100", "7", 1), *PLAYS[:3]]))
    expected, here = run(tmp_path / "s", write(tmp_path / "a/x", "").parent, **kwargs)
    assert expected["validation"]["rejected"] == {"also_in_train": 3}
    through_spark()
    found, there = run(tmp_path / "s", write(tmp_path / "b/x", "").parent, **kwargs)
    assert found == expected and contents(there) == contents(here)


def test_sums_above_int64(through_spark, tmp_path):
    rows = [*PLAYS, ("u", "t", 2**62), ("u", "t", 2**62), ("u", "v", 2**63 - 1)]
    source = write(tmp_path / "plays.csv", text_of(rows))
    for name in ("a", "b"):
        with pytest.raises(MusicRecError, match=r"sum to more .* first user 'u', track 't'"):
            run(source, write(tmp_path / name / "x", "").parent, **HOLDOUT)
        through_spark()


@pytest.mark.parametrize("kwargs", [HOLDOUT, STRONG | {"validation_users": 0.3, "test_users": 0.3}])
def test_last_played_is_the_latest_second(tmp_path, kwargs):
    rows = [(user, track, f"2020-01-02T03:04:{i % 60:02d}.75Z") for i, (user, track, _) in
            enumerate([*PLAYS, *PLAYS])]  # fmt: skip
    source = write(tmp_path / "plays.csv", text_of(rows, header="user_id,track_id,at"))
    _, out = run(source, tmp_path, **(kwargs | TIMED))
    found = {}
    for split in out.iterdir():
        table = read_table(split)
        assert table.schema.field("last_played").type == "int64"
        for row in table.to_pylist():
            found[row["user_id"], row["track_id"]] = row["last_played"]
    second = 1_577_934_240  # 2020-01-02T03:04:00Z
    for place, (user, track, _) in enumerate(PLAYS):
        if (user, track) in found:
            other = (place + len(PLAYS)) % 60
            assert found[user, track] == second + max(place % 60, other)


def test_without_times_there_is_no_column_of_them(tmp_path):
    _, out = run(write(tmp_path / "plays.csv", text_of(PLAYS)), tmp_path, **HOLDOUT)
    assert read_table(out / "train").schema.names == ["user_id", "track_id", "count"]


def test_a_local_run_of_small_plays_starts_no_spark(tmp_path, monkeypatch):
    def no_spark(*_):
        raise AssertionError("Spark was started")

    monkeypatch.setattr(on_spark, "merge_on_spark", no_spark)
    source = write(tmp_path / "plays.csv", text_of(PLAYS) + '1,"x ""y""",3.0\n')
    run_module.ingest(data_params(source, **HOLDOUT), write(tmp_path / "o/x", "").parent)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_and_blocks_change_nothing(tmp_path, monkeypatch, threads):
    source = write(tmp_path / "plays.csv", CASES["counts"][0])
    _, here = run(source, write(tmp_path / "a/x", "").parent, **HOLDOUT)
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 41)
    _, there = run(source, write(tmp_path / "b/x", "").parent, **HOLDOUT)
    assert contents(there) == contents(here)
