"""Start the training from an earlier model, matched by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicrec.als.fit import Factors
from musicrec.als.half_step import HalfStep
from musicrec.errors import MusicRecError
from musicrec.interactions.earlier import EarlierModel, indexed_ids, read_earlier
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams
from musicrec.storage.parquet import HISTORIES, SPLITS


def warm_factors(bundle: Path, indexed: Path, plays: Interactions, params: ALSParams) -> Factors:
    """Carry the factors of an exported bundle over to the index of new training data.

    Tracks and users are matched by id. New tracks start at zero; then all users are solved given
    the known tracks, so that new users start where their plays put them. `plays` come from the
    folder `indexed` of the index stage.

    Raises
    ------
    MusicRecError
        The bundle is missing or damaged, has another rank, shares no track with the training
        data, or was trained on held-out plays, or on users whom data.protocol =
        strong_generalization holds out.
    """
    earlier = read_earlier(bundle, f"als.warm_start = {bundle}")
    if any((indexed / history).is_dir() for history in HISTORIES):
        held_out = indexed_ids(indexed, "user").slice(plays.n_users)
        known = np.sum(earlier.positions("user", held_out) >= 0)
        if known:
            raise MusicRecError(
                f"{earlier.said}: it was trained on plays of {known:,} users who are held "
                "out here, so that its factors know their answers; use a bundle of the same "
                "data.protocol and data.seed, or set als.warm_start to null"
            )
    for split in SPLITS[1:]:
        earlier.refuse_learned(indexed, split)
    items = _carry(earlier, indexed, "item", plays.n_items, params)
    users = _carry(earlier, indexed, "user", plays.n_users, params)
    if not items.any():
        raise MusicRecError(
            f"{earlier.said}: none of its tracks is in the training data; "
            "use a bundle of the same catalogue or set als.warm_start to null"
        )
    items[plays.users_of() == 0] = 0
    HalfStep(plays, params).solve(items, users)
    return Factors(users, items)


def _carry(
    earlier: EarlierModel, indexed: Path, kind: str, n: int, params: ALSParams
) -> np.ndarray:
    """Factors of the bundle in the order of the new ids, zero where the bundle has none."""
    factors = earlier.array(f"{kind}_factors.npy")
    if factors.shape[1] != params.rank:
        raise MusicRecError(
            f"{earlier.said}: its rank is {factors.shape[1]}, not als.rank = "
            f"{params.rank}; train with als.rank={factors.shape[1]} or start anew"
        )
    position = earlier.positions(kind, indexed_ids(indexed, kind).slice(0, n))
    carried = np.zeros((n, params.rank), np.float32)
    known = np.flatnonzero(position >= 0)
    carried[known] = factors[position[known]]
    return carried
