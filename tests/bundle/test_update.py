"""New plays are added to a bundle: what they touch is solved again, all else stays."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.bundle import load_bundle
from musicrec.bundle.update import update
from musicrec.cli import main
from musicrec.errors import MusicRecError
from tests.support.als_reference import dense, solve_rows
from tests.support.plays import contents
from tests.support.served import ALS, FEEDBACK, HARD_IDS, N_ITEMS, export, make_project, plays_of

# Of an old and a new user, an old and a new track; one pair that was there, one below min_count.
NEW = [
    ("user-3", "item-5", 4),
    ("user-3", "another track", 2),
    ("someone", "item-5", 3),
    ("someone", "item-9", 1),
    ("user-8", "another track", 7),
]


def table(rows=NEW):
    types = {"user_id": pa.string(), "track_id": pa.string(), "count": pa.int64()}
    types |= {"last_played": pa.int64()} if rows and len(rows[0]) > 3 else {}
    named = [dict(zip(types, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, pa.schema(types))


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_is_touched_is_solved_and_all_else_stays(project, bundle, tmp_path, rounds):
    told = update(bundle, table(), tmp_path / "new", rounds=rounds)
    new = load_bundle(tmp_path / "new")
    assert (told["new_users"], told["new_tracks"], told["number"]) == (1, 1, 1)
    assert [*new.users] == [*bundle.users, "someone"]
    assert [*new.tracks] == [*bundle.tracks, "another track"]
    counts = np.pad(dense(bundle.plays), ((0, 1), (0, 1)))
    for user, track, count in NEW:
        counts[new.users.index(user), new.tracks.index(track)] += count
    np.testing.assert_array_equal(dense(new.plays), counts)
    r = np.where(counts >= FEEDBACK.min_count, np.log1p(counts), 0)
    touched = {
        "user": [new.users.index(user) for user in ("user-3", "user-8", "someone")],
        "item": [new.tracks.index(track) for track in ("item-5", "item-9", "another track")],
    }
    users = np.vstack((bundle.user_factors, np.zeros((1, ALS.rank))))
    items = np.vstack((bundle.item_factors, np.zeros((1, ALS.rank))))
    for step in range(2 * rounds + 1):
        if step % 2:
            items[touched["item"]] = solve_rows(r.T[touched["item"]], users, ALS)
        else:
            users[touched["user"]] = solve_rows(r[touched["user"]], items, ALS)
    np.testing.assert_allclose(new.user_factors, users, atol=1e-4)
    np.testing.assert_allclose(new.item_factors, items, atol=1e-4)
    for name, found, old in (
        ("user", new.user_factors, bundle.user_factors),
        ("item", new.item_factors, bundle.item_factors),
    ):
        same = np.setdiff1d(np.arange(len(old)), touched[name])
        np.testing.assert_array_equal(found[same], old[same])
    np.testing.assert_allclose(
        new.fold_in({"item-5": 3, "item-9": 1}), new.user_factors[-1], atol=1e-5
    )
    seen = plays_of(project, 3) | {"another track": 2, "item-5": 4}
    assert not set(new.recommend("user-3", N_ITEMS).track_ids) & set(seen)
    listed = pq.read_table(tmp_path / "new/items.parquet").to_pydict()
    assert listed["plays"] == np.count_nonzero(counts, axis=0).tolist()
    assert listed["track_id"] == [*new.tracks]


def test_plays_age_from_the_newest_one(tmp_path):
    """By a half-life: what is solved anew minimises the objective that `explain` takes apart."""
    feedback = FEEDBACK.replace(half_life="20d")
    bundle = load_bundle(make_project(tmp_path, feedback=feedback, days=True) / "bundle")
    rows = [("user-3", "item-5", 4, 110 * 86_400), ("user-8", "item-9", 7, 90 * 86_400)]
    update(bundle, table(rows), tmp_path / "new")
    new = load_bundle(tmp_path / "new")
    for one in (bundle, new):
        why = one.explain("user-3", "item-5")
        assert abs(why.remainder) < 1e-4 * max(abs(part.part) for part in why.plays)
        today = one.fold_in(plays_of(tmp_path, 3))
        assert np.abs(today - one.user_factors[one.users.index("user-3")]).max() > 0.01


def test_nothing_new_changes_no_byte(project, bundle, tmp_path):
    for _ in range(2):  # the second time over the first
        assert update(bundle, table([]), tmp_path / "same") == {}
        assert contents(tmp_path / "same") == contents(project / "bundle")
    update(load_bundle(tmp_path / "same"), table([]), tmp_path / "same")
    assert contents(tmp_path / "same") == contents(project / "bundle")


def test_any_number_of_threads_gives_the_same_bytes(bundle, tmp_path, monkeypatch):
    rows = [(user, track, 3) for user in bundle.users[:20] for track in bundle.tracks[::3]]
    for threads in ("1", "3"):
        monkeypatch.setenv("MUSICREC_THREADS", threads)
        update(bundle, table(rows), tmp_path / threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_the_command_reads_what_ingest_reads(project, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(table(), "new.parquet")
    (tmp_path / "params.yaml").write_text(
        "data: {columns: {user: who, track: what, count: null}, separator: semicolon}\n"
    )
    log = "".join(f"{user};{track}\n" * count for user, track, count in NEW)
    (tmp_path / "new.csv").write_text(f"who;what\n{log}")
    (tmp_path / "plain.yaml").write_text("{}\n")
    (tmp_path / "empty.csv").write_text("who;what\n")
    words = ["update", str(project / "bundle"), "--output"]
    assert main([*words, "log", "--plays", "new.csv"]) == 0
    assert main([*words, "table", "--plays", "new.parquet", "--params", "plain.yaml"]) == 0
    printed = capsys.readouterr().out
    added = "5 plays of 3 users and 3 tracks added, with 1 new user and 1 new track; update 1"
    assert added in printed
    assert contents(tmp_path / "log") == contents(tmp_path / "table")
    assert main(["verify", "--bundle", "log"]) == 0
    again = ["update", "log", "--output", "log", "--plays"]
    assert main([*again, "new.csv"]) == 1
    assert "has these very plays already (update-1)" in capsys.readouterr().err
    pq.write_table(table([("user-3", "item-5", 1)]), "more.parquet")
    assert main([*again, "more.parquet", "--params", "plain.yaml"]) == 0  # in place
    twice = load_bundle("log")
    assert twice.manifest.updated is not None and twice.manifest.updated["number"] == 2
    assert twice.manifest.updated["parent"] == load_bundle("table").digest
    card = (tmp_path / "log/MODEL_CARD.md").read_text()
    assert card.count("# Updated model") == 1 and "update 2 since the training" in card
    assert "What follows" not in card  # the bundle had no card
    (tmp_path / "dvc.yaml").write_text("stages: {export: {outs: [log]}}")
    assert main([*words, "log", "--plays", "new.csv"]) == 2
    assert "log: a stage of the pipeline writes this" in capsys.readouterr().err
    assert load_bundle("log").digest == twice.digest
    assert main([*words, "nothing", "--plays", "empty.csv"]) == 0
    assert contents(tmp_path / "nothing") == contents(project / "bundle")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/alias.txt").write_text("old item-5\n")  # of the pipeline's source
    more = "data: {source: source, aliases: alias.txt, keep: 'count > 1'}\n"
    (tmp_path / "more.yaml").write_text(more)
    pq.write_table(table([("user-3", "old", 1)]), "few.parquet")
    assert main([*words, "kept", "--plays", "few.parquet", "--params", "more.yaml"]) == 0
    assert contents(tmp_path / "kept") == contents(project / "bundle")  # nothing is left
    assert main([*words, "bad", "--plays", "nowhere.csv"]) == 1
    assert not (tmp_path / "bad").exists()


def test_groups_names_and_times_go_on(tmp_path):
    root = make_project(tmp_path, days=True)
    groups = "".join(f"item-{i},artist {i % 3},Song {i}\n" for i in range(N_ITEMS - len(HARD_IDS)))
    (tmp_path / "groups.csv").write_text(f"track_id,group,name\n{groups}")
    export(root, tmp_path / "named", tmp_path / "groups.csv")
    old = load_bundle(tmp_path / "named")
    assert (old.name("item-5"), old.name(HARD_IDS[0])) == ("Song 5", None)
    near = old.similar_tracks("item-5", 1)[0]
    assert near.name == old.name(near.id)
    day = 86400
    rows = [(*row, 200 * day + i) for i, row in enumerate(NEW)]
    with pytest.raises(MusicRecError, match=r"have times and the new ones have none"):
        update(old, table(), tmp_path / "new")
    update(old, table(rows), tmp_path / "new")
    new = load_bundle(tmp_path / "new")
    assert (new.name("item-5"), new.name("another track")) == ("Song 5", None)
    assert (new.group_of("item-5"), new.group_of("another track")) == ("artist 2", None)
    (tmp_path / "more.csv").write_text(f"track_id,group,name\n{groups}another track,artist 1,New\n")
    update(old, table(rows), tmp_path / "more", groups=str(tmp_path / "more.csv"))
    more = load_bundle(tmp_path / "more")
    assert (more.name("another track"), more.group_of("another track")) == ("New", "artist 1")
    answer = new.recommend("user-3", N_ITEMS, exclude_seen=False)
    found = {one.track_id: one.last_played for one in answer}
    times = {track: (3 + [*old.tracks].index(track)) % 100 * day for track in plays_of(root, 3)}
    times |= {"item-5": 200 * day, "another track": 200 * day + 1}
    assert {track: time for track, time in found.items() if time is not None} == times
