"""The embedded default source: synthetic plays of the Taste Profile's shape.

Tracks lie in scenes, scenes in genres. A listener follows a few scenes of a few genres; each of
their plays is drawn from one of these scenes, from one of these genres, or from all tracks, in
each case by the tracks' long-tailed popularity. So popularity is a fair recommender, a few
factors that tell genres apart beat it, and more factors that tell scenes apart beat those.

The plays are of a year, in which tracks come out and fade and listeners turn to other scenes. A row
has the plays of a user and track in a month; no sum over a user and track follows from the times.

Every draw is an integer compared with a table of cumulative integer weights, and every user has
a stream of random numbers of their own (a hash of seed and user), so that the bytes follow from
the parameters alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.params import SampleParams
from musicrec.runtime import progress
from musicrec.sample.draws import (
    MONTHS,
    OLDEST_RELEASE,
    POPULARITY,
    RELEASES,
    TRACK_IDS,
    USER_IDS,
    draw_lengths,
    draw_plays,
    draw_times,
    fill_hashes,
)
from musicrec.storage.outputs import atomic_path
from musicrec.storage.parquet import WRITING

SPLITS = ("train", "validation", "test")
SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "count": pa.int64(),
        "track_id": pa.string(),
        "played_at": pa.timestamp("ms", "UTC"),  # not in version 0.2
    }
)
DAY, START = 86_400_000, 1_262_304_000_000  # a day, and 2010-01-01, in milliseconds
CHUNK_USERS = 20_000  # users generated, and held in memory, at a time: about 900 K plays

# The original project's data: 1 M users with full histories, 10 K validation and 100 K test users.
FULL_USERS, HELD_OUT_USERS, VALIDATION_USERS, TRACKS = 1_000_000, 110_000, 10_000, 385_000

# Counts: P(1), P(2), and for 3 and more a power law (c + shift)^-exponent cut at the largest count
# of the Taste Profile. Shift and exponent solve mean = 2.88 and standard deviation = 6.46.
MAX_COUNT, SHARE_OF_1, SHARE_OF_2 = 9_667, 0.59, 0.14
COUNT_SHIFT, COUNT_EXPONENT = 4.44577138, 3.41868602

# Tracks in a user's history: MIN_HISTORY and a log-normal number with this mean more.
MIN_HISTORY, MAX_HISTORY, HISTORY_MEAN, HISTORY_SIGMA = 10, 4_000, 36.0, 1.0

POPULARITY_SHIFT = 50  # popularity of the track of rank r is 1 / (r + shift): Zipf-Mandelbrot
GENRES = 20

_TOTAL = 1 << 40  # what cumulative weights add up to; a draw's resolution


class SampleSizes(NamedTuple):
    """Numbers of users of each kind, in this order of users, and of tracks."""

    full: int
    validation: int
    test: int
    tracks: int

    @property
    def users(self) -> int:
        """All users."""
        return self.full + self.validation + self.test


def sample_sizes(scale: float) -> SampleSizes:
    """Sizes at a share of the original project's data.

    The catalogue shrinks more slowly than the users, to keep lists of 500 tracks meaningful, and
    half of the held-out users validate while these are fewer than the original project's 10 K, so
    that small samples are judged on enough users.
    """
    full = max(50, round(FULL_USERS * scale))
    held_out = max(10, round(HELD_OUT_USERS * scale))
    validation = min(VALIDATION_USERS, held_out // 2)
    tracks = max(1_000, round(TRACKS * scale**0.75))
    return SampleSizes(full, validation, held_out - validation, tracks)


def count_distribution() -> np.ndarray:
    """Probability of the play counts 1, 2, … 9,667: float64 array (9667)."""
    counts = np.arange(1, MAX_COUNT + 1)
    shares = (counts + COUNT_SHIFT) ** -COUNT_EXPONENT
    shares *= (1 - SHARE_OF_1 - SHARE_OF_2) / shares[2:].sum()
    shares[0], shares[1] = SHARE_OF_1, SHARE_OF_2
    return shares


def history_distribution(n_tracks: int) -> np.ndarray:
    """Probability of 0, 1, … tracks beyond MIN_HISTORY in a user's history: float64 array."""
    extra = np.arange(1, min(MAX_HISTORY, n_tracks // 20) - MIN_HISTORY + 2)
    mu = np.log(HISTORY_MEAN) - HISTORY_SIGMA**2 / 2
    density = np.exp(-((np.log(extra) - mu) ** 2) / (2 * HISTORY_SIGMA**2)) / extra
    return density / density.sum()


class Catalogue(NamedTuple):
    """Tracks in order of scene, scenes in order of genre; int64 arrays.

    popularity : (n_tracks + 1), cumulative weights of the tracks, from 0
    scenes : (n_scenes + 1), scene s holds the tracks `scenes[s]` to `scenes[s + 1] - 1`
    genres : (n_genres + 1), genre g holds the scenes `genres[g]` to `genres[g + 1] - 1`
    releases : (n_tracks), the month from which on a track is played, from 0 at the first play
    """

    popularity: np.ndarray
    scenes: np.ndarray
    genres: np.ndarray
    releases: np.ndarray


def catalogue(n_tracks: int, seed: int) -> Catalogue:
    """Lay out the tracks: about as many scenes as tracks in a scene, popularity at random."""
    n_scenes = max(GENRES, round(n_tracks**0.5))
    weights = 1.0 / (np.arange(n_tracks) + POPULARITY_SHIFT)
    shuffled = weights[np.argsort(_hashes(seed, POPULARITY, 0, n_tracks, 1)[:, 0], kind="stable")]
    releases = _hashes(seed, RELEASES, 0, n_tracks, 1)[:, 0] % np.uint64(OLDEST_RELEASE + MONTHS)
    return Catalogue(
        _cumulative(shuffled),
        np.arange(n_scenes + 1) * n_tracks // n_scenes,
        np.arange(GENRES + 1) * n_scenes // GENRES,
        releases.astype(np.int64) - OLDEST_RELEASE,
    )


def write_sample(params: SampleParams, output: str | os.PathLike[str]) -> None:
    """Write `train.parquet`, `validation.parquet` and `test.parquet` into the folder `output`.

    Columns `user_id` (40 hex digits), `count` int64, `track_id`, `played_at`; one row per user,
    track and month. Memory is bounded by `CHUNK_USERS`, one row group each. Other files of the
    folder stay.

    Raises
    ------
    MusicRecError
        One of these names is taken by a file that this function did not write.
    """
    for split in SPLITS:
        _require_own(Path(output) / f"{split}.parquet")
    sizes = sample_sizes(params.scale)
    tracks = track_ids(params.seed, sizes.tracks)
    layout = catalogue(sizes.tracks, params.seed)
    options = {**WRITING, "dictionary_pagesize_limit": 1 << 24}  # all tracks of the largest sample
    with ExitStack() as stack:
        paths = [
            stack.enter_context(atomic_path(Path(output) / f"{split}.parquet")) for split in SPLITS
        ]
        writers = [stack.enter_context(pq.ParquetWriter(path, SCHEMA, **options)) for path in paths]
        for plays in generate_plays(params.seed, sizes):
            rows, places = _rows(plays, tracks, layout, params.seed)
            for number, writer in enumerate(writers):
                chosen = places == number
                if chosen.any():
                    writer.write_table(rows.filter(pa.array(chosen)).cast(SCHEMA))
            progress(f"sample: {plays.first_user + plays.n_users} of {sizes.users} users")


def _rows(
    plays: Plays, tracks: pa.Array, layout: Catalogue, seed: int
) -> tuple[pa.Table, np.ndarray]:
    """Rows of all splits, which cast to SCHEMA, and the split of each as a place in SPLITS."""
    users = plays.first_user + plays.user.astype(np.int64)
    pairs, counts, days = draw_times(np.uint64(seed), users, plays.track, plays.count, layout)
    ids = user_ids(seed, plays.first_user, plays.n_users)
    columns = [
        pa.DictionaryArray.from_arrays(plays.user[pairs], ids),
        pa.array(counts),
        pa.DictionaryArray.from_arrays(plays.track[pairs], tracks),
        pa.array(START + DAY * days),
    ]
    return pa.table(columns, SCHEMA.names), plays.split[pairs]


def _require_own(path: Path) -> None:
    """Stop before a user's file is overwritten: the sample's have its schema, order and ids."""
    if not path.exists():
        return
    own = False
    try:
        with pq.ParquetFile(path) as file:
            for schema in (SCHEMA, SCHEMA.remove(3)):
                if file.schema_arrow.equals(schema, check_metadata=True):
                    first = next(file.iter_batches(batch_size=1))["user_id"][0].as_py()
                    own = re.fullmatch("[0-9a-f]{40}", first or "") is not None
    except (pa.ArrowException, StopIteration, OSError):
        pass
    if not own:
        raise MusicRecError(
            f"{path}: this file was not written by the sample stage, which would overwrite it; "
            "move your plays to a folder of their own, such as data/plays, and name it in "
            "data.source"
        )


@dataclass(frozen=True)
class Plays:
    """Plays of the users `first_user` to `first_user + n_users - 1`; arrays (n_plays).

    user : int32, counted from `first_user`, ascending
    track, count : int32
    split : int8, place in SPLITS
    """

    first_user: int
    n_users: int
    user: np.ndarray
    track: np.ndarray
    count: np.ndarray
    split: np.ndarray


def generate_plays(seed: int, sizes: SampleSizes) -> Iterator[Plays]:
    """Draw all users' plays, `CHUNK_USERS` users at a time."""
    layout = catalogue(sizes.tracks, seed)
    histories = _cumulative(history_distribution(sizes.tracks))
    counts = _cumulative(count_distribution())
    kinds = np.repeat([0, 1, 2], [sizes.full, sizes.validation, sizes.test]).astype(np.int8)
    for first in range(0, sizes.users, CHUNK_USERS):
        n_users = min(CHUNK_USERS, sizes.users - first)
        lengths = MIN_HISTORY + draw_lengths(np.uint64(seed), first, n_users, histories)
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        track, count = draw_plays(np.uint64(seed), first, indptr, layout, counts)
        user = np.repeat(np.arange(n_users, dtype=np.int32), lengths)
        odd = (np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)) % 2 == 1
        split = np.where(odd, kinds[first + user], 0)  # every second play is held out
        yield Plays(first, n_users, user, track, count, split.astype(np.int8))


def user_ids(seed: int, first: int, n_users: int) -> pa.Array:
    """User ids of 40 hexadecimal digits, as the Taste Profile has them."""
    octets = _hashes(seed, USER_IDS, first, n_users, 3).astype(">u8").view(np.uint8)
    digits = octets.reshape(n_users, -1)[:, :20].tobytes().hex()
    return pa.array(np.frombuffer(digits.encode(), "S40")).cast(pa.string())


def track_ids(seed: int, n_tracks: int) -> pa.Array:
    """Track ids of the Million Song Dataset's shape: TR and 16 upper-case letters and digits."""
    alphabet = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", np.uint8)
    letters = alphabet[_hashes(seed, TRACK_IDS, 0, n_tracks, 2).view(np.uint8) % 32]
    return pa.array(np.char.add(b"TR", letters.view("S16").ravel())).cast(pa.string())


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Cumulative integer weights, int64 array (n + 1) from 0; each weight is at least 1."""
    shares = np.maximum(1, weights * (_TOTAL / weights.sum())).astype(np.int64)
    return np.concatenate(([0], np.cumsum(shares)))


def _hashes(seed: int, stream: int, first: int, n: int, width: int) -> np.ndarray:
    """Random numbers of the rows `first` … `first + n - 1`: uint64 array (n, width)."""
    out = np.empty((n, width), np.uint64)
    fill_hashes(np.uint64(seed), stream, first, out)
    return out
