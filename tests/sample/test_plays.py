"""The embedded sample has the Taste Profile's shape, holds tastes, and is the same every time."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from musicrec.params import SampleParams
from musicrec.sample import plays as sample
from musicrec.sample.draws import MONTH, MONTHS, draw_times

DEFAULT = SampleParams()
PAIR = ["user_id", "track_id"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "default"
    sample.write_sample(DEFAULT, path)
    return path


@pytest.fixture(scope="module")
def rows(folder):
    return {name: pq.read_table(folder / f"{name}.parquet") for name in sample.SPLITS}


@pytest.fixture(scope="module")
def splits(rows):
    """One row a user and track: `user_id`, `track_id`, `count`."""
    sums = {
        name: table.group_by(PAIR).aggregate([("count", "sum")]) for name, table in rows.items()
    }
    return {name: table.rename_columns([*PAIR, "count"]) for name, table in sums.items()}


@pytest.fixture(scope="module")
def plays(splits):
    return pa.concat_tables(splits.values())


def values(table, column):
    return set(table[column].to_pylist())


def test_sizes_of_the_default_and_of_the_seed():
    assert sample.sample_sizes(0.01) == sample.SampleSizes(10_000, 550, 550, 12_175)
    assert sample.sample_sizes(1.0) == sample.SampleSizes(1_000_000, 10_000, 100_000, 385_000)


def test_files_columns_and_ids(folder, rows):
    assert sorted(f.name for f in folder.iterdir()) == sorted(f"{s}.parquet" for s in sample.SPLITS)
    for table in rows.values():
        assert table.schema.names == ["user_id", "count", "track_id", "played_at"]
        types = ["string", "int64", "string", "timestamp[ms, tz=UTC]"]
        assert [str(t) for t in table.schema.types] == types
        assert all(re.fullmatch("[0-9a-f]{40}", user) for user in values(table, "user_id"))
        assert all(re.fullmatch("TR[A-Z0-9]{16}", track) for track in values(table, "track_id"))


def test_half_a_million_pairs_each_in_one_split_spread_over_months(plays, rows):
    assert 450_000 < plays.num_rows < 550_000
    assert plays.group_by(PAIR).aggregate([]).num_rows == plays.num_rows
    rows = pa.concat_tables(rows.values())
    assert rows.group_by([*PAIR, "played_at"]).aggregate([]).num_rows == rows.num_rows
    assert plays.num_rows < rows.num_rows < 2 * plays.num_rows
    assert pc.sum(rows["count"]) == pc.sum(plays["count"])


def test_tastes_and_popularity_change():
    """Months that are close are more alike, by track and by a user's scenes, than months apart."""
    sizes = sample.SampleSizes(2_000, 0, 0, 3_000)
    layout = sample.catalogue(sizes.tracks, 1)
    (drawn,) = sample.generate_plays(1, sizes)
    users = drawn.user.astype(np.int64)
    pair, count, day = draw_times(np.uint64(1), users, drawn.track, drawn.count, layout)
    np.testing.assert_array_equal(np.bincount(pair, count), drawn.count)
    month = day // MONTH
    assert (month >= layout.releases[drawn.track[pair]]).all()
    assert set(month) == set(range(MONTHS))
    scene = np.searchsorted(layout.scenes, drawn.track, "right") - 1
    for cell in (drawn.track, users * len(layout.scenes) + scene):
        months = [
            np.bincount(cell[pair[month == m]], minlength=cell.max() + 1) for m in (0, 10, 11)
        ]
        first, _, last = np.corrcoef(months)[:, 1]
        assert last > 1.2 * first


def test_every_second_play_of_the_held_out_users_is_held_out(splits):
    sizes = sample.sample_sizes(DEFAULT.scale)
    train, validation, test = (values(splits[name], "user_id") for name in sample.SPLITS)
    assert (len(validation), len(test)) == (sizes.validation, sizes.test)
    assert len(train) == sizes.users
    assert not validation & test
    assert validation | test < train
    for name in ("validation", "test"):
        held_out = splits[name].group_by("user_id").aggregate([("count", "count")])
        rows = splits["train"].join(held_out, "user_id", join_type="inner")
        kept = rows.group_by("user_id").aggregate([("track_id", "count"), ("count_count", "max")])
        difference = pc.subtract(kept["track_id_count"], kept["count_count_max"])
        assert set(difference.to_pylist()) <= {0, 1}


def test_count_distribution_is_the_taste_profiles():
    shares = sample.count_distribution()
    counts = np.arange(1, len(shares) + 1)
    mean = shares @ counts
    below = np.cumsum(shares)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert counts[-1] == 9_667
    assert mean == pytest.approx(2.88, abs=0.001)
    assert np.sqrt(shares @ counts**2 - mean**2) == pytest.approx(6.46, abs=0.001)
    assert shares[0] == pytest.approx(0.59)
    assert np.searchsorted(below, [0.5, 0.75]).tolist() == [0, 2]  # median 1, third quartile 3
    assert 500 < counts[np.searchsorted(below, 1 - 1 / 50e6)] <= 9_667  # largest of 50 M plays


def test_histories_and_popularity_have_long_tails(plays):
    for column, mean, low in (("user_id", 45, 10), ("track_id", 41, 1)):
        group = plays.group_by(column).aggregate([("count", "count")])
        lengths = np.sort(group["count_count"].to_numpy())[::-1]
        assert lengths.mean() == pytest.approx(mean, rel=0.05)
        assert lengths[-1] >= low
        assert np.median(lengths) < 0.75 * mean
        assert lengths[0] > 10 * mean
        assert lengths[: len(lengths) // 100].sum() > 0.07 * plays.num_rows


def test_a_user_does_not_depend_on_the_chunk(monkeypatch):
    sizes = sample.SampleSizes(80, 10, 10, 1_000)
    found = []
    for chunk_users in (7, 100):
        monkeypatch.setattr(sample, "CHUNK_USERS", chunk_users)
        chunks = list(sample.generate_plays(42, sizes))
        users = [chunk.first_user + chunk.user for chunk in chunks]
        others = [[getattr(c, name) for c in chunks] for name in ("track", "count", "split")]
        found.append([np.concatenate(arrays) for arrays in (users, *others)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_lies_beside_the_sample_stays(tmp_path):
    small = SampleParams(scale=0.001)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.csv").write_text("a,b,1\n")
    before = {"user_id": ["0" * 40], "count": [1], "track_id": ["t"]}  # as version 0.2 wrote it
    pq.write_table(
        pa.table(before, schema=sample.SCHEMA.remove(3)), tmp_path / "out" / "train.parquet"
    )
    for seed in (1, 2):  # the sample itself is overwritten
        sample.write_sample(small.replace(seed=seed), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["mine.csv", "test.parquet", "train.parquet", "validation.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["text", "ids", "pandas"])
def test_a_file_of_the_user_is_not_overwritten(tmp_path, kind):
    path = tmp_path / "train.parquet"
    mine = {"user_id": ["me"], "count": [1], "track_id": ["t"]}
    if kind == "text":
        path.write_text("user,track\n")
    elif kind == "ids":
        pq.write_table(pa.table(mine, schema=sample.SCHEMA.remove(3)), path)
    else:
        mine["user_id"] = ["0" * 40]
        schema = sample.SCHEMA.remove(3).with_metadata({"pandas": "{}"})
        pq.write_table(pa.table(mine, schema=schema), path)
    before = path.read_bytes()
    with pytest.raises(MusicRecError, match=r"train\.parquet: this file was not written by the sa"):
        sample.write_sample(SampleParams(scale=0.001), tmp_path)
    assert path.read_bytes() == before
