"""A loaded model: arrays and what was prepared from them, in dense ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicrec.als.fold_in import FoldIn
from musicrec.bundle.choose import Chooser
from musicrec.bundle.ids import Ids
from musicrec.bundle.manifest import Manifest
from musicrec.bundle.reader import Files
from musicrec.bundle.similar import Likeness
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams, FeedbackParams


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """All that an answer needs; made by `musicrec.bundle.load`, changed by nobody.

    Attributes
    ----------
    root : Path
        Where the bundle lay; only errors and pickles use it.
    digest : str
        SHA-256 of the manifest.
    arrays : dict of str to array
        Mapped, by the names of `musicrec.bundle.manifest.layout`.
    fold_users, fold_tracks : FoldIn
        Factors of users by their plays, and of tracks by their listeners.
    """

    root: Path
    digest: str
    manifest: Manifest
    files: Files
    arrays: dict[str, np.ndarray]
    users: Ids
    tracks: Ids
    als: ALSParams
    feedback: FeedbackParams
    chooser: Chooser
    users_alike: Likeness
    tracks_alike: Likeness
    fold_users: FoldIn
    fold_tracks: FoldIn

    @property
    def user_factors(self) -> np.ndarray:
        """float32 (n_users, rank)."""
        return self.arrays["user_factors"]

    @property
    def item_factors(self) -> np.ndarray:
        """float32 (n_items, rank)."""
        return self.arrays["item_factors"]

    @property
    def plays(self) -> Interactions:
        """Training plays."""
        indptr, indices, counts = (
            self.arrays[f"seen_{name}"] for name in ("indptr", "indices", "counts")
        )
        return Interactions(indptr, indices, counts, len(self.tracks))
