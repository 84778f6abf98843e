"""The commands of docs/data.md for well-known sources, typed on small files of their form."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from tests.support.many_sources import read_many
from tests.support.plays import HOLDOUT, data_params, write, write_parquet

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
        form = {"ts": "2020-02-01T10:00:00Z", "ms_played": 30_000, "spotify_track_uri": None}
        plays = [
            form
            | {"ts": f"2020-01-{i + 1:02d}T10:00:00Z", "spotify_track_uri": f"spotify:track:{t}"}
            for i, (u, t, _) in enumerate(PLAYS)
            if u == user
        ]
        plays += [form, plays[0] | {"ms_played": 29_999}]  # a podcast, and a play cut short
        path = folder / f"plays/user={user}/Streaming_History_Audio_2020_0.json"
        write(path.with_name("Read Me First.pdf"), b"%PDF")
        write(path.with_name("Streaming_History_Video_2020.json"), "[]")
        write(path, json.dumps(plays, indent=2))
    return folder / "plays"


def dump(folder: Path) -> Path:
    """ListenBrainz's public dump: JSON lines below years, and companions."""
    listens = [
        {
            "user_id": int(u),
            "timestamp": 1_600_000_000 + int(t),
            "track_metadata": {"artist_name": "A", "track_name": "Intro", "additional_info": {}},
            "recording_msid": f"song {t}",
        }
        for u, t, _ in PLAYS
    ]
    for name, mine in (("2020/1", listens[:20]), ("2021/2", listens[20:])):
        write(folder / f"listens/{name}.listens", "\n".join(map(json.dumps, mine)) + "\n")
    write(folder / "END_TIMESTAMP", "2021-01-01 00:00:00\n")
    return folder


def spark_dump(folder: Path) -> Path:
    """ListenBrainz's Spark dump: the id of MusicBrainz is null in places."""
    for half in range(2):
        users, tracks, _ = zip(*PLAYS[half::2], strict=True)
        write_parquet(
            folder / f"{half}.parquet",
            listened_at=pa.array([1_600_000_000] * len(users), pa.timestamp("s")),
            user_id=pa.array(map(int, users), pa.int64()),
            recording_msid=[f"song {track}" for track in tracks],
            recording_mbid=[None if int(track) % 3 else f"song {track}" for track in tracks],
        )
    write(folder / "SCHEMA_SEQUENCE", "9\n")
    return folder


def audioscrobbler(folder: Path) -> Path:
    write(folder / "user_artist_data.txt", lines(lambda u, t, c: f"{u} {int(t) + 500} {c}"))
    write(folder / "artist_data.txt", lines(lambda u, t, c: f"{t}\tThe {t}"))
    write(folder / "artist_alias.txt", lines(lambda u, t, c: f"{int(t) + 500}\t{t}") + "\t7\n")
    return folder


def yambda(folder: Path) -> Path:
    users, tracks, _ = zip(*PLAYS, *[(u, "skipped", 1) for u, *_ in PLAYS], strict=True)
    return write_parquet(
        folder / "listens.parquet",
        uid=pa.array(map(int, users), pa.uint32()),
        item_id=tracks,
        timestamp=pa.array(range(len(users)), pa.uint32()),
        is_organic=pa.array([0] * len(users), pa.uint8()),
        played_ratio_pct=pa.array([100] * len(PLAYS) + [20] * len(PLAYS), pa.uint16()),
    )


# source of the table -> (its files, name of a track)
FILES = {
    "Taste Profile": (taste_profile, "SO{}"),
    "Last.fm 1K": (
        lambda u, t, c: f'{u}\t2009-05-04T23:08:57Z\t\t"Artist"\t\tSong, "{t}',
        '"Artist" / Song, "{}',
    ),
    "Last.fm 360K": (lambda u, t, c: f'{u}\t{"m" * (c % 2)}\t"the {t}\t{c}', '"the {}'),
    "Last.fm HetRec": (("userID\tartistID\tweight", lambda u, t, c: f"{u}\t{t}\t{c}\r"), "{}"),
    "ListenBrainz, public": (dump, "song {}"),
    "ListenBrainz, Spark": (spark_dump, "song {}"),
    "Audioscrobbler": (audioscrobbler, "{}"),
    "Yambda": (yambda, "{}"),
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
        for key, value in re.findall(r"-S '?data\.([\w.]+)=(\"[^\"]*\"|\S+)", row[2]):
            here, parts = kwargs, key.split(".")
            for part in parts[:-1]:
                here = here.setdefault(part, {})
            here[parts[-1]] = value if value[0] == "*" else yaml.safe_load(value)
        found[row[0]] = (row[1].strip("`"), kwargs)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    sources = {}
    for name, (file, kwargs) in documented().items():
        (key,) = [key for key in FILES if name.startswith(key)]
        make = FILES[key][0]
        here = folder / key
        if isinstance(make, tuple):
            path = write(here / file, make[0] + "\n" + lines(make[1]))
        elif make in (spotify, taste_profile, dump, spark_dump, audioscrobbler, yambda):
            path = make(here)
        else:
            path = write(here / file, lines(make))
        sources[key] = data_params(path, **(HOLDOUT | kwargs))
    return read_many(sources)


@pytest.mark.parametrize("name", FILES)
def test_the_documented_command_reads_it(found, name):
    here = found[name]
    assert here.sentence == ""
    assert here.bad == ({"track_missing": 5} if name == "Spotify" else {})
    counted = name in ("Taste Profile", "Last.fm 360K", "Last.fm HetRec", "Audioscrobbler")
    expected = [(u, FILES[name][1].format(t), c if counted else 1) for u, t, c in PLAYS]
    assert here.plays == sorted(expected)
