"""Downsampling drops full-history users alone, by hash, the same ones every time."""

import hashlib
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.downsample import downsample
from musicrec.errors import MusicRecError
from musicrec.params import DownsampleParams
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import LAST_PLAYED, PLAYS, plays_schema, read_table, write_rows

N_FULL, N_VALIDATION, N_TEST = 2_000, 30, 20


def plays_of(kind, n_users):
    """User i of a kind has 1 + i % 4 plays."""
    return [(f"{kind}{i}", f"t{j}", 1 + j) for i in range(n_users) for j in range(1 + i % 4)]


ROWS = plays_of("full", N_FULL) + plays_of("validation", N_VALIDATION) + plays_of("test", N_TEST)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    validation = [(f"validation{i}", f"h{j}", 2) for i in range(N_VALIDATION) for j in range(3)]
    test = [(f"test{i}", f"h{j}", 2) for i in range(N_TEST) for j in range(3)]
    cold = [("validation without train", "h0", 1)]
    folder = tmp_path_factory.mktemp("ingested")
    return {
        "train": written(folder / "train", ROWS),
        "validation": written(folder / "validation", validation + cold),
        "test": written(folder / "test", test),
    }


def written(folder, rows, part_of=hash):
    """A split as ingest leaves it: all plays of a user in one part, sorted."""
    folder.mkdir()
    for number in range(3):
        part = sorted(row for row in rows if part_of(row[0]) % 3 == number)
        table = pa.table(list(zip(*part, strict=True)) or [[], [], []], PLAYS)
        write_rows(folder / f"part-0000{number}.parquet", [table], PLAYS)
    write_checksums(folder)
    return folder


def run(splits, fraction, seed=42):
    held_out = {name: splits[name] for name in ("validation", "test")}
    with tempfile.TemporaryDirectory() as name:
        params = DownsampleParams(fraction=fraction, seed=seed)
        summary = downsample(splits["train"], held_out, Path(name), params)
        table = read_table(name)
    assert table.schema == PLAYS
    return sorted(tuple(row.values()) for row in table.to_pylist()), summary


def users(rows):
    return {row[0] for row in rows}


def test_summary_counts_users_and_plays_of_each_kind(splits):
    rows, summary = run(splits, 0.3)
    dropped = [row for row in ROWS if row[0] not in users(rows)]

    def count(found):
        return {"users": len(users(found)), "plays": len(found)}

    kinds = {
        "full_history": count([row for row in rows if row[0].startswith("full")]),
        "validation": count([row for row in rows if row[0].startswith("validation")]),
        "test": count([row for row in rows if row[0].startswith("test")]),
    }
    expected = [{"kind": kind, "fate": "kept"} | counts for kind, counts in kinds.items()]
    assert summary == [*expected, {"kind": "full_history", "fate": "dropped"} | count(dropped)]


def test_how_the_users_lie_in_parts_changes_nothing(splits, tmp_path):
    moved = written(tmp_path / "train", ROWS, part_of=len)
    assert run(splits | {"train": moved}, 0.2) == run(splits, 0.2)


@pytest.mark.parametrize(("fraction", "seed"), [(0.1, 42), (0.2, 42), (0.2, 43), (1.0, 42)])
def test_users_are_those_of_the_hash(splits, fraction, seed):
    """The rule written down once more, with the library's own MD5: more of them by more."""

    def draw(user):
        digest = hashlib.md5(f"{seed}\0downsample\0{user}".encode()).hexdigest()
        return int(digest[:13], 16) / 2**52

    expected = {user for i in range(N_FULL) if draw(user := f"full{i}") < fraction}
    found = users(run(splits, fraction, seed)[0])
    assert {user for user in found if user.startswith("full")} == expected


def test_the_time_last_played_stays(splits, tmp_path):
    times = pa.array(range(len(ROWS)))
    table = pa.table(list(zip(*sorted(ROWS), strict=True)), PLAYS).append_column(LAST_PLAYED, times)
    (tmp_path / "train").mkdir()
    write_rows(tmp_path / "train/part-00000.parquet", [table], table.schema)
    write_checksums(tmp_path / "train")
    held_out = {name: splits[name] for name in ("validation", "test")}
    (tmp_path / "out").mkdir()
    downsample(tmp_path / "train", held_out, tmp_path / "out", DownsampleParams(fraction=0.5))
    kept = read_table(tmp_path / "out")
    assert kept.schema == plays_schema(timed=True)
    assert set(map(str, kept.to_pylist())) < set(map(str, table.to_pylist()))


def test_row_groups_change_nothing(splits, monkeypatch):
    """A user may lie across two row groups, and a group may lose all its rows."""
    expected = run(splits, 0.05)
    monkeypatch.setattr("musicrec.downsample.ROW_GROUP", 7)
    assert run(splits, 0.05) == expected


def test_rows_stay_in_order_and_parts_in_place(splits, tmp_path):
    held_out = {name: splits[name] for name in ("validation", "test")}
    downsample(splits["train"], held_out, tmp_path, DownsampleParams(fraction=0.5))
    for part in tmp_path.glob("*.parquet"):
        kept = pq.read_table(part).to_pylist()
        whole = pq.read_table(splits["train"] / part.name).to_pylist()
        names = {row["user_id"] for row in kept}
        assert kept == [row for row in whole if row["user_id"] in names]


def test_nothing_left_is_one_sentence(tmp_path):
    full = written(tmp_path / "full", [(f"u{i}", "t", 1) for i in range(20)])
    nobody = written(tmp_path / "nobody", [])
    with pytest.raises(MusicRecError, match=r"downsample\.fraction = 1e-06 leaves no .* 20 full"):
        run({"train": full, "validation": nobody, "test": nobody}, 1e-6)
