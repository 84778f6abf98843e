"""Load an exported bundle and ask it.

from musicrec.bundle import load_bundle
bundle = load_bundle("data/bundle")
bundle.recommend("b80344d063b5ccb3212f76538f3d9e43d87dca9e", k=10)
bundle.recommend_for_plays({"TRIQAUQ128F42435AD": 3}, k=10)      # a user it has never seen
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from musicrec.als.feedback import as_trained
from musicrec.als.fold_in import FoldIn
from musicrec.bundle.explain import Contribution, Explanation, ages, parts
from musicrec.bundle.ids import Id, Ids, texts_of
from musicrec.bundle.manifest import (
    INDEX,
    NO_TIME,
    SENTINEL_K,
    Content,
    Files,
    Manifest,
    digest_of,
    opened,
)
from musicrec.bundle.query import (
    FACTORS,
    NO_FACTORS,
    NOTHING_ASKED,
    NOTHING_LEFT,
    POPULARITY,
    Answer,
    Neighbour,
    Options,
    Plays,
    Query,
    Recommendation,
    checked_plays,
    checked_query,
    rows_of_keys,
    whole,
)
from musicrec.bundle.recommend import CosineIndex, Recommender, find_times
from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import pair_keys
from musicrec.interactions.matrix import Interactions
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex
from musicrec.storage.outputs import MANIFEST

ENOUGH = 0.5  # of what Annoy found at export must be found again; another build rounds differently


def load_bundle(folder: str | os.PathLike[str], *, in_memory: bool = False) -> Bundle:
    """Load a bundle: every file is compared with the manifest, open and prepared on return.

    A mapped bundle may be moved, deleted or replaced by another folder; but files that are
    overwritten in place (`cp` over them) change under it, unless `in_memory` copies them first.

    Raises
    ------
    MusicRecError
        The folder is no bundle, is of another format, or a file is missing, cut, altered or of
        another model.
    """
    root = Path(folder).absolute()
    with opened(root) as files:
        return _load_content(files.content, root) if in_memory else _prepared(files, root)


def changed(bundle: Bundle) -> bool:
    """Whether another bundle lies where a loaded one came from; MusicRecError if none does."""
    return digest_of(bundle.root) != bundle.digest


@dataclass(frozen=True, repr=False, eq=False)
class Bundle:
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

    Attributes
    ----------
    root : Path
        Where the bundle lay; only errors and pickles use it.
    digest : str
        SHA-256 of the manifest, and so, through it, of the whole bundle.
    content : dict of str to bytes
        The files, mapped, by name.
    arrays : dict of str to array
        Mapped, by the names of `musicrec.bundle.manifest.layout`.
    users, tracks : Ids
        Row i of the factors is id i.
    fold_users, fold_tracks : FoldIn
        Factors of users by their plays, and of tracks by their listeners.
    """

    root: Path
    digest: str
    manifest: Manifest
    content: Content
    arrays: dict[str, np.ndarray]
    users: Ids
    tracks: Ids
    recommender: Recommender
    user_cosines: CosineIndex
    track_cosines: CosineIndex
    fold_users: FoldIn
    fold_tracks: FoldIn

    def __repr__(self) -> str:
        """Say what it is."""
        sizes = (
            f"{len(self.users):,} users, {len(self.tracks):,} tracks, rank {self.manifest.als.rank}"
        )
        return f"<Bundle {self.root}: {sizes}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by reference to the folder where it is there still, else by content."""
        with suppress(MusicRecError):
            if not changed(self):
                return _reopened, (str(self.root), self.digest)
        content = {name: bytes(data) for name, data in self.content.items()}
        return _load_content, (content, self.root)

    @property
    def user_factors(self) -> np.ndarray:
        """float32 array (n_users, rank), mapped."""
        return self.arrays["user_factors"]

    @property
    def item_factors(self) -> np.ndarray:
        """float32 array (n_items, rank), mapped."""
        return self.arrays["item_factors"]

    @property
    def groups(self) -> np.ndarray | None:
        """Group of every track, int32 array (n_items), below 0 for none; None without groups."""
        return self.arrays.get("track_groups")

    @property
    def plays(self) -> Interactions:
        """Training plays."""
        of = self.arrays
        rows = of["seen_indptr"], of["seen_indices"], of["seen_counts"]
        return Interactions(*rows, len(self.tracks))

    @property
    def last_played(self) -> Interactions:
        """Training plays, with when they were last in place of counts: seconds UTC or `NO_TIME`."""
        return self.plays._replace(counts=self.arrays["seen_last_played"])

    @property
    def timed(self) -> bool:
        """Whether plays have the time they were last played."""
        return "seen_last_played" in self.arrays

    @cached_property
    def newest(self) -> int:
        """When the newest play was, seconds UTC; 0 where no time is known."""
        return int(self.last_played.counts.max(initial=0))

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of tracks by id, of those that have one."""
        names = self.names_of(np.arange(len(self.tracks)))
        return {track: name for track, name in zip(self.tracks, names, strict=True) if name}

    def names_of(self, items: np.ndarray) -> list[str | None]:
        """Names of tracks, None for those that have none."""
        if "track_name_text" not in self.arrays:
            return [None] * len(items)
        return [name or None for name in self._texts("track_name", items)]

    def _texts(self, of: str, rows: np.ndarray) -> list[str]:
        return texts_of(self.arrays[f"{of}_text"], self.arrays[f"{of}_starts"], rows)

    def excluded(
        self, query: Query, users: np.ndarray, exclusions: Interactions | None = None
    ) -> Interactions:
        """Tracks that users (int64 array (n)) must not get, for what they played, as n rows.

        `exclusions`, of all users, are those of each beside what the query excludes for all.
        """
        rows = _rows(self.plays, users)
        if query.not_played_for is not None:
            times = _rows(self.last_played, users).counts
            recent = times > self.newest - query.not_played_for
            rows = rows.filtered(recent | (times == NO_TIME))
        elif not query.exclude_seen:
            rows = _none_of(rows)
        if exclusions is None:
            return rows
        keys = np.concatenate((rows.keys(), exclusions.rows(users).keys()))
        return rows_of_keys(keys, len(users), len(self.tracks))

    def times_of(self, users: np.ndarray, items: np.ndarray) -> list[int | None]:
        """When users last played tracks, seconds UTC; None where they did not or it is unknown."""
        times = np.empty(len(users), np.int64)
        find_times(self.last_played, users.astype(np.int32), items, times)
        return [None if time == NO_TIME else time for time in times.tolist()]

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
        number = -1 if self.groups is None else self.groups[self.tracks.require(track_id)]
        return None if number < 0 else self._texts("group_id", np.array([number]))[0]

    def name(self, track_id: Id) -> str | None:
        """Name of a track; None where it has none."""
        return self.names_of(np.array([self.tracks.require(track_id)]))[0]

    def recommend(self, user_id: Id, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to a user of the training data.

        A user whose factor is zero (no play reached feedback.min_count) gets the most popular
        tracks, and the answer says so.
        """
        query = self.query(k, **options)
        return self._answers_to(np.array([self.users.require(user_id)]), query)[0]

    def recommend_many(
        self,
        user_ids: Iterable[Id],
        k: int = 10,
        exclude_for: Mapping[Any, Iterable[Id]] | None = None,
        **options: Unpack[Options],
    ) -> list[Answer]:
        """Recommend tracks to many users, on all cores: the answers of `recommend`, in their order.

        An unknown user gets an empty answer, whose `unknown` holds the id. `exclude_for` has, by
        user id, tracks that one user must not get.
        """
        query = self.query(k, **options)
        given = list(user_ids)
        users = self.users.find(given)
        exclusions = self.exclusions(exclude_for) if exclude_for else None
        found = iter(self._answers_to(users[users >= 0], query, exclusions))
        return [
            next(found)
            if user >= 0
            else Answer((), unknown=(str(user_id),), note=self.users.unknown(user_id))
            for user, user_id in zip(users.tolist(), given, strict=True)
        ]

    def exclusions(self, given: Mapping[Any, Iterable[Id]]) -> Interactions:
        """Tracks that some users must not get, as rows of all users; unknown ids are left out."""
        keys = [np.empty(0, np.int64)]
        for user, track_ids in zip(self.users.find(list(given)), given.values(), strict=True):
            if user >= 0:
                tracks = self.tracks.indices(track_ids).known
                keys.append(pair_keys(np.full(len(tracks), user), tracks))
        return rows_of_keys(np.concatenate(keys), len(self.users), len(self.tracks))

    def recommend_for_plays(self, plays: Plays, k: int = 10, **options: Unpack[Options]) -> Answer:
        """Recommend tracks to anyone, from play counts by track id, by folding the user in.

        Tracks that the model does not know are named in the answer's `unknown`. Without plays that
        tell the model anything the tracks are the most popular ones, and the answer says so. A play
        count is a whole number from 1 to 2^63 - 1.
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
        rows = known if query.exclude_seen else _none_of(known)
        return self._answers(vectors, query, rows, unknown)

    def fold_in(self, plays: Plays) -> np.ndarray:
        """Solve for the factor (float32, rank) that training would have given such a user.

        The item factors are held fixed; zero without known tracks.
        """
        return self._folded([plays], self.tracks, self.fold_users)[2][0]

    def fold_in_track(self, plays: Plays) -> np.ndarray:
        """Solve for the factor of a new track from the play counts of its listeners, by user id.

        By the objective of training, the user factors held fixed; unknown users are left out; zero
        without known listeners. Ask `similar_tracks` with it, or multiply `user_factors` by it for
        the score of every user.
        """
        return self._folded([plays], self.users, self.fold_tracks)[2][0]

    def similar_tracks(self, track: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Tracks most like one, or like a factor, by cosine; none for a factor of zeros."""
        found, cosines = self._nearest(self.tracks, self.track_cosines, track, k)
        return tuple(map(Neighbour, self.tracks.texts_of(found), cosines, self.names_of(found)))

    def similar_users(self, user: Id | np.ndarray, k: int = 10) -> tuple[Neighbour, ...]:
        """Users most like one, or like a factor, by cosine; none for a factor of zeros."""
        found, cosines = self._nearest(self.users, self.user_cosines, user, k)
        return tuple(map(Neighbour, self.users.texts_of(found), cosines))

    def explain(self, user_id: Id, track_id: Id) -> Explanation:
        """Say which plays carried the score of a track for a user."""
        users, old = np.array([self.users.require(user_id)]), None
        if self.timed:
            old = ages(_rows(self.last_played, users).counts, self.newest)
        return self._explained(_rows(self.plays, users), self.user_factors[users[0]], track_id, old)

    def explain_for_plays(self, plays: Plays, track_id: Id) -> Explanation:
        """Say which plays carry the score of a track for anyone with these plays."""
        known, _, vectors = self._folded([plays], self.tracks, self.fold_users)
        return self._explained(known, vectors[0], track_id)

    def _explained(
        self, plays: Interactions, user: np.ndarray, track_id: Id, old: np.ndarray | None = None
    ) -> Explanation:
        """Explain a score for one user: their plays (1, n_items), factor, and the plays' ages."""
        track, feedback = self.tracks.require(track_id), self.manifest.feedback
        kept = plays.filtered(plays.counts >= feedback.min_count)
        ratings = as_trained(plays, feedback, old)
        shares = parts(self.fold_users, ratings, user, self.item_factors[track])
        score = float(np.dot(user.astype(np.float64), self.item_factors[track]))
        order = np.argsort(-shares, kind="stable")
        ids, counts = self.tracks.texts_of(kept.indices[order]), kept.counts[order].tolist()
        played = tuple(map(Contribution, ids, map(int, counts), shares[order].tolist()))
        return Explanation(self.tracks[track], score, played, score - float(shares.sum()))

    def _folded(
        self, lists: Iterable[Plays], ids: Ids, fold: FoldIn
    ) -> tuple[Interactions, list[tuple[str, ...]], np.ndarray]:
        """Plays of known ids, the other ids, and the factors that follow from the plays."""
        known, unknown = checked_plays(lists, ids)
        return known, unknown, fold.many(as_trained(known, self.manifest.feedback))

    def _answers_to(
        self, users: np.ndarray, query: Query, exclusions: Interactions | None = None
    ) -> list[Answer]:
        rows = self.excluded(query, users, exclusions)
        return self._answers(self.user_factors[users], query, rows, repeat(()), users.tolist())

    def _answers(
        self,
        vectors: np.ndarray,
        query: Query,
        rows: Interactions,
        unknown: Iterable[tuple[str, ...]],
        users: Iterable[int] = repeat(-1),
    ) -> list[Answer]:
        """Answer for factors; `users` are those of the bundle whose factors they are."""
        lists = self.recommender.among(query, len(vectors)).many(vectors, query, rows)
        timed = self.timed and (query.not_played_for is not None or not query.exclude_seen)
        answers = []
        for (items, scores), vector, others, user in zip(
            lists, vectors, unknown, users, strict=False
        ):
            ids, names = self.tracks.texts_of(items), self.names_of(items)
            times: Iterable[int | None] = repeat(None)
            if timed and user >= 0:
                times = self.times_of(np.full(len(items), user), items)
            tracks = tuple(map(Recommendation, ids, scores.tolist(), names, times))
            source, note = (FACTORS, "") if vector.any() else (POPULARITY, NO_FACTORS)
            if not tracks:
                note = NOTHING_LEFT if query.k else NOTHING_ASKED
            answers.append(
                Answer(tracks, source, tuple(dict.fromkeys(others + query.unknown)), note)
            )
        return answers

    def _nearest(
        self, ids: Ids, index: CosineIndex, given: Id | np.ndarray, k: int
    ) -> tuple[np.ndarray, list[float]]:
        """The nearest of an id or of a factor, and their cosines."""
        if isinstance(given, np.ndarray):
            row, vector = -1, self._checked_factor(given)
        else:
            row = ids.require(given)
            vector = index.factors[row]
        found, cosines = index.nearest(vector, min(whole("k", k, 0), len(ids)), row)
        return found, cosines.tolist()

    def _checked_factor(self, given: np.ndarray) -> np.ndarray:
        rank = self.manifest.als.rank
        if given.dtype.kind in "fiu" and given.shape == (rank,):
            factor = np.ascontiguousarray(given, np.float32)
            if np.isfinite(factor).all():
                return factor
        raise MusicRecError(
            f"a factor is {rank} finite numbers; this is of type {given.dtype}, shape {given.shape}"
        )


def _rows(plays: Interactions, users: np.ndarray) -> Interactions:
    """Rows of some users; of one, in no time."""
    if len(users) != 1:
        return plays.rows(users)
    start, stop = plays.indptr[users[0] : users[0] + 2].tolist()
    row = plays.indices[start:stop], plays.counts[start:stop]
    return Interactions(np.array([0, stop - start]), *row, plays.n_items)


def _none_of(rows: Interactions) -> Interactions:
    return rows.filtered(np.zeros(len(rows.indices), bool))


def _reopened(root: str, digest: str) -> Bundle:
    """Open the folder that a pickle names."""
    bundle = load_bundle(root)
    if bundle.digest != digest:
        raise MusicRecError(f"{root}: another bundle than the one that was pickled")
    return bundle


def _load_content(content: Content, root: Path) -> Bundle:
    """Load a bundle from the content of its files, which lay in `root`."""
    with tempfile.TemporaryDirectory(prefix="musicrec-bundle-") as private:
        for name, data in content.items():
            (Path(private) / name).write_bytes(data)
        with opened(Path(private)) as files:
            return _prepared(files, root)


def _prepared(files: Files, root: Path) -> Bundle:
    """Prepare all that answers need; errors and pickles name `root`."""
    manifest, arrays = files.manifest, files.arrays
    where = f"{files.root}/{MANIFEST}"

    def ids(of: str) -> Ids:
        return Ids(of, arrays[f"{of}_id_text"], arrays[f"{of}_id_starts"])

    users, items = arrays["user_factors"], arrays["item_factors"]
    exact = ExactIndex(items)
    annoy = AnnoyIndex(files.index_path, items, f"{files.root}/{INDEX}")
    bundle = Bundle(
        root=root,
        digest=hashlib.sha256(files.content[MANIFEST]).hexdigest(),
        manifest=manifest,
        content=files.content,
        arrays=arrays,
        users=ids("user"),
        tracks=ids("track"),
        recommender=Recommender(exact, annoy, arrays["listeners"], arrays.get("track_groups")),
        user_cosines=CosineIndex(users),
        track_cosines=CosineIndex(items),
        fold_users=FoldIn(items, manifest.als, arrays["item_gram"]),
        fold_tracks=FoldIn(users, manifest.als, arrays["user_gram"]),
    )
    _ask_sentinels(bundle, exact, annoy, where)
    return bundle


def _ask_sentinels(bundle: Bundle, exact: ExactIndex, annoy: AnnoyIndex, where: str) -> None:
    """Raise MusicRecError unless this machine answers the sentinel users as the exporting one."""
    tracks = bundle.tracks
    for sentinel in bundle.manifest.sentinels:
        user = bundle.users.index(sentinel.user)
        if user < 0:
            raise MusicRecError(f"{where}: user {sentinel.user!r} of its sentinels is not there")
        vector = bundle.user_factors[user]
        best, _ = exact.search_one(vector, SENTINEL_K, bundle.plays.row(user))
        if tuple(tracks.texts_of(best)) != sentinel.exact:
            raise MusicRecError(
                f"{where}: user {sentinel.user!r} gets other tracks than at export; "
                "export the bundle again"
            )
        found = tracks.texts_of(annoy.probe(vector, SENTINEL_K))
        again = len(set(found) & set(sentinel.near))
        if again < ENOUGH * len(sentinel.near):
            raise MusicRecError(
                f"{where}: the Annoy index finds {again} of {len(sentinel.near)} neighbours "
                "known from its export; run make setup, which compiles Annoy anew"
            )
