"""Load an exported bundle and ask it.

from musicrec.bundle.bundle import load_bundle
bundle = load_bundle("data/bundle")
bundle.recommend("b80344d063b5ccb3212f76538f3d9e43d87dca9e", k=10)
bundle.recommend_for_plays({"TRIQAUQ128F42435AD": 3}, k=10)      # a user it has never seen
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Unpack

import numpy as np

from musicrec.als.fold_in import as_trained
from musicrec.bundle.answers import (
    FACTORS,
    NO_FACTORS,
    NOTHING_ASKED,
    NOTHING_LEFT,
    POPULARITY,
    Answer,
    Explanation,
    Neighbour,
    Recommendation,
    Source,
)
from musicrec.bundle.choose import Found
from musicrec.bundle.explain import explain
from musicrec.bundle.ids import Id, Ids
from musicrec.bundle.known_plays import known_plays
from musicrec.bundle.load import load_content, load_model
from musicrec.bundle.manifest import Manifest
from musicrec.bundle.model import Model
from musicrec.bundle.reader import digest_of
from musicrec.bundle.wish import Options, Wish, checked_wish, whole
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions

Plays = Mapping[Any, Any]


def load_bundle(
    folder: str | os.PathLike[str], verify: bool = False, in_memory: bool = False
) -> Bundle:
    """Load a bundle: whatever an answer may need is open, checked and prepared on return.

    Parameters
    ----------
    folder : path
        What the export stage or `musicrec publish` wrote.
    verify : bool
        Compare every file's SHA-256 with the manifest. Without it, lengths, types, shapes and
        every number that is followed are checked, and the sentinel users must get their answers;
        a changed digit of a factor may go unseen.
    in_memory : bool
        Read the files rather than map them. A mapped bundle may be moved, deleted or replaced by
        another folder; but files that are overwritten in place (`cp` over them) change under it.

    Raises
    ------
    MusicRecError
        The folder is no bundle, is of another format, or a file is missing, cut, altered or of
        another model.
    """
    return Bundle(load_model(folder, verify, in_memory))


class Bundle:
    """A loaded model that answers questions; make it with `load_bundle`.

    Nothing in it changes: it may be asked by many threads at once, copied (which gives itself) and
    pickled. A pickle names the folder and the bundle's digest, and opens the folder again; where
    the bundle is no longer there, it carries the content of the files.

    Ids are text or whole numbers, of Python or NumPy, as the plays had them; answers give text. All
    questions for recommendations take the keywords of `musicrec.bundle.wish.Options`. The list has
    k tracks if so many are left, in falling order of score, equal scores in the order of the index;
    tracks whose factor is zero are never in it. k of 0 gives none.
    """

    __slots__ = ("_model",)
    _model: Model

    def __init__(self, model: Model) -> None:
        """Wrap a loaded model."""
        object.__setattr__(self, "_model", model)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse."""
        raise AttributeError("a bundle does not change")

    def __repr__(self) -> str:
        """Say what it is."""
        model = self._model
        sizes = f"{len(model.users):,} users, {len(model.tracks):,} tracks, rank {model.als.rank}"
        return f"<Bundle {model.root}: {sizes}>"

    def __copy__(self) -> Bundle:
        """Itself."""
        return self

    def __deepcopy__(self, memo: object) -> Bundle:
        """Itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by reference to the folder where it is there still, else by content."""
        model = self._model
        try:
            there = digest_of(model.root) == model.digest
        except MusicRecError:
            there = False
        if there:
            return _reopened, (str(model.root), model.digest)
        content = {name: bytes(data) for name, data in model.files.mapped.items()}
        return _rebuilt, (content, str(model.root))

    @property
    def model(self) -> Model:
        """The arrays behind the answers."""
        return self._model

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._model.manifest

    @property
    def user_factors(self) -> np.ndarray:
        """float32 array (n_users, rank), mapped."""
        return self._model.user_factors

    @property
    def item_factors(self) -> np.ndarray:
        """float32 array (n_items, rank), mapped."""
        return self._model.item_factors

    @property
    def users(self) -> Ids:
        """User ids; row i of `user_factors` is id i."""
        return self._model.users

    @property
    def tracks(self) -> Ids:
        """Track ids; row i of `item_factors` is id i."""
        return self._model.tracks

    def recommend(self, user_id: Id, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to a user of the training data.

        A user whose factor is zero (no play reached feedback.min_count) gets the most popular
        tracks, and the answer says so.

        Raises
        ------
        MusicRecError
            The user is unknown, or an option is out of range.
        """
        wish = checked_wish(self.tracks, k, options)
        user = self._user(user_id)
        return self._answer(self.user_factors[user], wish, self._model.plays.row(user))

    def recommend_many(
        self, user_ids: Iterable[Id], k: int = 10, **options: Unpack[Options]
    ) -> list[Answer]:
        """Recommend tracks to many users: the answers of `recommend`, on all cores."""
        wish = checked_wish(self.tracks, k, options)
        users = np.array([self._user(user_id) for user_id in user_ids], np.int64)
        return self._answers(self.user_factors[users], wish, self._model.plays.rows(users))

    def recommend_for_plays(self, plays: Plays, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to anyone, from play counts by track id, by folding the user in.

        Tracks that the model does not know are named in the answer's `unknown`. Without plays that
        tell the model anything the tracks are the most popular ones, and the answer says so.

        Raises
        ------
        MusicRecError
            A play count is not a whole number from 1 to 2^63 - 1, or an option is out of range.
        """
        return self.recommend_for_many_plays([plays], k, **options)[0]

    def recommend_for_many_plays(
        self, lists: Iterable[Plays], k: int = 10, **options: Unpack[Options]
    ) -> list[Answer]:
        """Recommend tracks to many new users: the answers of `recommend_for_plays`."""
        wish = checked_wish(self.tracks, k, options)
        known, unknown = known_plays(list(lists), self.tracks)
        trained = as_trained(known, self._model.feedback)
        vectors = self._model.fold_users.many(trained)
        return self._answers(vectors, wish, known, unknown)

    def fold_in(self, plays: Plays) -> np.ndarray:
        """Solve for the factor of a user with these plays, the item factors held fixed.

        Returns
        -------
        float32 array (rank)
            The factor that training would have given this user; zero without known tracks.
        """
        known, _ = known_plays([plays], self.tracks)
        vector: np.ndarray = self._model.fold_users.many(as_trained(known, self._model.feedback))[0]
        return vector

    def fold_in_track(self, plays: Plays) -> np.ndarray:
        """Solve for the factor of a new track from the play counts of its listeners, by user id.

        By the objective of training, the user factors held fixed; unknown users are left out. Ask
        `similar_tracks` with it, or multiply `user_factors` by it for the score of every user.

        Returns
        -------
        float32 array (rank)
            Zero without known listeners.
        """
        known, _ = known_plays([plays], self.users)
        vector: np.ndarray = self._model.fold_tracks.many(as_trained(known, self._model.feedback))[
            0
        ]
        return vector

    def similar_tracks(self, track: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Tracks most like one, or like a factor, by cosine; none for a factor of zeros.

        Raises
        ------
        MusicRecError
            The track is unknown.
        """
        length = min(whole("k", k, 0), len(self.tracks))
        if isinstance(track, np.ndarray):
            row, vector = -1, self._vector(track)
        else:
            row = self._track(track)
            vector = self.item_factors[row]
        return _neighbours(self._model.tracks_alike.nearest(vector, length, row), self.tracks)

    def similar_users(self, user: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Users most like one, or like a factor, by cosine; none for a factor of zeros.

        Raises
        ------
        MusicRecError
            The user is unknown.
        """
        length = min(whole("k", k, 0), len(self.users))
        if isinstance(user, np.ndarray):
            row, vector = -1, self._vector(user)
        else:
            row = self._user(user)
            vector = self.user_factors[row]
        return _neighbours(self._model.users_alike.nearest(vector, length, row), self.users)

    def explain(self, user_id: Id, track_id: Id) -> Explanation:
        """Say which plays carried the score of a track for a user.

        Raises
        ------
        MusicRecError
            User or track is unknown.
        """
        user = self._user(user_id)
        plays = self._model.plays.rows(np.array([user]))
        return explain(self._model, plays, self.user_factors[user], self._track(track_id))

    def explain_for_plays(self, plays: Plays, track_id: Id) -> Explanation:
        """Say which plays carry the score of a track for anyone with these plays."""
        known, _ = known_plays([plays], self.tracks)
        vector = self._model.fold_users.many(as_trained(known, self._model.feedback))[0]
        return explain(self._model, known, vector, self._track(track_id))

    def _answer(
        self, query: np.ndarray, wish: Wish, seen: np.ndarray, unknown: tuple[str, ...] = ()
    ) -> Answer:
        if query.any():
            return self._told(self._model.chooser.best(query, wish, seen), wish, FACTORS, unknown)
        return self._told(self._model.chooser.popular(wish, seen), wish, POPULARITY, unknown)

    def _answers(
        self,
        queries: np.ndarray,
        wish: Wish,
        plays: Interactions,
        unknown: Sequence[tuple[str, ...]] = (),
    ) -> list[Answer]:
        lists = self._model.chooser.many(queries, wish, plays)
        return [
            self._told(found, wish, FACTORS if query.any() else POPULARITY, *unknown[i : i + 1])
            for i, (found, query) in enumerate(zip(lists, queries, strict=True))
        ]

    def _told(
        self, found: Found, wish: Wish, source: Source, unknown: tuple[str, ...] = ()
    ) -> Answer:
        tracks = tuple(
            Recommendation(self.tracks.text_of(item), score)
            for item, score in zip(found[0].tolist(), found[1].tolist(), strict=True)
        )
        note = NO_FACTORS if source == POPULARITY else ""
        if not tracks:
            note = NOTHING_LEFT if wish.k else NOTHING_ASKED
        return Answer(tracks, source, tuple(dict.fromkeys(unknown + wish.unknown)), note)

    def _user(self, user_id: Id) -> int:
        user = self.users.index(user_id)
        if user < 0:
            raise MusicRecError(
                f"user {user_id!r} is not in {self._model.root}, which knows the users of its "
                "training alone (`bundle.users` lists them); give the user's plays instead"
            )
        return user

    def _track(self, track_id: Id) -> int:
        track = self.tracks.index(track_id)
        if track < 0:
            raise MusicRecError(
                f"track {track_id!r} is not in {self._model.root}: nobody played it in training; "
                f"ids of tracks are {self.tracks.examples()}"
            )
        return track

    def _vector(self, given: np.ndarray) -> np.ndarray:
        rank = self._model.als.rank
        try:
            vector = np.ascontiguousarray(given, dtype=np.float32)
        except (TypeError, ValueError):
            raise MusicRecError(f"a factor is {rank} numbers, not {given.dtype}") from None
        if vector.shape != (rank,) or not np.isfinite(vector).all():
            raise MusicRecError(f"a factor is {rank} finite numbers; this has shape {vector.shape}")
        return vector


def _neighbours(found: Found, ids: Ids) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(ids.text_of(row), cosine)
        for row, cosine in zip(found[0].tolist(), found[1].tolist(), strict=True)
    )


def _reopened(root: str, digest: str) -> Bundle:
    """Open the folder that a pickle names."""
    bundle = load_bundle(root)
    if bundle._model.digest != digest:
        raise MusicRecError(f"{root}: another bundle than the one that was pickled")
    return bundle


def _rebuilt(content: dict[str, bytes], root: str) -> Bundle:
    """Load the content that a pickle carries."""
    return Bundle(load_content(content, Path(root)))
