"""Load an exported bundle and ask it for recommendations.

from musicrec.serve.bundle import load_bundle
bundle = load_bundle("data/bundle")
bundle.recommend("b80344d063b5ccb3212f76538f3d9e43d87dca9e", k=10)
bundle.recommend_for_plays({"TRIQAUQ128F42435AD": 3}, k=10)      # a user it has never seen
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.feedback import apply_feedback
from musicrec.errors import MusicRecError
from musicrec.export.annoy_index import AnnoyIndex, load_index
from musicrec.export.bundle import FORMAT
from musicrec.files import fingerprint, read_json
from musicrec.params.als import ALSParams
from musicrec.params.feedback import FeedbackParams
from musicrec.parquet import read_table
from musicrec.search.exact import ExactIndex
from musicrec.serve.fold_in import FoldIn


@dataclass(frozen=True)
class Recommendation:
    """One recommended track."""

    track_id: str
    score: float


@dataclass(frozen=True)
class Bundle:
    """A loaded model that answers queries; make it with `load_bundle`.

    Attributes
    ----------
    user_factors, item_factors : float32 arrays (n_users, rank), (n_items, rank)
        Memory-mapped.
    seen_indptr, seen_indices : int64 (n_users + 1), int32 (n_plays)
        Training plays as compressed rows, tracks ascending.
    """

    folder: Path
    manifest: Mapping[str, Any]
    user_factors: np.ndarray
    item_factors: np.ndarray
    seen_indptr: np.ndarray
    seen_indices: np.ndarray

    @cached_property
    def track_ids(self) -> list[str]:
        """Track id of each dense id."""
        return read_table(self.folder / "items.parquet").column("track_id").to_pylist()

    @cached_property
    def _user_of(self) -> dict[str, int]:
        ids = read_table(self.folder / "users.parquet").column("user_id").to_pylist()
        return {user_id: index for index, user_id in enumerate(ids)}

    @cached_property
    def _item_of(self) -> dict[str, int]:
        return {track_id: index for index, track_id in enumerate(self.track_ids)}

    @cached_property
    def _fold_in(self) -> FoldIn:
        return FoldIn(self.item_factors, ALSParams(**self.manifest["als"]))

    @cached_property
    def _exact(self) -> ExactIndex:
        return ExactIndex(self.item_factors)

    @cached_property
    def _annoy(self) -> AnnoyIndex:
        return load_index(self.folder / "index.ann", self.item_factors)

    def recommend(
        self, user_id: str, k: int = 10, exclude_seen: bool = True, search_k: int | None = None
    ) -> list[Recommendation]:
        """Recommend tracks to a user of the training data.

        Parameters
        ----------
        user_id : str
            An id of the plays the model was trained on.
        k : int
            Length of the list; it is shorter where fewer tracks are left.
        exclude_seen : bool
            Leave out the tracks of the user's training plays.
        search_k : int, optional
            Search the Annoy index, inspecting so many nodes; by default the search is exact.

        Raises
        ------
        MusicRecError
            The user is unknown.
        """
        user = self._user_of.get(user_id)
        if user is None:
            raise MusicRecError(
                f"user {user_id!r} is not in {self.folder}: not in the plays, or left out by "
                "downsample.fraction; give the user's plays instead"
            )
        seen = self.seen_indices[self.seen_indptr[user] : self.seen_indptr[user + 1]]
        return self._search(self.user_factors[user], k, seen if exclude_seen else None, search_k)

    def recommend_for_plays(
        self,
        plays: Mapping[str, int],
        k: int = 10,
        exclude_seen: bool = True,
        search_k: int | None = None,
    ) -> list[Recommendation]:
        """Recommend tracks to anyone, from play counts by track id, by folding the user in.

        Tracks that the model does not know are ignored; with no known one the list is empty.
        """
        items, vector = self.fold_in(plays)
        return self._search(vector, k, items if exclude_seen else None, search_k)

    def fold_in(self, plays: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Solve for the factor of a user with these plays, the item factors held fixed.

        Returns
        -------
        items : int32 array
            Dense ids of the known tracks, ascending.
        vector : float32 array (rank)
            The factor that training would have given this user; zero without known tracks.

        Raises
        ------
        MusicRecError
            A play count is not a whole number of at least 1.
        """
        for track_id, count in plays.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise MusicRecError(
                    f"play count of {track_id} is {count!r}, not a whole number of at least 1"
                )
        known = sorted(
            (self._item_of[track], count)
            for track, count in plays.items()
            if track in self._item_of
        )
        items = np.array([item for item, _ in known], dtype=np.int32)
        counts = np.array([count for _, count in known], dtype=np.float32)
        keep, ratings = apply_feedback(counts, FeedbackParams(**self.manifest["feedback"]))
        return items, self._fold_in(items[keep], ratings)

    def _search(
        self, query: np.ndarray, k: int, exclude: np.ndarray | None, search_k: int | None
    ) -> list[Recommendation]:
        if search_k is None:
            items, scores = self._exact.search_one(query, k, exclude)
        else:
            extra = 0 if exclude is None else len(exclude)
            items, scores = self._annoy.search(query, k + extra, search_k)
            if exclude is not None:
                fresh = ~np.isin(items, exclude)
                items, scores = items[fresh][:k], scores[fresh][:k]
        return [
            Recommendation(self.track_ids[item], float(score))
            for item, score in zip(items, scores, strict=True)
        ]


def load_bundle(folder: str | os.PathLike[str], verify: bool = False) -> Bundle:
    """Load a bundle, arrays memory-mapped.

    Parameters
    ----------
    verify : bool
        Compare every file's SHA-256 with the manifest, not only its length.

    Raises
    ------
    MusicRecError
        The folder is no bundle, is of another format, or a file is missing, cut or altered.
    """
    root = Path(folder)
    if not (root / "manifest.json").is_file():
        raise MusicRecError(
            f"{root}: no bundle here (manifest.json is missing); run dvc repro export"
        )
    manifest = read_json(root / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise MusicRecError(
            f"{root}: bundle format {manifest.get('format')}, but this version reads {FORMAT}"
        )
    for name, expected in manifest["files"].items():
        path = root / name
        if not path.is_file():
            raise MusicRecError(f"{path}: missing from the bundle; run dvc repro export")
        same = path.stat().st_size == expected["bytes"]
        if not same or (verify and fingerprint(path) != expected):
            raise MusicRecError(f"{path}: differs from the manifest; run dvc repro export")
    arrays = {
        name: np.load(root / f"{name}.npy", mmap_mode="r")
        for name in ("user_factors", "item_factors", "seen_indptr", "seen_indices")
    }
    return Bundle(root, manifest, **arrays)


def parse_plays(words: list[str]) -> dict[str, int]:
    """Read `TRACK=COUNT` words, or `TRACK` alone for one play; a repeated track adds up.

    Raises
    ------
    MusicRecError
        A count is not a whole number.
    """
    plays: dict[str, int] = {}
    for word in words:
        track, _, count = word.rpartition("=") if "=" in word else (word, "", "1")
        if not count.isdecimal():
            raise MusicRecError(f"{word}: play count {count!r} is not a whole number")
        plays[track] = plays.get(track, 0) + int(count)
    return plays
