"""Dense ids: StringIndexer's order, held-out plays complete, bytes the same on any cores."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.index import index_metrics, index_splits, split_rows
from musicrec.interactions.id_columns import read_sizes
from musicrec.storage.files import CHECKSUMS, read_json, write_checksums
from musicrec.storage.parquet import read_table
from tests.support.plays import contents

NAMES = ("train", "validation", "test")


def draw_rows():
    """Draw plays with ties in frequency, ids in no order, unknown tracks and an unknown user."""
    rng = np.random.default_rng(7)
    pairs = {(f"u{rng.integers(40)}", f"t{rng.zipf(1.4) % 60}") for _ in range(600)}
    train = [(user, track, int(rng.integers(1, 9))) for user, track in sorted(pairs)]
    known = sorted({user for user, _, _ in train})
    validation = [(user, f"t{rng.integers(30)}", 1) for user in known[:5]]
    validation += [(known[0], "new b", 2), (known[1], "new a", 3), ("stranger", "t1", 4)]
    test = [(user, "new c", 5) for user in known[5:9]] + [(known[5], "new a", 1)]
    return {"train": train, "validation": validation, "test": test}


ROWS = draw_rows()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The splits as files."""
    return written(tmp_path_factory.mktemp("ingested"), ROWS)


def written(folder, rows_of):
    for name, rows in rows_of.items():
        columns = dict(zip(("user_id", "track_id", "count"), zip(*rows, strict=True), strict=True))
        (folder / name).mkdir()
        pq.write_table(pa.table(columns), folder / name / "part-00000.parquet")
        write_checksums(folder / name)
    return {name: folder / name for name in rows_of}


@pytest.fixture(scope="module")
def indexed(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    summary = index_splits(inputs, folder)
    return folder, summary


def expected_order(column):
    """Ids by falling number of training rows, ties by id; unknown ones last."""
    plays = Counter(row[column] for row in ROWS["train"])
    every = {row[column] for rows in ROWS.values() for row in rows}
    return [(name, plays[name]) for name in sorted(every, key=lambda name: (-plays[name], name))]


@pytest.mark.parametrize(
    ("file", "names", "column"),
    [("users", ["user", "user_id", "plays"], 0), ("items", ["item", "track_id", "plays"], 1)],
)
def test_id_maps_are_by_falling_frequency_then_id(indexed, file, names, column):
    table = pq.read_table(indexed[0] / f"{file}.parquet")
    assert table.schema.names == names
    assert [str(kind) for kind in table.schema.types] == ["int32", "string", "int64"]
    expected = [(i, name, plays) for i, (name, plays) in enumerate(expected_order(column))]
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_play_is_kept_and_sorted(indexed, name):
    folder, _ = indexed
    users = [user for user, _ in expected_order(0)]
    items = [item for item, _ in expected_order(1)]
    table = read_table(folder / name)
    assert [str(kind) for kind in table.schema.types] == ["int32", "int32", "int64"]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert sorted((users[u], items[i], count) for u, i, count in rows) == sorted(ROWS[name])
    for part in sorted((folder / name).glob("*.parquet")):
        keys = [(row["user"], row["item"]) for row in pq.read_table(part).to_pylist()]
        assert keys == sorted(keys)


def test_summary_counts_what_training_does_not_know(indexed):
    folder, summary = indexed
    n_users, n_items = summary["n_users"], summary["n_items"]
    assert read_json(folder / "sizes.json").items() <= summary.items()
    plays = len(ROWS["train"])
    assert summary["train"] == {"plays": plays, "density": plays / (n_users * n_items)}
    known = [{row[column] for row in ROWS["train"]} for column in (0, 1)]
    for name in ("validation", "test"):
        rows = ROWS[name]
        users, tracks = {row[0] for row in rows}, {row[1] for row in rows}
        assert summary[name] == {
            "plays": len(rows),
            "users": len(users),
            "tracks": len(tracks),
            "unknown_users": len(users - known[0]),
            "unknown_tracks": len(tracks - known[1]),
            "plays_of_unknown_users": sum(row[0] not in known[0] for row in rows),
            "plays_of_unknown_tracks": sum(row[1] not in known[1] for row in rows),
        }
    assert summary["validation"]["unknown_users"] == 1
    assert summary["test"]["plays_of_unknown_tracks"] == 5
    assert index_metrics(summary)["unknown_validation_users"] == 1
    assert index_metrics(summary)["tracks"] == n_items
    assert split_rows(summary)[0] == {"split": "validation"} | summary["validation"]


def test_the_bytes_are_the_same_part_by_part(indexed, tmp_path, monkeypatch):
    """From rows in another order."""
    monkeypatch.setattr("musicrec.index.fits_in_memory", lambda rows: False)
    (tmp_path / "ingested").mkdir()
    (tmp_path / "indexed").mkdir()
    inputs = written(tmp_path / "ingested", {name: rows[::-1] for name, rows in ROWS.items()})
    summary = index_splits(inputs, tmp_path / "indexed")
    folder = indexed[0]
    assert summary == indexed[1]
    assert contents(tmp_path / "indexed") == contents(folder)
    inside = {name.split("/")[0] for name in contents(folder)}
    assert inside == {*NAMES, "users.parquet", "items.parquet", "sizes.json", CHECKSUMS}


@pytest.mark.parametrize("threads", ["1", "5"])
def test_threads_do_not_change_the_bytes(inputs, indexed, tmp_path, monkeypatch, threads):
    monkeypatch.setenv("MUSICREC_THREADS", threads)
    index_splits(inputs, tmp_path)
    assert contents(tmp_path) == contents(indexed[0])


def test_plays_to_fold_in_are_indexed_like_the_rest(inputs, tmp_path):
    """A user whom training does not know, with a known track and one that nobody else has."""
    history = [("stranger", "t2", 3), ("stranger", "new d", 1)]
    (tmp_path / "more").mkdir()
    more = written(tmp_path / "more", {"validation_history": history})
    tmp_path = tmp_path / "indexed"
    tmp_path.mkdir()
    index_splits(inputs | more, tmp_path)
    sizes = read_sizes(tmp_path / "sizes.json")
    plays = read_table(tmp_path / "validation_history").to_pylist()
    users = read_table(tmp_path / "users.parquet")["user_id"].to_pylist()
    items = read_table(tmp_path / "items.parquet")["track_id"].to_pylist()
    found = {(users[row["user"]], items[row["item"]], row["count"]) for row in plays}
    assert found == set(history)
    assert {row["user"] >= sizes.n_users for row in plays} == {True}
    assert sorted(row["item"] >= sizes.n_items for row in plays) == [False, True]
