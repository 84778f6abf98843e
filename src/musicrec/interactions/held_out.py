"""The held-out users of a split: what they played in training, and what is the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import read_ids, read_sizes
from musicrec.interactions.matrix import (
    Interactions,
    newest_play,
    read_ages,
    read_interactions,
)
from musicrec.storage.parquet import HISTORY, SPLITS


@dataclass(frozen=True)
class HeldOut:
    """What is known of the held-out users of one split.

    Attributes
    ----------
    split : str
        `validation` or `test`.
    users : int32 array (n)
        Their indices, ascending.
    user_ids : string array (n)
    track_ids : string array (n_all_items)
        Ids of all tracks, by index.
    truth : Interactions (n, n_all_items)
        Their held-out plays; tracks of `train.n_items` and above are unknown to training.
    train : Interactions (n_users, n_items)
        All training plays.
    history : Interactions (n, n_items)
        Their own plays that may be known: those in training or, where `folded_in`, those given to
        fold them in. An empty row for a user of whom nothing is known.
    folded_in : bool
        None of the users is in training (`data.protocol: strong_generalization`).
    indexed : Path
        What it was read from.
    n_without_new : int
        Users who are left out because they played only tracks of their history again.
    """

    split: str
    users: np.ndarray
    user_ids: pa.Array
    track_ids: pa.Array
    truth: Interactions
    train: Interactions
    history: Interactions
    folded_in: bool
    indexed: Path = Path()
    n_without_new: int = 0

    @property
    def timed(self) -> bool:
        """Whether it is known when each play was."""
        return newest_play(self.indexed / "train") is not None

    @cached_property
    def train_ages(self) -> np.ndarray:
        """Age of each play of `train` in seconds, float32; see `matrix.read_ages`."""
        return read_ages(self.indexed, "train", self.train.n_users, self.train.n_items).counts

    @cached_property
    def history_ages(self) -> np.ndarray:
        """Age of each play of `history`."""
        if not self.folded_in:
            ages = self.train._replace(counts=self.train_ages)
            return _rows_or_empty(ages, self.users).counts
        sizes = read_sizes(self.indexed / "sizes.json")
        of_all = (sizes.n_all_users, sizes.n_all_items)
        ages = read_ages(self.indexed, f"{self.split}{HISTORY}", *of_all).rows(self.users)
        return known_tracks(ages, sizes.n_items).counts


def read_held_out(indexed: Path, split: str, seen: str = "exclude") -> HeldOut:
    """Read the indexed plays for judging the users of `split`.

    Parameters
    ----------
    seen : str
        As `evaluate.seen`. Where seen tracks are excluded, they are no part of the truth, and
        users without any other are left out.

    Raises
    ------
    MusicRecError
        The split is not there or holds no play, or training knows none of its users or tracks.
    """
    (other,) = set(SPLITS[1:]) - {split}
    if not (indexed / split).exists() and (indexed / other).exists():
        raise MusicRecError(
            f"{indexed} has no {split} plays: data.protocol: temporal trained up to those of "
            f"{other}; set evaluate.split: {split} and run dvc repro"
        )
    sizes = read_sizes(indexed / "sizes.json")
    train = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    truth = read_interactions(indexed / split, sizes.n_all_users, sizes.n_all_items)
    users = np.flatnonzero(truth.lengths).astype(np.int32)
    if not len(users):
        raise MusicRecError(
            f"{indexed / split} holds no play, so there is nobody to judge; "
            "hold plays out in data, or judge the other split by evaluate.split"
        )
    user_ids, track_ids = read_ids(indexed, "user"), read_ids(indexed, "item")
    folder = indexed / f"{split}{HISTORY}"
    folded_in = folder.is_dir()
    if folded_in:
        plays = read_interactions(folder, sizes.n_all_users, sizes.n_all_items)
        history = known_tracks(plays.rows(users), sizes.n_items)
    else:
        _require_known(users, user_ids, sizes.n_users, f"users of {split}")
        history = _rows_or_empty(train, users)
    _require_known(truth.indices, track_ids, sizes.n_items, f"tracks of {split}")
    of_users, n_users = truth.rows(users), len(users)
    if seen == "exclude":
        of_users = of_users.filtered(~np.isin(of_users.keys(), history.keys()))
        new = np.flatnonzero(of_users.lengths)
        if not len(new):
            raise MusicRecError(
                f"all users of {split} played only tracks of their history again, so there is "
                "nobody to judge; use evaluate.seen = keep"
            )
        if len(new) < n_users:
            users, of_users, history = users[new], of_users.rows(new), history.rows(new)
    return HeldOut(
        split=split,
        users=users,
        user_ids=user_ids.take(pa.array(users)),
        track_ids=track_ids,
        truth=of_users,
        train=train,
        history=history,
        folded_in=folded_in,
        indexed=indexed,
        n_without_new=n_users - len(users),
    )


def _require_known(held: np.ndarray, ids: pa.Array, known: int, what: str) -> None:
    """Stop where training knows nobody (or nothing) that is held out: every metric would be 0."""
    if held.min() < known:
        return
    example = ids[int(held.min())].as_py()
    raise MusicRecError(
        f"training knows none of the {what}, such as {example!r} where training has "
        f"{ids[0].as_py()!r}; write the ids of all splits in the same form, and check data.columns"
    )


def _rows_or_empty(train: Interactions, users: np.ndarray) -> Interactions:
    """Rows of ascending `users`; those beyond the matrix are empty."""
    known = train.rows(users[users < train.n_users])
    missing = np.full(len(users) - known.n_users, known.indptr[-1])
    indptr = np.concatenate((known.indptr, missing))
    return Interactions(indptr, known.indices, known.counts, known.n_items)


def known_tracks(plays: Interactions, n_items: int) -> Interactions:
    """Leave out the plays of tracks unknown to training (`n_items` and above)."""
    return plays.filtered(plays.indices < n_items)._replace(n_items=n_items)
