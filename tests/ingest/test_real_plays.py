"""Last.fm and the original project's own Taste Profile files through ingest."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from musicrec.errors import MusicRecError
from tests.support.plays import SPLITS, rows, run, together, write_parquet


def test_lastfm(tmp_path, shared_data):
    source = shared_data / "lastfm-hetrec" / "user_artists.dat"
    columns = {"user": "userID", "track": "artistID", "count": "weight"}
    summary, out = run(source, tmp_path, protocol="holdout", columns=columns)
    plain = np.loadtxt(source, dtype=np.int64, skiprows=1)
    found = together(out)
    assert sorted(found) == sorted((str(u), str(t), int(c)) for u, t, c in plain)
    assert len(found) == summary["source"]["rows"] == 92_834
    assert len({row[0] for row in found}) == 1_892
    assert len({row[1] for row in found}) == 17_632
    assert max(row[2] for row in found) == 352_698
    for split in SPLITS:
        counts = np.array([row[2] for row in rows(out, split)])
        described = summary[split]["count"]
        assert described["mean"] == pytest.approx(counts.mean())
        assert described["sd"] == pytest.approx(counts.std(ddof=1))
        quartiles = [described[name] for name in ("min", "p25", "median", "p75", "max")]
        assert quartiles == np.percentile(counts, [0, 25, 50, 75, 100]).tolist()
        assert summary[split]["share_of_count_1"] == pytest.approx(np.mean(counts == 1))


def test_taste_profile_names(tmp_path, shared_data):
    """The original project's own file names, with a train file made up, as the sample has none."""
    source = tmp_path / "msd"
    source.mkdir()
    users, tracks = [], []
    for name in ("validation", "test"):
        path = shared_data / "msd-nyu" / f"cf_{name}_sample3pct.snappy.parquet"
        (source / path.name).symlink_to(path)
        table = pq.read_table(path)
        users += table["user_id"].to_pylist()
        tracks += table["track_id"].to_pylist()
    write_parquet(source / "cf_train.parquet", user_id=["u"], track_id=["t"], count=[1])
    with pytest.raises(MusicRecError, match=r"msd: train has 0 of the 3,225 users of validation"):
        run(source, tmp_path / "p")
    known = sorted(set(zip(users, tracks[1000:] + tracks[:1000], strict=True)))
    known = sorted(set(known) - set(zip(users, tracks, strict=True)))
    users, tracks = map(list, zip(*known, strict=True))
    write_parquet(
        source / "cf_train.parquet", user_id=users, track_id=tracks, count=[1] * len(known)
    )
    summary, _ = run(source, tmp_path)
    assert summary["validation"]["rows"] == 4_109
    assert summary["test"]["rows"] == 40_881
    assert summary["test"]["cold_users"] < 10
