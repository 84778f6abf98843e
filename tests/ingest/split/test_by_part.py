"""Rows merged at once and by parts of the users: the same bytes, the same figures."""

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest import run as ingest
from tests.support.plays import HOLDOUT, PLAYS, contents, run, text_of, write

WHEN = 1_600_000_000
LOG = [
    (user, track, WHEN + 86_399 * ((7 * i + 13 * again) % 101))
    for i, (user, track, count) in enumerate(PLAYS)
    for again in range(1 + count % 3)
]
LOG += LOG[:40]  # sent twice
TIMED = {"columns": {"count": None, "timestamp": "at"}}
STRONG = {"protocol": "strong_generalization"}
TEMPORAL = TIMED | {"protocol": "temporal", "validation_from": 0.5, "test_from": 0.1, "gap": "1d"}
LATER = [*LOG, *((f"new{track}", track, time + 1) for _, track, time in LOG[::9])]
CASES = {
    "counts": (text_of([*PLAYS, *PLAYS[:40]]), {}),
    "strong and filters": (text_of(PLAYS), STRONG | {"min_user_plays": 2, "min_track_users": 7}),
    "times, by the first play": (text_of(LOG, header="user_id,track_id,at"),
        TIMED | {"held_out_by": "first"}),
    "temporal, filters, once": (text_of(LATER, header="user_id,track_id,at"),
        TEMPORAL | {"judged": "test", "min_track_users": 4, "min_user_plays": 2, "since": "60d",
        "same_listen": "once"}),
    "strong, times": (text_of(LOG, header="user_id,track_id,at"), TIMED | STRONG),
    "counts and times, once": (text_of([(u, t, 1 + i % 4, w) for i, (u, t, w) in enumerate(LOG)],
        header="user_id,track_id,count,at"), {"columns": {"timestamp": "at"},
        "same_listen": "once"}),
}  # fmt: skip


@pytest.fixture
def by_part(monkeypatch):
    """Send rows to files, so that they are merged by parts of the users."""

    def start():
        monkeypatch.setattr(ingest, "fits_in_memory", lambda rows: False)
        monkeypatch.setattr("musicrec.ingest.read.text.BLOCK", 99)  # chunks without some parts

    return start


@pytest.mark.parametrize("name", CASES)
def test_same_bytes_and_figures(by_part, tmp_path, name):
    text, kwargs = CASES[name]
    source = write(tmp_path / "plays.csv", text)
    expected, here = run(source, tmp_path / "a", **(HOLDOUT | kwargs))
    by_part()
    found, there = run(source, tmp_path / "b", **(HOLDOUT | kwargs))
    assert found == expected
    assert contents(there) == contents(here)


@pytest.mark.parametrize("history", [False, True], ids=["known users", "histories"])
def test_given_splits(by_part, tmp_path, history):
    held = {"validation": [("100", "7", 2), ("100", "7", 1), *PLAYS[:3]], "test": PLAYS[4:9]}
    test = [(f"test{user}", *row) for user, *row in PLAYS]
    tables = {"train": [*PLAYS, *test[::2]], **held, "test": [*test[1:9:2], *test[:3:2]]}
    if history:
        validation = [(f"valid{user}", *row) for user, *row in PLAYS]
        tables = {"train": PLAYS, "year1_valid_hidden": validation[::2], "year1_test_hidden": test}
        tables["year1_valid_visible"] = [*validation[1::2], *validation[:5]]
        tables["year1_test_visible"] = test[3::4]
    for name, rows in tables.items():
        write(tmp_path / f"s/{name}.csv", text_of([*rows, *rows[:5]]))
    with pytest.raises(MusicRecError, match=r"rows of validation .* are in .*, first user"):
        run(tmp_path / "s", tmp_path / "c")
    expected, here = run(tmp_path / "s", tmp_path / "a", on_bad_rows="drop")
    assert expected["validation"]["rejected"] == {"also_in_train": 6}
    assert expected["test"]["rejected_rows"] == (27 if history else 3)
    by_part()
    found, there = run(tmp_path / "s", tmp_path / "b", on_bad_rows="drop")
    assert found == expected and contents(there) == contents(here)


def test_sums_above_int64(by_part, tmp_path):
    rows = [*PLAYS, ("u", "t", 2**62), ("u", "t", 2**62), ("u", "v", 2**63 - 1)]
    source = write(tmp_path / "plays.csv", text_of(rows))
    for name in ("a", "b"):
        with pytest.raises(
            MusicRecError, match=r"the counts of user 'u' and track 't' sum to more"
        ):
            run(source, tmp_path / name, **HOLDOUT)
        by_part()
