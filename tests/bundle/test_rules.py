"""Lists by rules: k tracks come where k are left, alone, in batches, in files and on Spark."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.bundle import Bundle, batch, load_bundle, recommend
from musicrec.bundle.batch import Request, recommend_all, recommend_all_on_spark
from musicrec.cli import main
from musicrec.errors import MusicRecError
from musicrec.storage import parquet
from tests.support.served import (
    LONE_USER,
    N_ITEMS,
    N_USERS,
    export,
    make_project,
    name_of,
    plays_of,
)

TRACKS = [name_of("item", item) for item in range(N_ITEMS)]
USERS = [name_of("user", user) for user in range(N_USERS)]
# Few large groups, so that the best k or even 4 k are of too few; every ninth track has none.
GROUP = {track: f"artist {i % 2}" for i, track in enumerate(TRACKS) if i % 9}
EXCLUDE_FOR = {USERS[3]: TRACKS[:9], USERS[5]: [*TRACKS[4:30], "nobody's"], "nobody": TRACKS[:2]}
RULES: list[dict[str, Any]] = [
    {},
    {"exclude_seen": False},
    {"max_per_group": 1},
    {"max_per_group": 2, "exclude_seen": False},
    {"max_per_group": 2, "exclude": TRACKS[:11]},
    {"max_per_group": 3, "candidates": TRACKS[::2], "exclude": TRACKS[:8]},
    {"max_per_group": 2, "candidates": TRACKS[7:9]},
    {"min_score": 0.3, "max_per_group": 4},
    {"min_score": 0.5},
    {"candidates": TRACKS[5:30], "exclude": TRACKS[9:14]},
]


@pytest.fixture(scope="module")
def grouped(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grouped")
    rows = "".join(f'{track}\t{group}\t"more" of it\n' for track, group in GROUP.items())
    (folder / "artists.tsv").write_text(f"track_id\tgroup\tnote\nunknown\tx\t\n{rows}")
    export(project, folder / "bundle", folder / "artists.tsv")
    return load_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    return load_bundle(make_project(tmp_path_factory.mktemp("timed"), days=True) / "bundle")


def request(bundle: Bundle, k: int, users: list[str] = USERS, **rules: Any) -> Request:
    meant = bundle.users.indices(users)[0]
    return Request(bundle.query(k, **rules), meant, bundle.exclusions(EXCLUDE_FOR))


def expected(bundle: Bundle, vector: np.ndarray, k: int, seen: Any = (), **rules: Any) -> list[str]:
    """The list by a full sort and a look at each track."""
    scores = bundle.item_factors @ vector
    banned = {*rules.get("exclude", ()), *(seen if rules.get("exclude_seen", True) else ())}
    of_group: Counter[str] = Counter()
    found: list[str] = []
    for item in np.argsort(-scores, kind="stable"):
        track = TRACKS[item]
        group = GROUP.get(track)
        if (
            track in banned
            or not bundle.item_factors[item].any()
            or track not in rules.get("candidates", TRACKS)
            or scores[item] < rules.get("min_score", -np.inf)
            or (group and of_group[group] >= rules.get("max_per_group", N_ITEMS))
        ):
            continue
        if group:
            of_group[group] += 1
        found.append(track)
    return found[:k]


@pytest.mark.parametrize("k", [0, 6, 10**9])
@pytest.mark.parametrize("rules", [*RULES, {"diversity": 0.3, "candidates": TRACKS[:20]}])
def test_the_list_is_that_of_a_look_at_each_track(project, grouped, k, rules):
    """One at a time, together, from given plays and through the index."""
    plays = [*(plays_of(project, user) for user in range(N_USERS)), {}, {"nobody": 3}]
    many = grouped.recommend_many(USERS, k, **rules)
    folded = grouped.recommend_for_many_plays(plays, k, **rules)
    near = grouped.recommend_many(USERS, k, search_k=5, **rules)
    assert folded == [grouped.recommend_for_plays(one, k, **rules) for one in plays]
    for user, name in enumerate(USERS):
        assert many[user] == grouped.recommend(name, k, **rules)
        assert near[user] == grouped.recommend(name, k, search_k=5, **rules)
        if user != LONE_USER and "diversity" not in rules:
            vector = grouped.user_factors[user]
            assert many[user].track_ids == expected(grouped, vector, k, plays[user], **rules)


def test_popular_and_diverse_lists_heed_the_groups(grouped):
    for options in ({}, {"diversity": 0.5}, {"search_k": 3}):
        for user in (USERS[LONE_USER], USERS[3]):
            answer = grouped.recommend(user, 10, max_per_group=2, **options)
            groups = Counter(grouped.group_of(track) for track in answer.track_ids)
            assert groups["artist 0"] == groups["artist 1"] == 2
            assert len(answer) == 4 + groups[None]


def test_exclusions_of_one_user(grouped):
    answers = grouped.recommend_many(USERS, 9, exclude_for=EXCLUDE_FOR, exclude=TRACKS[:1])
    for user, answer in zip(USERS, answers, strict=True):
        own = [track for track in EXCLUDE_FOR.get(user, []) if track in TRACKS]
        assert answer == grouped.recommend(user, 9, exclude=[*TRACKS[:1], *own])


@pytest.mark.parametrize("k", [0, 7, 10**9])
def test_files_hold_the_same_lists(grouped, timed, tmp_path, monkeypatch, k):
    path, some = tmp_path / "top.parquet", USERS[2:9]
    diverse = {"max_per_group": 2, "diversity": 0.4, "min_score": 0.1}
    some_only = ({**diverse, "candidates": TRACKS[::3]}, {"candidates": []})
    for rules in (*RULES, diverse, *some_only):
        bundle = grouped if rules else timed
        monkeypatch.setattr(recommend, "MANY", 1)  # an index of the candidates alone
        recommend_all(bundle, path, request(bundle, k, some, **rules))
        expected = []
        monkeypatch.undo()
        answers = bundle.recommend_many(some, k, exclude_for=EXCLUDE_FOR, **rules)
        for user, answer in zip(some, answers, strict=True):
            for position, found in enumerate(answer, 1):
                row = {"user_id": user, "position": position, "track_id": found.track_id}
                row |= {"score": found.score, "source": answer.source}
                row |= {"last_played": found.last_played} if bundle is timed else {}
                expected.append(row)
        assert pq.read_table(path).to_pylist() == expected


def test_spark_gives_the_same_bytes_and_shuffles_nothing(
    spark, grouped, timed, tmp_path, monkeypatch
):
    def shuffled() -> int:
        status = spark.sparkContext._jsc.sc().statusStore()
        return int(status.executorSummary("driver").totalShuffleWrite())

    before = shuffled()
    monkeypatch.setattr(batch, "USERS_A_BLOCK", 7)  # several partitions and batches
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    for bundle, asked in (
        (grouped, request(grouped, 10**9)),
        (grouped, request(grouped, 7, USERS[2:9], max_per_group=2, diversity=0.4, min_score=0.1)),
        (timed, request(timed, 7, not_played_for="20d")),
    ):
        recommend_all(bundle, here, asked)
        recommend_all_on_spark(spark, bundle, there, asked)
        assert there.read_bytes() == here.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"here.parquet", "there.parquet"}
    assert shuffled() == before


def test_bytes_do_not_follow_the_blocks(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROW_GROUP", 37)
    contents = []
    for users in (1, 7, 4096):
        monkeypatch.setattr(batch, "USERS_A_BLOCK", users)
        recommend_all(bundle, tmp_path / "top.parquet", Request(bundle.query(5)))
        contents.append((tmp_path / "top.parquet").read_bytes())
    assert len(set(contents)) == 1
    assert pq.ParquetFile(tmp_path / "top.parquet").num_row_groups == -(-N_USERS * 5 // 37)


def test_not_played_for(project, timed, bundle):
    newest = int(timed.arrays["seen_last_played"].max())
    for period, days in (("30d", 30), ("72h", 3), ("0w", 0)):
        many = timed.recommend_many(USERS, N_ITEMS, not_played_for=period)
        for user, (name, answer) in enumerate(zip(USERS, many, strict=True)):
            assert answer == timed.recommend(name, N_ITEMS, not_played_for=period)
            items = {track: [*timed.tracks].index(track) for track in plays_of(project, user)}
            days_ago = {t: newest - (user + item) % 100 * 86400 for t, item in items.items()}
            recent = [t for t, ago in days_ago.items() if ago < days * 86400]
            everything = timed.recommend(name, N_ITEMS, exclude_seen=False).track_ids
            assert answer.track_ids == [t for t in everything if t not in recent]
    for ask, sentence in (
        (lambda: timed.recommend(USERS[0], not_played_for="soon"), "not_played_for is 'soon'"),
        (lambda: bundle.recommend(USERS[0], not_played_for="1d"), "of the bundle have no times"),
        (lambda: timed.recommend_for_plays({}, not_played_for="1d"), "are given have no times"),
    ):
        with pytest.raises(MusicRecError, match=sentence):
            ask()


def test_the_command_takes_every_rule(grouped, tmp_path, capsys):
    (tmp_path / "not").write_text(f"{TRACKS[0]}\n{USERS[3]}\t{TRACKS[1]}\nnobody\t{TRACKS[2]}\n")
    (tmp_path / "only").write_text("\n".join(TRACKS[:30]))
    (tmp_path / "users").write_text(f"{USERS[3]}\n{USERS[8]}\nnobody\n")
    files = ["--exclude-from", str(tmp_path / "not"), "--candidates-from", str(tmp_path / "only")]
    rules = ["--max-per-group", "2", "--min-score", "0.1", "-k", "4", *files]
    rules += ["--with-seen", "--diversity", "0.4"]
    rules += ["--bundle", str(grouped.root)]
    options = {"max_per_group": 2, "min_score": 0.1, "candidates": TRACKS[:30]}
    options |= {"diversity": 0.4, "exclude_seen": False}
    lists = [
        grouped.recommend(user, 4, exclude=exclude, **options).track_ids
        for user, exclude in ((USERS[3], TRACKS[:2]), (USERS[8], TRACKS[:1]))
    ]
    assert main(["recommend", "--user", USERS[3], "--json", *rules]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [track["track_id"] for track in printed["tracks"]] == lists[0]
    output = tmp_path / "top.parquet"
    words = ["--all", "--users", str(tmp_path / "users"), "--output", str(output), *rules]
    assert main(["recommend", *words]) == 0
    printed = capsys.readouterr()
    assert "unknown to the model and left out: nobody" in printed.err
    assert printed.out.startswith(f"{output}: up to 4 tracks for each of 2 users, 8 rows (user_id")
    assert pq.read_table(output).column("track_id").to_pylist() == [*lists[0], *lists[1]]


def test_groups_are_named_and_a_bundle_without_them_says_so(bundle, grouped):
    assert [grouped.group_of(track) for track in TRACKS] == [GROUP.get(t) for t in TRACKS]
    assert bundle.group_of(TRACKS[1]) is None
    with pytest.raises(MusicRecError, match=r"the bundle has no groups.*export\.groups"):
        bundle.recommend(USERS[0], max_per_group=2)
    for wrong, sentence in (
        ({"max_per_group": 0}, "max_per_group is 0, not a whole number of at least 1"),
        ({"min_score": float("nan")}, "min_score is nan, not a number"),
    ):
        with pytest.raises(MusicRecError, match=sentence):
            grouped.recommend(USERS[0], **wrong)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("track_id,artist\na,b\n", "not a table with the columns track_id and group"),
        ("", "not a table with the columns"),
        ("track_id,group\nitem-1,a\nitem-1,b\n", "'item-1' has the groups 'a' and 'b'"),
        ("track_id,group\nunknown,a\n", "none of its tracks is in the model"),
    ],
)
def test_a_table_of_groups_that_is_none(project, tmp_path, content, sentence):
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(MusicRecError, match=sentence):
        export(project, tmp_path / "bundle", tmp_path / "groups.csv")
    assert not (tmp_path / "bundle").exists()


def test_groups_may_be_parquet_of_whole_numbers(project, tmp_path):
    table = {"track_id": TRACKS, "group": pa.array([i % 5 if i else None for i in range(N_ITEMS)])}
    pq.write_table(pa.table(table), tmp_path / "groups.parquet")
    export(project, tmp_path / "bundle", tmp_path / "groups.parquet")
    loaded = load_bundle(tmp_path / "bundle")
    assert (loaded.group_of(TRACKS[0]), loaded.group_of(TRACKS[7])) == (None, "2")
