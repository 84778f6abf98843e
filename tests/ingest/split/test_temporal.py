"""Splits by time, beside a slow reference in plain Python."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.report import data_metrics
from musicrec.interactions.held_out import read_held_out
from musicrec.storage.files import read_json
from musicrec.storage.parquet import read_table
from tests.support.plays import run, text_of, write
from tests.support.scripts import run_stage

DAY, START = 86_400, 1_600_000_000  # 2020-09-13T12:26:40Z
_RANDOM = random.Random(7)
LOG = [
    (f"u{_RANDOM.randrange(60)}", f"t{int(40 * _RANDOM.random() ** 2)}", START + second)
    for second in sorted(_RANDOM.randrange(100 * DAY) for _ in range(1200))
]
LOG += [(f"late{n}", f"new{n % 3}", START + (92 + n) * DAY) for n in range(6)]
BOUNDARIES = {"validation_from": "2020-11-22T12:26:40Z", "test_from": "2020-12-12 12:26:40"}
TEMPORAL = {"protocol": "temporal", "columns": {"count": None, "timestamp": "at"}}


def reference(start: int, own: int, end: int, gap: int = 0, min_tracks=1, min_users=1) -> dict:
    """Splits of plays [start, own - gap) and [own, end) of users with earlier plays."""
    train, window = Counter(), Counter()
    last = defaultdict(int)
    for user, track, time in LOG:
        if start <= time < own - gap:
            train[user, track] += 1
            last["train", user, track] = max(time, last["train", user, track])
        elif own <= time < end:
            window[user, track] += 1
            last["held", user, track] = max(time, last["held", user, track])
    users_of = Counter(track for _, track in train)
    tracks = {t for _, t, _ in LOG if min_users == 1 or users_of[t] >= min_users}
    tracks_of = Counter(user for user, track in train if track in tracks)
    users = {user for user, n in tracks_of.items() if n >= min_tracks}

    def rows(split, name):
        return sorted(
            (user, track, n, last[name, user, track])
            for (user, track), n in split.items()
            if user in users and track in tracks
        )

    new = [user for user, track in window if user not in tracks_of and track in tracks]
    new = new if min_tracks == 1 else []
    return {
        "train": rows(train, "train"),
        "held": rows(window, "held"),
        "users_without_history": len(set(new)),
        "plays_without_history": len(new),
    }


def at(day: float) -> int:
    return START + int(day * DAY)


@pytest.mark.parametrize(
    "judged, params, expected",
    [
        ("validation", {}, (at(0), at(70), at(90))),
        ("test", {}, (at(0), at(90), at(100))),
        ("validation", {"test_from": None}, (at(0), at(70), at(100))),
        ("test", {"gap": "36h", "since": "30d"}, (at(60), at(90), at(100), 36 * 3600)),
        ("validation", {"gap": "1d", "since": at(10)}, (at(10), at(70), at(89), DAY)),
        ("test", {"min_user_plays": 5, "min_track_users": 9}, (at(0), at(90), at(100), 0, 5, 9)),
    ],
    ids=["validation", "test", "to the end", "gap and since", "since a date", "filters"],
)
def test_plays_of_two_windows(tmp_path, judged, params, expected):
    log = [(user, track, f"{time}.75") for user, track, time in LOG]  # last_played is the second
    source = write(tmp_path / "log.csv", text_of(log, header="user_id,track_id,at"))
    summary, out = run(source, tmp_path, judged, **TEMPORAL, **(BOUNDARIES | params))
    wanted, figures = reference(*expected), data_metrics(summary)
    assert sorted(path.name for path in out.iterdir()) == sorted(["train", judged])
    for split, name in (("train", "train"), (judged, "held")):
        columns = read_table(out / split).to_pydict().values()
        assert sorted(zip(*columns, strict=True)) == wanted[name]
        assert figures[f"{split}_plays"] == len(wanted[name]) > 50
    for name in ("users_without_history", "plays_without_history"):
        assert figures[name] == wanted[name]
    assert figures["train_until"] == ("2020-12-11T00:26:40Z" if "30d" in params.values() else
        figures["train_until"])  # fmt: skip


def test_the_stages_after_it_know_one_held_out_split(tmp_path):
    """Every user of the window is kept, however few others are."""
    source = write(tmp_path / "log.csv", text_of(LOG, header="user_id,track_id,at"))
    run(source, tmp_path, "test", **TEMPORAL, **BOUNDARIES)
    for stage, params, paths in (
        ("downsample", "downsample: {fraction: 0.01}", {"output": "kept"}),
        ("index", "", {"train": "kept", "output": "indexed"}),
    ):
        paths |= {"ingested": "ingested", "metrics": f"{stage}.json", "plots": f"plots/{stage}"}
        run_stage(stage, tmp_path, params, **paths)
    figures = read_json(tmp_path / "index.json")
    assert figures["unknown_test_users"] == 0 and "unknown_validation_users" not in figures
    held_out = read_held_out(tmp_path / "indexed", "test", "keep")
    wanted = reference(at(0), at(90), at(100))
    assert sorted(held_out.user_ids.to_pylist()) == sorted({row[0] for row in wanted["held"]})
    assert held_out.history.lengths.min() > 0
    assert held_out.train.n_users < len({row[0] for row in wanted["train"]})


@pytest.mark.parametrize("share", [0.1, 0.37, 0.98])
@pytest.mark.parametrize("step", [1, 7919, 10**7])
def test_a_share_is_the_latest_plays(tmp_path, share, step):
    """To the play, however the times lie, and whatever the share of equal ones."""
    times = [START + step * (n * n % 211) for n in range(400)]
    rows = [(f"u{n % 3}", f"t{n}", time) for n, time in enumerate(times)]
    source = write(tmp_path / "log.csv", text_of(rows, header="user_id,track_id,at"))
    _, out = run(source, tmp_path, **TEMPORAL, validation_from=share)
    boundary = sorted(times)[-round(share * len(times))]
    held = read_table(out / "validation").column("last_played").to_pylist()
    assert sorted(held) == sorted(time for time in times if time >= boundary)


@pytest.mark.parametrize(
    "params, sentence",
    [
        ({"validation_from": None}, "split: validation needs data.validation_from, a date"),
        ({"validation_from": "2030-01-01"}, "window of validation, from 2030-01-01T00:00:00Z un"),
        ({"validation_from": 0.1, "test_from": 0.2}, "no play is in the window of validation, fr"),
        ({"validation_from": "soon"}, "validation_from = 'soon' is not allowed; it must be a da"),
        ({"since": "soon"}, r"it must be a date .* or a duration \(180d\)"),
        ({"gap": "80d"}, "no play is in the window of train, from .* until .*; the plays are"),
        ({"since": "2030-01-01"}, "window of train, from 2030-01-01T00:00:00Z until 2020"),
        ({"columns": {"count": None}}, "temporal needs times; set data.columns.timestamp, or"),
    ],
)
def test_windows_that_cannot_be(tmp_path, params, sentence):
    source = write(tmp_path / "log.csv", text_of(LOG, header="user_id,track_id,at"))
    with pytest.raises(MusicRecError, match=sentence):
        run(source, tmp_path, **(TEMPORAL | BOUNDARIES | params))


def test_nobody_in_the_window_has_earlier_plays(tmp_path):
    rows = [(f"u{n}", f"t{n}", START + n) for n in range(20)]
    source = write(tmp_path / "log.csv", text_of(rows, header="user_id,track_id,at"))
    with pytest.raises(MusicRecError, match=r"set data\.validation_from to a time before which"):
        run(source, tmp_path, **TEMPORAL, validation_from=0.3)


@pytest.mark.parametrize("by", ["last", "first"])
def test_holdout_by_the_last_or_the_first_play(tmp_path, capsys, by):
    """The favourite, played first and last, is held out or kept."""
    rows = [(f"u{n}", track, START + time) for n in range(60) for time, track in
            enumerate(["favourite", "early", "late", "favourite"])]  # fmt: skip
    source = write(tmp_path / "log.csv", text_of(rows, header="user_id,track_id,at"))
    holdout = {"protocol": "holdout", "held_out_by": by, "held_out": 0.4, "test_users": 0.5}
    _, out = run(source, tmp_path, **(TEMPORAL | holdout))
    held = set(read_table(out / "test").column("track_id").to_pylist())
    assert held == {"favourite" if by == "last" else "late"}
    assert (
        "holdout leaves the later plays of other users in training; temp" in capsys.readouterr().err
    )


def test_listens_sent_twice_are_compared_with_the_plays_of_the_windows(tmp_path, capfd):
    rows = [*LOG, *LOG[-9:]]
    source = write(tmp_path / "plays.csv", text_of(rows, header="user_id,track_id,at"))
    run(source, tmp_path, "test", **TEMPORAL, **BOUNDARIES, since="20d")
    recent = sum(time >= START + 70 * DAY for *_, time in rows)
    assert f"9 of {recent} rows have user, track and time" in capfd.readouterr().err
