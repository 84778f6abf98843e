"""Strong generalisation and the filters, beside a slow reference in plain Python."""

from collections import Counter, defaultdict

import pyarrow as pa
import pytest

from musicrec.errors import MusicRecError
from musicrec.ingest.report import count_rows, data_metrics
from musicrec.interactions.id_columns import hash_fraction
from tests.support.plays import rows, run, text_of, write

SHARES = {"validation_users": 0.3, "test_users": 0.2, "held_out": 0.3}
STRONG = {"protocol": "strong_generalization", **SHARES}
# 60 users of 1 to 9 tracks: some tracks everybody has, some are rare, each pair once.
TABLE = [
    (f"u{user}", f"t{(user * 7 + place * place) % 40 if place % 2 else place}", 1 + user % 3)
    for user in range(60)
    for place in range(1 + user % 9)
]
PLAYS = [(user, track, count) for (user, track), count in {(u, t): c for u, t, c in TABLE}.items()]


@pytest.fixture(scope="module")
def hashes():
    """Hash of each user, and of each play."""
    users, tracks, _ = (pa.array(column) for column in zip(*PLAYS, strict=True))
    of_user = hash_fraction(42, users, salt="holdout users").tolist()
    of_play = hash_fraction(42, users, tracks, salt="holdout plays").tolist()
    pairs = [row[:2] for row in PLAYS]
    return (
        {user: value for (user, _), value in zip(pairs, of_user, strict=True)},
        dict(zip(pairs, of_play, strict=True)),
    )


def reference(hashes, *, strong, min_user_plays=1, min_track_users=1, times=()):
    """The splits, one step after the other; what was left out."""
    latest = {(user, track): time for user, track, _, time in sorted(times, key=lambda row: row[3])}
    user_hash, play_hash = hashes
    users_of = Counter(track for _, track, _ in PLAYS)
    left = [row for row in PLAYS if users_of[row[1]] >= min_track_users]
    tracks_of = Counter(user for user, _, _ in left)
    left = [row for row in left if tracks_of[row[0]] >= min_user_plays]
    kinds = {}
    for user, value in user_hash.items():
        kinds[user] = "validation" if value < 0.3 else "test" if value < 0.5 else "train"
    known = {track for user, track, _ in left if kinds[user] == "train"}
    splits, histories, unknown, short = defaultdict(list), defaultdict(list), 0, 0
    for row in left:
        if kinds[row[0]] == "train":
            splits["train"].append(row)
        elif strong and row[1] not in known:
            unknown += 1
        else:
            histories[row[0]].append(row)
    for user, plays in histories.items():
        plays.sort(key=lambda row: (-latest.get(row[:2], 0), play_hash[row[:2]]))
        n = min(len(plays) - 1, max(1, int(len(plays) * 0.3 + 0.5)))
        if strong and len(plays) < 2:
            short += len(plays)
            continue
        splits[kinds[user]] += plays[:n]
        splits[f"{kinds[user]}_history" if strong else "train"] += plays[n:]
    filtered = len(PLAYS) - len(left)
    users_left = {user for user, _, _ in left}
    return (
        {name: sorted(found) for name, found in splits.items() if found},
        {"plays_filtered": filtered, "users_filtered": len(user_hash) - len(users_left)},
        {"plays_of_unknown_tracks": unknown, "plays_of_short_histories": short},
    )


@pytest.mark.parametrize("filters", [{}, {"min_user_plays": 4, "min_track_users": 3}])
def test_strong_generalization(tmp_path, hashes, filters):
    source = write(tmp_path / "plays.csv", text_of(PLAYS))
    summary, out = run(source, tmp_path, **STRONG, **filters)
    expected, filtered, left_out = reference(hashes, strong=True, **filters)
    names = ["test", "test_history", "train", "validation", "validation_history"]
    assert sorted(path.name for path in out.iterdir()) == sorted(expected) == names
    found = {name: sorted(rows(out, name)) for name in names}
    assert found == expected
    assert left_out["plays_of_unknown_tracks"] > 0
    figures = data_metrics(summary)
    assert {name: figures[name] for name in left_out} == left_out
    assert (filtered["plays_filtered"] > 0) == bool(filters)
    assert {name: figures.get(name, 0) for name in filtered} == filtered
    assert figures["validation_history_plays"] == len(expected["validation_history"])
    users = {name: {row[0] for row in part} for name, part in found.items()}
    assert not users["train"] & (users["validation"] | users["test"])
    assert users["validation"] == users["validation_history"]
    assert [row["split"] for row in count_rows(summary)] == [
        *("train", "validation", "test", "validation_history", "test_history")
    ]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("filters", [{}, {"min_user_plays": 3, "min_track_users": 2}])
def test_holdout(tmp_path, hashes, filters, timed):
    table = [(*row, 10**9 + 7919 * i * i % 1009) for i, row in enumerate([*PLAYS, PLAYS[-1]])]
    source = write(tmp_path / "p.csv", text_of(table, header="user_id,track_id,count,at"))
    columns = {"timestamp": "at"} if timed else {}
    summary, out = run(source, tmp_path, columns=columns, protocol="holdout", **SHARES, **filters)
    times = table if timed else ()
    expected, filtered, _ = reference(hashes, strong=False, **filters, times=times)
    user, track, count = PLAYS[-1]
    for part in expected.values():
        part[:] = [(u, t, 2 * c if (u, t) == (user, track) else c) for u, t, c in part]
    assert {name: sorted(rows(out, name)) for name in expected} == expected
    assert sorted(path.name for path in out.iterdir()) == sorted(expected)
    assert {name: data_metrics(summary).get(name, 0) for name in filtered} == filtered
    train_users, train_tracks = ({row[i] for row in expected["train"]} for i in (0, 1))
    for name, part in expected.items():
        users, tracks = ({row[i] for row in part} for i in (0, 1))
        numbers = [summary[name][what] for what in ("rows", "users", "tracks")]
        assert numbers == [len(part), len(users), len(tracks)]
        if name != "train":
            assert summary[name]["cold_users"] == len(users - train_users)
            assert summary[name]["cold_tracks"] == len(tracks - train_tracks)
    split = next(name for name, part in expected.items() if (user, track, 2 * count) in part)
    assert summary[split]["merged_rows"] == 1 == summary["source"]["merged_rows"]


def test_filters_that_cannot_be(tmp_path):
    source = write(tmp_path / "plays.csv", text_of(PLAYS))
    with pytest.raises(MusicRecError, match=r"filter one table; data\.protocol: given"):
        run(source, tmp_path / "a", min_track_users=2)
    strict = STRONG | {"min_track_users": 1000}
    with pytest.raises(MusicRecError, match=r"left in train; lower data\.min_user.* or use plays"):
        run(source, tmp_path / "b", **strict)
