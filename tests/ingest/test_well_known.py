"""The commands of docs/data.md for well-known sources, typed on small files of their form."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.many_sources import read_many
from tests.support.plays import HOLDOUT, data_params, small_jobs, write

ROOT = Path(__file__).resolve().parents[2]
PLAYS = [(f"{1000 + i % 5}", f"{i}", 1 + i % 4) for i in range(30)]
IDS = {user: f"{int(user):040x}" for user, _, _ in PLAYS}


def lines(form) -> str:
    return "".join(form(*play) + "\n" for play in PLAYS)


def taste_profile(folder: Path) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train_triplets.txt", lines(lambda u, t, c: f"{u}\tSO{t}\t{c}"))
    return write(folder / "train_triplets.txt.zip", packed.getvalue())


def spotify(folder: Path) -> Path:
    for user in IDS:
        plays = [
            {"ts": f"2020-01-{i + 1:02d}T10:00:00Z", "spotify_track_uri": f"spotify:track:{track}"}
            for i, (other, track, _) in enumerate(PLAYS)
            if other == user
        ]
        plays.append({"ts": "2020-02-01T10:00:00Z", "spotify_track_uri": None})
        path = folder / f"plays/user={user}/Streaming_History_Audio_2020_0.json"
        write(path, json.dumps(plays, indent=2))
    return folder / "plays"


def listen(user: str, track: str, count: int) -> str:
    metadata = {"artist_name": "A", "track_name": f'Song "{track}"', "additional_info": {"n": [1]}}
    return json.dumps({"user_name": user, "listened_at": 1.6e9, "track_metadata": metadata})


# source of the table -> (its files, name of a track)
FILES = {
    "Taste Profile": (taste_profile, "SO{}"),
    "Last.fm 1K": (
        lambda u, t, c: f'{u}\t2009-05-04T23:08:57Z\t\t"Artist" {t}\t\tSong, "{t}',
        '"Artist" {}',
    ),
    "Last.fm 360K": (lambda u, t, c: f'{u}\t{"m" * (c % 2)}\t"the {t}\t{c}', '"the {}'),
    "Last.fm HetRec": (("userID\tartistID\tweight", lambda u, t, c: f"{u}\t{t}\t{c}\r"), "{}"),
    "ListenBrainz": (listen, 'Song "{}"'),
    "Audioscrobbler": (lambda u, t, c: f"{u} {t} {c}", "{}"),
    "Yoochoose": (lambda u, t, c: f"{u},2014-04-07T10:51:09.277Z,{t},0", "{}"),
    "MovieLens 20M": (
        ("userId,movieId,rating,timestamp", lambda u, t, c: f"{u},{t},{c}.5,1112486027"),
        "{}",
    ),
    "MovieLens 1M": (lambda u, t, c: f"{u}::{t}::{c}::978300760", "{}"),
    "LightGCN": (lambda u, t, c: f"{u} {t}", "{}"),
    "Spotify": (spotify, "spotify:track:{}"),
}


def documented() -> dict[str, tuple[str, dict]]:
    """Source -> file name and parameters, from the table."""
    table = (ROOT / "docs" / "data.md").read_text().split("## Well-known sources")[1]
    found = {}
    for row in re.findall(r"^\| (.+) \| (.+) \| `(-S .+)` \|$", table, re.M):
        kwargs: dict = {}
        for key, value in re.findall(r"-S data\.(\S+?)=(\S+)", row[2]):
            here, parts = kwargs, key.split(".")
            for part in parts[:-1]:
                here = here.setdefault(part, {})
            here[parts[-1]] = yaml.safe_load(value)
        found[row[0]] = (re.search("`(.+?)`", row[1])[1], kwargs)
    return found


@pytest.fixture(scope="module")
def found(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    sources = {}
    for name, (file, kwargs) in documented().items():
        (key,) = [key for key in FILES if name.startswith(key)]
        make = FILES[key][0]
        here = folder / key
        if isinstance(make, tuple):
            path = write(here / file, make[0] + "\n" + lines(make[1]))
        elif make in (spotify, taste_profile):
            path = make(here)
        else:
            path = write(here / file, lines(make))
        sources[key] = data_params(path, **(HOLDOUT | kwargs))
    with small_jobs(spark):
        return read_many(spark, sources, folder / "scratch")


@pytest.mark.parametrize("name", FILES)
def test_the_documented_command_reads_it(found, name):
    here = found[name]
    assert here.sentence == ""
    assert here.bad == ({"track_missing": 5} if name == "Spotify" else {})
    counted = name in ("Taste Profile", "Last.fm 360K", "Last.fm HetRec", "Audioscrobbler")
    expected = [(u, FILES[name][1].format(t), c if counted else 1) for u, t, c in PLAYS]
    assert here.plays == sorted(expected)
