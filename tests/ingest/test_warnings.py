"""What a person reads while `ingest` runs."""

from __future__ import annotations

import pytest

from musicrec.ingest.report import sentence
from tests.support.plays import HOLDOUT, PLAYS, run, text_of, write


def warned(tmp_path, source, capfd, **kwargs) -> list[str]:
    run(source, tmp_path, **(HOLDOUT | kwargs))
    said = capfd.readouterr().err.splitlines()
    return [line for line in said if line.startswith("warning")]


def test_ids_in_two_forms_are_warned_of(tmp_path, capfd):
    more = [("100.0", "7", 1), ("101.0", "x", 1), ("5.0", "z", 1)]
    path = write(tmp_path / "plays.csv", text_of([*PLAYS, *more]))
    (said,) = warned(tmp_path, path, capfd)
    assert "'user_id' has users in two forms, 2 of them such as 100 and 100.0" in said


@pytest.mark.parametrize("value", ["-1", "1900-01-01", "0001-01-01 00:00:00", "1601-01-01"])
def test_times_that_stand_for_none_are_warned_of(tmp_path, capfd, value):
    usual = "1325523900" if value == "-1" else "2012-01-02 17:05:00"
    lines = [f"{user},{track},{usual}" for user, track, _ in PLAYS] + [f"a,b,{value}"]
    path = write(tmp_path / "plays.csv", "user_id,track_id,at\n" + "\n".join(lines))
    columns = {"count": None, "timestamp": "at"}
    said = warned(tmp_path, path, capfd, columns=columns)
    assert any("'at' is 0 (1970), -1 or before 1950 in 1 of 106 rows" in line for line in said)


def test_what_was_left_out_is_said_with_the_reasons():
    summary = {
        "source": {
            "rows": 1300,
            "rejected_rows": 3,
            "rejected": {"count_negative": 2, "user_missing": 1},
        },
        "train": {"rows": 1200, "users": 90, "tracks": 1000},
        "validation": {"users": 5},
        "test": {"users": 4},
    }
    assert sentence(summary) == (
        "1,300 rows read; 1,200 plays of 90 users and 1,000 tracks to train on; 5 validation and "
        "4 test users; 3 bad rows left out: count negative in 2, user missing in 1"
    )
