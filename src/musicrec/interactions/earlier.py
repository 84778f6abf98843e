"""An exported bundle as an earlier model: its arrays, and what it has learned that is held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import IDS, pair_keys, read_ids
from musicrec.interactions.matrix import Interactions, newest_play
from musicrec.storage.files import fingerprint, read_json
from musicrec.storage.outputs import MANIFEST, is_stage_output
from musicrec.storage.parquet import LAST_PLAYED, read_files, sound_parts

FILES = ("item_factors.npy", "user_factors.npy", "seen_indptr.npy", "seen_indices.npy")
TIMES = "seen_last_played.npy"  # where the plays of the bundle have times


@dataclass(frozen=True)
class EarlierModel:
    """What `read_earlier` has found undamaged.

    Attributes
    ----------
    said : str
        The parameter and the folder it names, for messages.
    folder : Path
    manifest : dict
    digest : str
        SHA-256 of the manifest, which holds those of all files.
    """

    said: str
    folder: Path
    manifest: dict[str, Any]
    digest: str

    def array(self, name: str) -> np.ndarray:
        """Open an array by the name of its file."""
        found: np.ndarray = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return found

    def positions(self, kind: str, ids: pa.Array) -> np.ndarray:
        """Index that the bundle has for each id of a `user` or `item`, -1 for none (int64)."""
        table = read_files([self.folder / f"{kind}s.parquet"], [IDS[kind]])
        old = table.column(IDS[kind]).combine_chunks()
        found = pc.fill_null(pc.index_in(ids.cast(old.type), value_set=old), -1)
        return found.to_numpy().astype(np.int64)

    def refuse_learned(self, indexed: Path, split: str, seen: str = "exclude") -> int:
        """Stop where the bundle was trained on held-out plays of a split.

        The bundle has its training plays. Where all held-out plays are later than all of training
        (`data.protocol: temporal`), it must have none as late, and none of a held-out user and
        track after the training. Else it must have no held-out pair that is not in training too.

        Parameters
        ----------
        seen : str
            As `evaluate.seen`: whether held-out plays of a track played before are judged.

        Returns
        -------
        int
            Judged pairs that the bundle knows, of which nothing says whether from plays before.

        Raises
        ------
        MusicRecError
            It was; the sentence says on how many.
        """
        if not (indexed / split).is_dir():
            return 0
        held, times = _plays(indexed, split)
        newest = newest_play(indexed / "train")
        known, last = self._find(indexed, held)
        if newest is None or times is None or times.min() <= newest:  # not temporal
            learned = known & ~np.isin(held, _plays(indexed, "train")[0])
            unsure = known & ~learned & (seen == "keep")
        elif last is None:  # known by an earlier play of the same track, or by the held-out one
            learned, unsure = np.zeros_like(known), known
        else:
            learned, unsure = known & (last > newest), np.zeros_like(known)
            if not learned.any() and self.array(TIMES).max(initial=0) >= times.min():
                raise MusicRecError(
                    f"{self.said}: its newest play is later than the first held-out play of "
                    f"{split}; {_CURE}"
                )
        if learned.any():
            raise MusicRecError(
                f"{self.said}: it was trained on {np.sum(learned):,} of the {len(known):,} "
                f"held-out plays of {split}, so that its factors know the answers; {_CURE}"
            )
        return int(unsure.sum())

    def _find(self, indexed: Path, held: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Which held-out pairs are among the plays of the bundle, and when each was last there."""
        users, items = (self.positions(kind, read_ids(indexed, kind)) for kind in IDS)
        users, items = users[held >> 32], items[held & 0xFFFFFFFF]
        indptr, indices = (self.array(name) for name in FILES[2:])
        times = self.array(TIMES) if (self.folder / TIMES).is_file() else None
        rows = np.unique(users[users >= 0])
        plays = Interactions(indptr, indices, indices if times is None else times, 0).rows(rows)
        keys = np.append(pair_keys(rows[plays.user_of_each()], plays.indices), -1)
        wanted = pair_keys(users, items)
        place = np.searchsorted(keys[:-1], wanted)  # ascending but for the last
        known = (keys[place] == wanted) & (users >= 0) & (items >= 0)
        return known, None if times is None else np.append(plays.counts, 0)[place]


PUBLISH_FIRST = (  # of a bundle that the next export replaces
    "{}: the pipeline overwrites this; publish it first: `musicrec publish FOLDER`, and name that"
)
_CURE = "use a bundle that was trained on earlier plays, or without these users, or set it to null"


def read_earlier(folder: Path, said: str) -> EarlierModel:
    """Open a bundle for training or judging; its files are compared with its manifest.

    Raises
    ------
    MusicRecError
        One of them is missing or damaged, or the folder is an output of the pipeline.
    """
    if is_stage_output(folder):
        raise MusicRecError(PUBLISH_FIRST.format(said))
    if not (folder / MANIFEST).is_file():
        raise MusicRecError(
            f"{said}: no {MANIFEST} there; name a bundle, such as `musicrec publish FOLDER` "
            "writes, or set it to null"
        )
    manifest = read_json(folder / MANIFEST)
    listed = manifest.get("files", {})
    for name in (*FILES, *(f"{kind}s.parquet" for kind in IDS), *({TIMES} & set(listed))):
        if not (folder / name).is_file() or listed.get(name) != fingerprint(folder / name):
            raise MusicRecError(
                f"{said}: {name} is not the one its manifest names; take an undamaged copy of the "
                "bundle"
            )
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return EarlierModel(said, folder, manifest, digest)


def _plays(indexed: Path, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Pairs of indexed plays (user << 32 | item), and times where they have them."""
    table = read_files(sound_parts(indexed / split))
    pairs = pair_keys(*(table.column(kind).to_numpy() for kind in IDS))
    if LAST_PLAYED.name not in table.column_names:
        return pairs, None
    return pairs, table.column(LAST_PLAYED.name).fill_null(0).to_numpy()
