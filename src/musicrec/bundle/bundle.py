"""Load an exported bundle and ask it.

from musicrec.bundle import load_bundle
bundle = load_bundle("data/bundle")
bundle.recommend("b80344d063b5ccb3212f76538f3d9e43d87dca9e", k=10)
bundle.recommend_for_plays({"TRIQAUQ128F42435AD": 3}, k=10)      # a user it has never seen
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Unpack

import numpy as np

from musicrec.als.feedback import as_trained
from musicrec.als.fold_in import FoldIn
from musicrec.bundle.explain import Explanation, explain
from musicrec.bundle.ids import Id, Ids, as_text
from musicrec.bundle.query import (
    FACTORS,
    NO_FACTORS,
    NOTHING_ASKED,
    NOTHING_LEFT,
    POPULARITY,
    Answer,
    Options,
    Plays,
    Query,
    Recommendation,
    checked_plays,
    checked_query,
    excluded,
    rows_of_keys,
    whole,
)
from musicrec.bundle.read import Model, digest_of, load_content, load_model
from musicrec.bundle.recommend import Found
from musicrec.bundle.similar import CosineIndex, Neighbour
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions


def load_bundle(folder: str | os.PathLike[str], *, in_memory: bool = False) -> Bundle:
    """Load a bundle: every file is compared with the manifest, open and prepared on return.

    Parameters
    ----------
    folder : path
        What the export stage, `musicrec update` or `musicrec publish` wrote.
    in_memory : bool
        Copy the files to a temporary folder first. A mapped bundle may be moved, deleted or
        replaced by another folder; but files that are overwritten in place (`cp` over them) change
        under it.

    Raises
    ------
    MusicRecError
        The folder is no bundle, is of another format, or a file is missing, cut, altered or of
        another model.
    """
    return load_model(folder, in_memory, Bundle)


def changed(bundle: Bundle) -> bool:
    """Whether another bundle lies where a loaded one came from.

    Raises
    ------
    MusicRecError
        There is none now.
    """
    return digest_of(bundle.root) != bundle.digest


@dataclass(frozen=True, repr=False, eq=False)
class Bundle(Model):
    """A loaded model that answers questions; make it with `load_bundle`.

    Nothing in it changes: it may be asked by many threads at once, copied and pickled. A pickle
    names the folder and the bundle's digest, and opens the folder again; where the bundle is no
    longer there, it carries the content of the files.

    Ids are text or whole numbers, of Python or NumPy, as the plays had them; answers give text. All
    questions for recommendations take the keywords of `musicrec.bundle.query.Options`. The list has
    k tracks if so many are left, in falling order of score, equal scores in the order of the index;
    tracks whose factor is zero are never in it. k of 0 gives none.

    Every question raises MusicRecError, in one sentence, where the user or the track that it is
    about is unknown, an option is out of range, or the bundle has not the groups or times it needs.
    """

    def __repr__(self) -> str:
        """Say what it is."""
        sizes = f"{len(self.users):,} users, {len(self.tracks):,} tracks, rank {self.als.rank}"
        return f"<Bundle {self.root}: {sizes}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by reference to the folder where it is there still, else by content."""
        with suppress(MusicRecError):
            if not changed(self):
                return _reopened, (str(self.root), self.digest)
        content = {name: bytes(data) for name, data in self.content.items()}
        return load_content, (content, self.root, Bundle)

    def query(self, k: int = 10, **options: Unpack[Options]) -> Query:
        """Check what is asked of recommendations, as all questions do."""
        query = checked_query(self.tracks, k, options)
        if query.max_per_group is not None and self.groups is None:
            raise MusicRecError(
                "max_per_group: the bundle has no groups of tracks; export it with export.groups"
            )
        if query.not_played_for is not None and not self.timed:
            raise MusicRecError(
                "not_played_for: the plays of the bundle have no times; map data.columns.timestamp"
            )
        return query

    def group_of(self, track_id: Id) -> str | None:
        """Group of a track, such as its artist; None where it has none."""
        number = -1 if self.groups is None else int(self.groups[self._track(track_id)])
        return None if self.group_ids is None or number < 0 else self.group_ids[number]

    def name(self, track_id: Id) -> str | None:
        """Name of a track; None where it has none."""
        self._track(track_id)
        return self.names.get(as_text(track_id, "track"))

    def recommend(self, user_id: Id, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to a user of the training data.

        A user whose factor is zero (no play reached feedback.min_count) gets the most popular
        tracks, and the answer says so.
        """
        query = self.query(k, **options)
        user = self._user(user_id)
        vector = self.user_factors[user]
        if query.not_played_for is not None:
            seen = self.excluded(query, np.array([user])).indices
        else:
            seen = self.plays.row(user) if query.exclude_seen else query.exclude
        return self._answer(self.recommender.best(vector, query, seen), vector, query, user=user)

    def recommend_many(
        self,
        user_ids: Iterable[Id],
        k: int = 10,
        exclude_for: Mapping[Any, Iterable[Id]] | None = None,
        **options: Unpack[Options],
    ) -> list[Answer]:
        """Recommend tracks to many users, on all cores: the answers of `recommend`, in their order.

        An unknown user gets an empty answer, whose `unknown` holds the id.

        Parameters
        ----------
        exclude_for : mapping of user ids to track ids, optional
            Tracks that one user must not get.
        """
        query = self.query(k, **options)
        given = list(user_ids)
        users = np.array([self.users.index(user_id) for user_id in given], np.int64)
        known = users[users >= 0]
        rows = self.excluded(query, known, self.exclusions(exclude_for) if exclude_for else None)
        found = self._answers(self.user_factors[known], query, rows, users=known.tolist())
        return [
            next(found)
            if user >= 0
            else Answer((), unknown=(as_text(user_id, "user"),), note=_unknown_user(user_id))
            for user, user_id in zip(users.tolist(), given, strict=True)
        ]

    def exclusions(self, given: Mapping[Any, Iterable[Id]]) -> Interactions:
        """Tracks that some users must not get, as rows of all users; unknown ids are left out."""
        keys = [np.empty(0, np.int64)]
        for user_id, track_ids in given.items():
            if (user := self.users.index(user_id)) >= 0:
                tracks, _ = self.tracks.indices(track_ids)
                keys.append(user * len(self.tracks) + tracks.astype(np.int64))
        return rows_of_keys(np.concatenate(keys), self.plays)

    def recommend_for_plays(self, plays: Plays, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to anyone, from play counts by track id, by folding the user in.

        Tracks that the model does not know are named in the answer's `unknown`. Without plays that
        tell the model anything the tracks are the most popular ones, and the answer says so.

        Raises
        ------
        MusicRecError
            A play count is not a whole number from 1 to 2^63 - 1.
        """
        return self.recommend_for_many_plays([plays], k, **options)[0]

    def recommend_for_many_plays(
        self, lists: Iterable[Plays], k: int = 10, **options: Unpack[Options]
    ) -> list[Answer]:
        """Recommend tracks to many new users: the answers of `recommend_for_plays`."""
        query = self.query(k, **options)
        if query.not_played_for is not None:
            raise MusicRecError("not_played_for: plays that are given have no times; leave it out")
        known, unknown, vectors = self._folded(lists, self.tracks, self.fold_users)
        return list(self._answers(vectors, query, excluded(query, known), unknown))

    def fold_in(self, plays: Plays) -> np.ndarray:
        """Solve for the factor of a user with these plays, the item factors held fixed.

        Returns
        -------
        float32 array (rank)
            The factor that training would have given this user; zero without known tracks.
        """
        return self._folded([plays], self.tracks, self.fold_users)[2][0]

    def fold_in_track(self, plays: Plays) -> np.ndarray:
        """Solve for the factor of a new track from the play counts of its listeners, by user id.

        By the objective of training, the user factors held fixed; unknown users are left out. Ask
        `similar_tracks` with it, or multiply `user_factors` by it for the score of every user.

        Returns
        -------
        float32 array (rank)
            Zero without known listeners.
        """
        return self._folded([plays], self.users, self.fold_tracks)[2][0]

    def similar_tracks(self, track: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Tracks most like one, or like a factor, by cosine; none for a factor of zeros."""
        row = -1 if isinstance(track, np.ndarray) else self._track(track)
        found, cosines = self._nearest(self.track_cosines, row, track, k)
        names = self.names.of_indices(found)
        return tuple(map(Neighbour, self.tracks.texts_of(found), cosines, names))

    def similar_users(self, user: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Users most like one, or like a factor, by cosine; none for a factor of zeros."""
        row = -1 if isinstance(user, np.ndarray) else self._user(user)
        found, cosines = self._nearest(self.user_cosines, row, user, k)
        return tuple(map(Neighbour, self.users.texts_of(found), cosines))

    def explain(self, user_id: Id, track_id: Id) -> Explanation:
        """Say which plays carried the score of a track for a user."""
        user = self._user(user_id)
        plays = self.plays.rows(np.array([user]))
        vector, ages = self.user_factors[user], self.ages_of(user)
        return explain(self, plays, vector, self._track(track_id), ages)

    def explain_for_plays(self, plays: Plays, track_id: Id) -> Explanation:
        """Say which plays carry the score of a track for anyone with these plays."""
        known, _, vectors = self._folded([plays], self.tracks, self.fold_users)
        return explain(self, known, vectors[0], self._track(track_id))

    def _folded(
        self, lists: Iterable[Plays], ids: Ids, fold: FoldIn
    ) -> tuple[Interactions, list[tuple[str, ...]], np.ndarray]:
        """Plays of known ids, the other ids, and the factors that follow from the plays."""
        known, unknown = checked_plays(lists, ids)
        return known, unknown, fold.many(as_trained(known, self.feedback))

    def _answers(
        self,
        vectors: np.ndarray,
        query: Query,
        rows: Interactions,
        unknown: Iterable[tuple[str, ...]] = repeat(()),
        users: Iterable[int | None] = repeat(None),
    ) -> Iterator[Answer]:
        lists = self.recommender.among(query, len(vectors)).many(vectors, query, rows)
        return map(self._answer, lists, vectors, repeat(query), unknown, users)

    def _answer(
        self,
        found: Found,
        vector: np.ndarray,
        query: Query,
        unknown: tuple[str, ...] = (),
        user: int | None = None,
    ) -> Answer:
        items, scores = found[0], found[1].tolist()
        ids, names = self.tracks.texts_of(items), self.names.of_indices(items)
        times: Iterable[int | None] = repeat(None)
        if user is not None and self.timed and not query.only_new:
            times = self.times_of(np.full(len(items), user), items)
        tracks = tuple(map(Recommendation, ids, scores, names, times))
        source, note = (FACTORS, "") if vector.any() else (POPULARITY, NO_FACTORS)
        if not tracks:
            note = NOTHING_LEFT if query.k else NOTHING_ASKED
        return Answer(tracks, source, tuple(dict.fromkeys(unknown + query.unknown)), note)

    def _user(self, user_id: Id) -> int:
        user = self.users.index(user_id)
        if user < 0:
            raise MusicRecError(_unknown_user(user_id))
        return user

    def _track(self, track_id: Id) -> int:
        track = self.tracks.index(track_id)
        if track < 0:
            raise MusicRecError(
                f"track {track_id!r} is not in the bundle: nobody played it in training; "
                f"ids of tracks are {self.tracks.examples()}"
            )
        return track

    def _nearest(
        self, index: CosineIndex, row: int, given: Any, k: int
    ) -> tuple[np.ndarray, list[float]]:
        """The nearest of a row, or of the factor given where the row is -1; and their cosines."""
        rank = self.als.rank
        try:
            vector = np.ascontiguousarray(index.factors[row] if row >= 0 else given, np.float32)
        except (TypeError, ValueError):
            raise MusicRecError(f"a factor is {rank} numbers, not {given.dtype}") from None
        if vector.shape != (rank,) or not np.isfinite(vector).all():
            raise MusicRecError(f"a factor is {rank} finite numbers; this has shape {vector.shape}")
        found, cosines = index.nearest(vector, min(whole("k", k, 0), len(index.factors)), row)
        return found, cosines.tolist()


def _unknown_user(user_id: Id) -> str:
    return (
        f"user {user_id!r} is not in the bundle, which knows the users of its training alone "
        "(`bundle.users` lists them); give the user's plays instead"
    )


def _reopened(root: str, digest: str) -> Bundle:
    """Open the folder that a pickle names."""
    bundle = load_bundle(root)
    if bundle.digest != digest:
        raise MusicRecError(f"{root}: another bundle than the one that was pickled")
    return bundle
