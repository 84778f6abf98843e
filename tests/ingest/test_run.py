from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.report import sentence
from musicrec.storage.files import write_checksums
from tests.support.plays import (
    HOLDOUT,
    PLAYS,
    contents,
    run,
    text_of,
    together,
    write,
    write_parquet,
)
from tests.support.scripts import stage_process

OUTPUTS = {"output": "out", "metrics": "data.json", "plots": "plots"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Output for PLAYS from a plain Parquet file."""
    folder = tmp_path_factory.mktemp("expected")
    users, tracks, counts = map(list, zip(*PLAYS, strict=True))
    source = write_parquet(folder / "p.parquet", user_id=users, track_id=tracks, count=counts)
    _, out = run(source, folder, **HOLDOUT)
    return contents(out)


def reordered(folder: Path) -> Path:
    plays = random.Random(3).sample(PLAYS, len(PLAYS))
    for i in range(3):
        write(folder / f"x=1/part-{2 - i}.csv", text_of(plays[i::3]))
    write(folder / "_SUCCESS", "")
    write(folder / "part-9.csv", "")
    return folder


@pytest.mark.parametrize("threads", ["1", "3"])
def test_order_partitions_threads_and_blocks_do_not_matter(
    tmp_path, expected, monkeypatch, threads
):
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 97)
    _, out = run(reordered(tmp_path / "parts"), tmp_path, **HOLDOUT)
    assert contents(out) == expected


def test_stage_with_other_cores(tmp_path, expected, monkeypatch):
    """And without a locale, where Java alone could not open a file with an accent."""
    source = write(tmp_path / "é à" / "plays é.csv", text_of(PLAYS)).parent
    params = {"data": {"source": str(source), "columns": {"user": 0}, **HOLDOUT}}
    monkeypatch.setenv("MUSICREC_SPARK_MASTER", "local[4]")
    monkeypatch.setenv("LC_ALL", "C")
    done = stage_process("ingest", tmp_path, json.dumps(params), **OUTPUTS)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == expected
    metrics = json.loads((tmp_path / "data.json").read_text())
    assert metrics["rows_read"] == len(PLAYS)
    assert metrics["rows_merged"] == metrics["rows_rejected"] == 0
    assert f"{metrics['rows_read']:,} rows read; {metrics['train_plays']:,} plays of" in done.stderr
    assert "left out" not in done.stderr
    counts = json.loads((tmp_path / "plots/counts.json").read_text())
    assert [row["rows"] for row in counts] == [
        metrics[f"{split}_plays"] for split in ("train", "validation", "test")
    ]
    assert json.loads((tmp_path / "plots/rejected.json").read_text()) == []


def test_stage_leaves_what_was_there_when_it_fails(tmp_path):
    source = write(tmp_path / "plays.csv", text_of([*PLAYS, ("u", "t", -1)]))
    write(tmp_path / "out" / "old", "old")
    write_checksums(tmp_path / "out")
    before = contents(tmp_path / "out")
    params = {"data": {"source": str(source), **HOLDOUT}}
    done = stage_process("ingest", tmp_path, json.dumps(params), **OUTPUTS)
    assert done.returncode == 1
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: {source}: column 'count' is negative in 1 row, first in '-1' (line 107, user 'u', "
        "track 't'); fix the source or set data.on_bad_rows: drop"
    ]
    assert "Exception" not in done.stderr
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["out", "params.yaml", "plays.csv"]
    assert contents(tmp_path / "out") == before


class TestMerging:
    def test_event_log_rows_are_counted(self, tmp_path):
        events = [(u, t) for u, t, c in PLAYS for _ in range(c % 4 + 1)]
        source = write(tmp_path / "log.csv", text_of(events, header="track_id,user_id"))
        _, out = run(source, tmp_path, columns={"count": None}, **HOLDOUT)
        assert {(u, t): c for u, t, c in together(out)} == Counter((t, u) for u, t in events)

    def test_ids_that_are_equal_without_the_signs_around_them_are_one(self, tmp_path):
        """In one block, where each text has a number of its own."""
        text = text_of(PLAYS) + "".join(f"\ufeff{u},{t}\u00a0,{c}\n" for u, t, c in PLAYS)
        _, out = run(write(tmp_path / "p.csv", text), tmp_path, **HOLDOUT)
        assert sorted(together(out)) == sorted((u, t, 2 * c) for u, t, c in PLAYS)


def test_drop_counts_bad_rows_by_reason(tmp_path):
    bad = ["u,t", ",t,1", "u,,1", "u,t,", "u,t,0", "u,t,-2", "u,t,1.5", "u,t,nan", "u,t,x"]
    bad += ["u,t,9223372036854775808", "u,t,1e400", "j\ufffdrg,t,1", "u,t,-x", "u,t,-0"]
    source = write(tmp_path / "p.csv", text_of(PLAYS) + "\n".join(bad) + "\n")
    summary, out = run(source, tmp_path, on_bad_rows="drop", **HOLDOUT)
    assert sorted(together(out)) == sorted(PLAYS)
    said = sentence(summary)
    assert said.startswith("119 rows read; 77 plays of 30 users and 15 tracks to train on; 5 valid")
    assert "; 14 bad rows left out: ragged line in 1, user missing in 1, " in said
    assert summary["source"] == {
        "rows": len(PLAYS) + len(bad),
        "merged_rows": 0,
        "rejected_rows": len(bad),
        "rejected": {
            "ragged_line": 1,
            "user_missing": 1,
            "user_not_text": 1,
            "track_missing": 1,
            "count_missing": 1,
            "count_not_a_number": 3,
            "count_negative": 1,
            "count_zero": 2,
            "count_fractional": 1,
            "count_too_large": 2,
        },
    }


def warned(tmp_path, source, capfd, **kwargs) -> list[str]:
    run(source, tmp_path, **(HOLDOUT | kwargs))
    said = capfd.readouterr().err.splitlines()
    return [line for line in said if line.startswith("warning")]


def test_ids_in_two_forms_are_warned_of(tmp_path, capfd):
    more = [("100.0", "7", 1), ("101.0", "x", 1), ("5.0", "z", 1)]
    path = write(tmp_path / "plays.csv", text_of([*PLAYS, *more]))
    (said,) = warned(tmp_path, path, capfd)
    assert "'user_id' has users in two forms, 2 of them such as 100 and 100.0" in said


def test_words_for_null_are_warned_of(tmp_path, capfd):
    path = write(tmp_path / "plays.csv", text_of([*PLAYS, ("nan", "a", 1), ("NULL", "b", 1)]))
    (said,) = warned(tmp_path, path, capfd)
    assert "'user_id' holds words such as NULL, None or nan in 2 of 107 rows" in said


def test_ids_that_became_floats_in_one_split_are_refused(tmp_path):
    for name, ids in (("train", ("1.0", "2.0")), ("validation", "12"), ("test", "5")):
        write(tmp_path / f"s/{name}.csv", text_of([(one, "7", 3) for one in ids]))
    with pytest.raises(MusicRecError, match=r"such as '(\d+)\.0' in train and '\1' in validation"):
        run(tmp_path / "s", tmp_path)


@pytest.mark.parametrize("value", ["-1", "1900-01-01", "0001-01-01 00:00:00", "1601-01-01"])
def test_times_that_stand_for_none_are_warned_of(tmp_path, capfd, value):
    usual = "1325523900" if value == "-1" else "2012-01-02 17:05:00"
    lines = [f"{user},{track},{usual}" for user, track, _ in PLAYS] + [f"a,b,{value}"]
    path = write(tmp_path / "plays.csv", "user_id,track_id,at\n" + "\n".join(lines))
    columns = {"count": None, "timestamp": "at"}
    said = warned(tmp_path, path, capfd, columns=columns)
    assert any("'at' is 0 (1970), -1 or before 1950 in 1 of 106 rows" in line for line in said)
