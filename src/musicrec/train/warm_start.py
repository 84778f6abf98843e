"""Start the training from an earlier model, matched by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from musicrec.als.fit import Factors
from musicrec.als.half_step import HalfStep
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams
from musicrec.storage.files import fingerprint, read_json
from musicrec.storage.parquet import HISTORIES, read_files, read_table

MANIFEST = "manifest.json"
FILES = ("item_factors.npy", "user_factors.npy", "items.parquet", "users.parquet")


def warm_factors(bundle: Path, indexed: Path, plays: Interactions, params: ALSParams) -> Factors:
    """Carry the factors of an exported bundle over to the index of new training data.

    Tracks and users are matched by id. New tracks start at zero; then all users are solved given
    the known tracks, so that new users start where their plays put them.

    Parameters
    ----------
    bundle : Path
        Folder that the export stage wrote, kept from an earlier run.
    indexed : Path
        Folder of the index stage that `plays` come from.

    Raises
    ------
    MusicRecError
        The bundle is missing or damaged, has another rank, shares no track with the training
        data, or was trained on users whom data.protocol = strong_generalization holds out.
    """
    _require_undamaged(bundle)
    if any((indexed / history).is_dir() for history in HISTORIES):
        _require_not_held_out(bundle, indexed, plays.n_users)
    items = _carry(bundle, indexed, "item", "track_id", plays.n_items, params)
    users = _carry(bundle, indexed, "user", "user_id", plays.n_users, params)
    if not items.any():
        raise MusicRecError(
            f"als.warm_start = {bundle}: none of its tracks is in the training data; "
            "use a bundle of the same catalogue or set als.warm_start to null"
        )
    items[plays.users_of() == 0] = 0
    HalfStep(plays, params).solve(items, users)
    return Factors(users, items)


def _require_undamaged(bundle: Path) -> None:
    """Stop unless the files that are read here are those of the bundle's manifest."""
    for name in (MANIFEST, *FILES):
        if not (bundle / name).is_file():
            raise MusicRecError(
                f"als.warm_start = {bundle}: no {name} there; name a folder that the export "
                "stage wrote, or set als.warm_start to null"
            )
    listed = read_json(bundle / MANIFEST).get("files", {})
    for name in FILES:
        if listed.get(name) != fingerprint(bundle / name):
            raise MusicRecError(
                f"als.warm_start = {bundle}: {name} is not the one its manifest names; take an "
                "undamaged copy of the bundle"
            )


def _require_not_held_out(bundle: Path, indexed: Path, n_users: int) -> None:
    """Stop where the bundle has learned from users who are held out here."""
    import pyarrow.compute as pc

    old = read_files([bundle / "users.parquet"], ["user_id"]).column("user_id").combine_chunks()
    held_out = read_table(indexed / "users.parquet", ["user_id"]).column("user_id").slice(n_users)
    known = pc.sum(pc.is_in(held_out.cast(old.type), value_set=old)).as_py() or 0
    if known:
        raise MusicRecError(
            f"als.warm_start = {bundle}: it was trained on plays of {known:,} users who are held "
            "out here, so that its factors know their answers; use a bundle of the same "
            "data.protocol and data.seed, or set als.warm_start to null"
        )


def _carry(
    bundle: Path, indexed: Path, kind: str, column: str, n: int, params: ALSParams
) -> np.ndarray:
    """Factors of the bundle in the order of the new ids, zero where the bundle has none."""
    import pyarrow.compute as pc  # which a run without a warm start need not wait for

    factors = np.load(bundle / f"{kind}_factors.npy", mmap_mode="r", allow_pickle=False)
    if factors.shape[1] != params.rank:
        raise MusicRecError(
            f"als.warm_start = {bundle}: its rank is {factors.shape[1]}, not als.rank = "
            f"{params.rank}; train with als.rank={factors.shape[1]} or start anew"
        )
    old = read_files([bundle / f"{kind}s.parquet"], [column]).column(column).combine_chunks()
    new = read_table(indexed / f"{kind}s.parquet", [column]).column(column).slice(0, n)
    position = pc.index_in(new.cast(old.type), value_set=old)
    position = pc.fill_null(position, pa.scalar(-1, position.type)).to_numpy()
    carried = np.zeros((n, params.rank), np.float32)
    known = np.flatnonzero(position >= 0)
    carried[known] = factors[position[known]]
    return carried
