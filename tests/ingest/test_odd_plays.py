"""Small inputs of situations that people report, kept beside the project: the right values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from musicrec.errors import MusicRecError
from tests.support.many_sources import Found, read_many
from tests.support.plays import HOLDOUT, data_params, run, together


def columns(user, track, count=None, timestamp=None) -> dict:
    return {"columns": {"user": user, "track": track, "count": count, "timestamp": timestamp}}


LOG = columns("user_id", "track_id")
PLAIN, EVENTS, LISTENS = (120, 20, 12, 317), (120, 20, 12, 120), (1200, 40, 24, 1200)
# file: (further parameters; rows, users, tracks, sum of counts)
RIGHT: dict[str, tuple[dict, tuple[int, int, int, int]]] = {
    "01-lone-quotes.tsv": ({}, PLAIN),
    "02-title-with-and-without-quotes.tsv": ({"columns": {"track": "title"}, "quote": "none"},
        PLAIN ),
    "04-header-repeated.csv": (LOG, EVENTS),
    "06a-u2028-in-first-line.tsv": (columns(0, 1, 3), PLAIN),
    "07a-latin1-early.tsv": ({}, PLAIN),
    "07b-latin1-late.tsv": ({}, PLAIN),
    "08-double-colon.dat": (columns(0, 1, 2, 3), PLAIN),
    "09-sep-line.csv": ({}, PLAIN),
    "10-r-row-names.txt": (columns(1, 2, 3) | {"header": True}, PLAIN),
    "11-trailing-separator.csv": ({}, PLAIN),
    "13b-listens-flat.jsonl": (columns("user", "track"), EVENTS),
    "14a-plays.tsv.xz": ({}, PLAIN),
    "14d-plays.tsv.gzip": ({}, PLAIN),
    "14f-plays.tsv.zip": ({}, PLAIN),
    "14g-plays.tsv.zst": ({}, PLAIN),
    "15-scrobble-export.csv": (columns("user", "track", None, "utc_time"), EVENTS),
    "16-seconds-and-milliseconds.csv": (columns("user_id", "track_id", None, "time"), EVENTS),
    "21-words-for-null.tsv": ({"null_words": "usual", "on_bad_rows": "drop"}, (77, 20, 12, 197) ),
    "22-four-columns-blank-ids.tsv": (columns(0, 2, 3), PLAIN),
    "23b-nanoseconds-unmapped.parquet": ({}, PLAIN),
    "25-binary-ids.parquet": ({}, PLAIN),
    "26-names-differ-in-case.parquet": ({}, PLAIN),
    "44-nine-tracks.csv": ({}, (100, 20, 9, 258)),
    "46-three-users.csv": ({}, (7, 3, 3, 13)),
    "48-ids-for-serving.csv": ({}, PLAIN),
    "60-duplicate-listens.csv": (columns("user", "track", None, "ts"), (1800, 40, 24, 1800)),
    "61-artist-and-title.tsv": (columns("user", ["artist", "title"]), LISTENS),
    "62-ms-played.csv": (columns("user", "track") | {"keep": "ms_played >= 30000"}, (800, 40, 24,
        800) ),
    "63-likes-beside-listens": (columns("uid", "item_id", None,
        "timestamp") | {"files": "listens.parquet"}, LISTENS ),
    "64-audioscrobbler-folder": (columns(0, 1, 2) | {"files": "user_artist_data.txt"}, (342, 40,
        24, 1200) ),
    "65-listening-events-repeats.tsv": (columns("user_id", "track_id", None, "timestamp"), LISTENS),
    "66-spotify-with-pdf": (columns("user", "spotify_track_uri", None, "ts"), (372, 12, 23, 372) ),
    "67-listenbrainz-dump": (columns("user_id", "recording_msid", None,
        "timestamp") | {"files": "*.listens"}, LISTENS ),
}  # fmt: skip
REFUSED = {
    "12-user-then-items.txt": (columns(0, 1), "if a line holds a user and the user's tracks"),
    "14e-plays.tar.gz": ({}, "this is a tar archive; unpack it"),
    "28-delta": ({}, "Delta, Hudi, Iceberg or Lance table"),
}


@pytest.fixture(scope="module")
def odd(shared_data) -> Path:
    folder = shared_data / "odd-plays"
    if not folder.is_dir():
        pytest.skip(f"needs the inputs of {folder}, which are not here")
    return folder


@pytest.fixture(scope="module")
def found(odd, tmp_path_factory) -> dict[str, Found]:
    cases = {name: case[0] for name, case in RIGHT.items()}
    cases |= {name: kwargs | {"on_bad_rows": "drop"} for name, (kwargs, _) in REFUSED.items()}
    return read_many({
        name: data_params(odd / name, **(HOLDOUT | kwargs)) for name, kwargs in cases.items()
    })  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_values(found, name):
    here = found[name]
    assert here.sentence == ""
    numbers = (len(here.plays), len(here.users), len(here.tracks), here.total)
    assert numbers == RIGHT[name][1]
    assert here.bad == {"21": {"track_missing": 43}, "66": {"track_missing": 12}}.get(name[:2], {})
    assert not {"user_id", "track_id", "user", "track"} & (here.users | here.tracks)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_what_it_is_whatever_bad_rows_are(found, name):
    assert REFUSED[name][1] in found[name].sentence
    assert f"{name}: " in found[name].sentence


def test_lastfm(shared_data, tmp_path):
    source = shared_data / "lastfm-hetrec" / "user_artists.dat"
    summary, out = run(source, tmp_path, **HOLDOUT, **columns("userID", "artistID", "weight"))
    plain = np.loadtxt(source, dtype=np.int64, skiprows=1)
    assert sorted(together(out)) == sorted((str(u), str(t), int(c)) for u, t, c in plain)
    assert summary["source"]["rows"] == len(plain) == 92_834


def test_times(found):
    scrobbles = found["15-scrobble-export.csv"].times
    assert scrobbles.count(0) == 12 and None not in scrobbles
    mixed = found["16-seconds-and-milliseconds.csv"].times
    assert min(mixed) >= 1.6e9 and max(mixed) < 1.7e9


def test_quotes_are_text(found):
    assert {'"Harbour"', "Harbour"} <= found["02-title-with-and-without-quotes.tsv"].tracks


def test_ids_stay_as_they_are(found):
    assert {"-7", "--help", "YWJj==", "0012", "12", "é"} <= found["48-ids-for-serving.csv"].tracks


def test_warnings(odd, tmp_path, capfd):
    run(odd / "21-words-for-null.tsv", tmp_path, **HOLDOUT)
    assert "words such as NULL, None or nan in 43 of 120 rows" in capfd.readouterr().err


def test_ids_that_became_floats_in_one_split(odd, tmp_path):
    with pytest.raises(MusicRecError, match=r"such as '(\d+)\.0' in train and '\1' in validation"):
        run(odd / "18-float-ids", tmp_path)
