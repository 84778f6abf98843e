"""Which plays are for training, validation and test, as `ingest.splits` says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.ingest.in_process.plays import Part, Plays
from musicrec.ingest.splits.split import HOLDOUT_PLAYS, HOLDOUT_USERS, SPLITS, splits_of
from musicrec.interactions.hashing import hash_fraction
from musicrec.params import DataParams

NONE = -1  # the place of a split for plays that are left out


LEFT_OUT = (
    "plays_filtered",
    "users_filtered",
    "plays_of_unknown_tracks",
    "plays_of_short_histories",
)


class Usable(NamedTuple):
    """Which plays of a part pass the filters, in the order of its rows; all are bool.

    Attributes
    ----------
    kept : array (n)
        Track and user have enough.
    known : array (n)
        A training user has the track, or the user is one.
    """

    kept: np.ndarray
    known: np.ndarray


def lots(users: pa.StringArray, params: DataParams) -> np.ndarray:
    """The split that each user may have plays held out for, as a place in SPLITS; 0 is none."""
    lot = hash_fraction(params.seed, users, salt=HOLDOUT_USERS)
    held = np.where(lot < params.validation_users, np.int8(1), np.int8(2))
    return np.where(lot < params.validation_users + params.test_users, held, np.int8(0))


def usable_plays(
    parts: list[Part], plays: Plays, held: np.ndarray, params: DataParams
) -> list[Usable]:
    """Filter the merged plays of all parts.

    Parameters
    ----------
    held : int8 array
        Of `lots`.
    """
    n_tracks = len(plays.tracks.ids)
    users_of = np.zeros(n_tracks, np.int64)
    for part in parts:
        users_of += np.bincount(part.tracks, minlength=n_tracks)
    enough_users = users_of >= params.min_track_users
    kept = []
    in_training = np.zeros(n_tracks, bool)
    for part in parts:
        tracks_of = np.bincount(part.users[enough_users[part.tracks]], minlength=len(held))
        kept.append(enough_users[part.tracks] & (tracks_of >= params.min_user_plays)[part.users])
        in_training[part.tracks[kept[-1] & (held[part.users] == 0)]] = True
    if params.protocol != "strong_generalization":
        return [Usable(one, np.ones(len(one), bool)) for one in kept]
    return [
        Usable(one, in_training[part.tracks] | (held[part.users] == 0))
        for part, one in zip(parts, kept, strict=True)
    ]


def places(
    part: Part, plays: Plays, held: np.ndarray, usable: np.ndarray, params: DataParams
) -> np.ndarray:
    """Hold plays out, as `holdout_split` says.

    Parameters
    ----------
    held : int8 array
        Of `lots`.
    usable : bool array (n)
        Plays that are not are as if they were not there.

    Returns
    -------
    int8 array (n)
        The place of each play's split in `splits_of(params)`, or NONE.
    """
    rows = np.flatnonzero((held[part.users] > 0) & usable)
    users, tracks = part.users[rows], part.tracks[rows]
    ids = plays.users.ids.take(pa.array(users)), plays.tracks.ids.take(pa.array(tracks))
    draw = hash_fraction(params.seed, *ids, salt=HOLDOUT_PLAYS)
    # Stable, so that equal draws stay in the order of tracks.
    order = np.lexsort((draw, -part.times[rows], users))
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(starts, append=len(users))
    wanted = np.maximum(np.floor(lengths * params.held_out + 0.5), 1).astype(np.int64)
    rank = np.arange(len(users)) - np.repeat(starts, lengths)
    out = rows[order[rank < np.repeat(np.minimum(lengths - 1, wanted), lengths)]]
    found = np.where(usable, np.int8(0), np.int8(NONE))
    if params.protocol == "strong_generalization":
        history = held[users] + np.int8(len(SPLITS) - 1)
        found[rows] = np.where(np.repeat(lengths, lengths) > 1, history, np.int8(NONE))
    found[out] = held[part.users[out]]
    return found


def split_part(part: Part, found: np.ndarray, params: DataParams) -> dict[str, Part]:
    """Cut a part's plays by the places of `places`."""
    return {name: part.rows(found == place) for place, name in enumerate(splits_of(params))}


def left_out(part: Part, usable: Usable, found: np.ndarray) -> dict[str, int]:
    """Plays and users of a part that have no split: LEFT_OUT, as `filters.add_filtered` says."""
    kept, known = usable
    users = len(np.unique(part.users)) - len(np.unique(part.users[kept]))
    plays = (~kept, kept & ~known, kept & known & (found == NONE))
    filtered, unknown, short = (int(np.count_nonzero(rows)) for rows in plays)
    return dict(zip(LEFT_OUT, (filtered, users, unknown, short), strict=True))
