"""Open a bundle and compare every file with the manifest: what is loaded is what was exported.

Everything is opened below one folder handle, so that a bundle replaced amid the loading never
mixes with its successor, and mapped: what is deleted or renamed later stays readable.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError

from musicrec.als.fold_in import FoldIn
from musicrec.bundle.ids import Ids, Names
from musicrec.bundle.manifest import (
    INDEX,
    LARGEST_MANIFEST,
    MANIFEST,
    NO_TIME,
    SENTINEL_K,
    Layout,
    Manifest,
    parse_manifest,
)
from musicrec.bundle.query import Query, excluded, union_rows
from musicrec.bundle.recommend import Recommender, find_times
from musicrec.bundle.similar import CosineIndex
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import thread_count
from musicrec.params import ALSParams, Block, FeedbackParams, trained_with
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex

ENOUGH = 0.5  # of what Annoy found at export must be found again; another build rounds differently
Content = Mapping[str, mmap.mmap | bytes]
B = TypeVar("B", bound=Block)
M = TypeVar("M", bound="Model")


@dataclass(frozen=True, repr=False, eq=False)
class Model:
    """The files of a bundle and what was prepared from them; nothing in it changes.

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
    names : Names
        Of tracks, by id; empty without the column `name` in `export.groups`.
    group_ids : Ids or None
        By the numbers of `groups`.
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
    names: Names
    group_ids: Ids | None
    als: ALSParams
    feedback: FeedbackParams
    recommender: Recommender
    user_cosines: CosineIndex
    track_cosines: CosineIndex
    fold_users: FoldIn
    fold_tracks: FoldIn

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
    def timed(self) -> bool:
        """Whether plays have the time they were last played."""
        return "seen_last_played" in self.arrays

    @cached_property
    def newest(self) -> int:
        """When the newest play was, seconds UTC; 0 where no time is known."""
        return int(self.arrays["seen_last_played"].max(initial=0))

    def ages_of(self, user: int) -> np.ndarray | None:
        """Seconds from each of a user's plays to the newest one; None where they have no times."""
        if not self.timed:
            return None
        start, stop = self.plays.indptr[user : user + 2]
        return ages(self.arrays["seen_last_played"][start:stop], self.newest)

    def excluded(
        self, query: Query, users: np.ndarray, exclusions: Interactions | None = None
    ) -> Interactions:
        """Tracks that users (int64 array (n)) must not get, for what they played, as n rows.

        `exclusions`, of all users, are those of each beside what the query excludes for all.
        """
        if query.not_played_for is None:
            rows = excluded(query, self.plays.rows(users))
        else:
            rows = self.plays._replace(counts=self.arrays["seen_last_played"]).rows(users)
            recent = rows.counts > self.newest - query.not_played_for
            rows = rows.filtered(recent | (rows.counts == NO_TIME))
        return rows if exclusions is None else union_rows(rows, exclusions.rows(users))

    def times_of(self, users: np.ndarray, items: np.ndarray) -> list[int | None]:
        """When users last played tracks, seconds UTC; None where they did not or it is unknown."""
        times = np.empty(len(users), np.int64)
        plays = self.plays._replace(counts=self.arrays["seen_last_played"])
        find_times(plays, users.astype(np.int32), items, times)
        return [None if time == NO_TIME else time for time in times.tolist()]


class _Files(NamedTuple):
    """An open bundle, every file as its manifest says."""

    root: Path
    manifest: Manifest
    content: Content
    index_path: str


def load_model(folder: str | os.PathLike[str], in_memory: bool, kind: type[M]) -> M:
    """Load a bundle as a `Model` or a class of it; see `musicrec.bundle.load_bundle`."""
    root = Path(folder).absolute()
    with _opened(root) as files:
        if not in_memory:
            return _prepared(files, root, kind)
        return load_content(files.content, root, kind)


def load_content(content: Content, root: Path, kind: type[M]) -> M:
    """Load a model from the content of its files, which lay in `root`."""
    with tempfile.TemporaryDirectory(prefix="musicrec-bundle-") as private:
        for name, data in content.items():
            (Path(private) / name).write_bytes(data)
        with _opened(Path(private)) as files:
            return _prepared(files, root, kind)


def ages(times: np.ndarray, newest: int) -> np.ndarray:
    """Seconds from each time to the newest one, 0 where it is not known."""
    return np.where(times == NO_TIME, 0, newest - times)


def digest_of(root: Path) -> str:
    """Digest of the bundle that lies in a folder now; raises MusicRecError if there is none."""
    path = root / MANIFEST
    if not path.is_file():
        raise MusicRecError(f"{path}: no bundle here")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _opened(root: Path) -> Iterator[_Files]:
    """Open all files of a bundle; arrays and index taken from it outlive the block.

    Raises
    ------
    MusicRecError
        The folder is no bundle, or a file is missing or not as the manifest says.
    """
    with ExitStack() as stack:
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise MusicRecError(f"{root}: no bundle here ({error.strerror})") from None
        stack.callback(os.close, folder)

        def opened(name: str, otherwise: str) -> int:
            try:
                handle = os.open(name, os.O_RDONLY, dir_fd=folder)
            except OSError as error:
                raise MusicRecError(f"{root / name}: {error.strerror}; {otherwise}") from None
            stack.callback(os.close, handle)
            return handle

        first = opened(MANIFEST, "no bundle here, run dvc repro export")
        size = os.fstat(first).st_size
        if size > LARGEST_MANIFEST:
            raise MusicRecError(f"{root / MANIFEST}: too large for a manifest; export it again")
        text = os.read(first, size)
        manifest = parse_manifest(text, str(root / MANIFEST))
        handles = {name: opened(name, "export the bundle again") for name in manifest.files}
        content: dict[str, mmap.mmap | bytes] = {}
        for name, handle in handles.items():
            if os.fstat(handle).st_size != manifest.files[name].bytes:
                raise _differs(root / name)
            content[name] = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        _compare(content, manifest, root)
        content[MANIFEST] = text
        yield _Files(root, manifest, content, f"/dev/fd/{handles[INDEX]}")


def _compare(content: Content, manifest: Manifest, root: Path) -> None:
    """Compare the SHA-256 of what is mapped with the manifest's, several files at a time."""
    names = sorted(content, key=lambda name: -len(content[name]))
    with ThreadPoolExecutor(thread_count()) as pool:
        found = pool.map(lambda name: hashlib.sha256(content[name]).hexdigest(), names)
        for name, digest in zip(names, found, strict=True):
            if digest != manifest.files[name].sha256:
                raise _differs(root / name)


def _differs(path: Path) -> MusicRecError:
    return MusicRecError(f"{path}: differs from the manifest; export the bundle again")


def _array(content: mmap.mmap | bytes, expected: Layout, path: str) -> np.ndarray:
    """View the array of an `.npy` file, as `numpy.save` writes it, where it lies."""
    stream = io.BytesIO(content[:4096])
    try:
        np.lib.format.read_magic(stream)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        shape, fortran_order, dtype = (), False, np.dtype(object)
    size = len(content) - stream.tell()
    if (dtype.str, shape, fortran_order) != (expected.dtype, expected.shape, False) or size != int(
        np.prod(shape, dtype=object)
    ) * dtype.itemsize:
        raise MusicRecError(
            f"{path}: not {expected.dtype} of shape {expected.shape}, as the manifest says; "
            "export it again"
        )
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _prepared(files: _Files, root: Path, kind: type[M]) -> M:
    """Prepare all that answers need; errors and pickles name `root`."""
    manifest, where = files.manifest, f"{files.root}/{MANIFEST}"
    als = _trained_with(manifest, ALSParams, where)
    if als.rank != manifest.sizes.rank:
        raise MusicRecError(
            f"{where}: factors of rank {manifest.sizes.rank} were not trained with als.rank = "
            f"{als.rank}; export it again"
        )
    arrays = {
        name: _array(files.content[f"{name}.npy"], expected, f"{files.root}/{name}.npy")
        for name, expected in manifest.arrays.items()
    }

    def ids(of: str) -> Ids:
        return Ids(of, arrays[f"{of}_id_text"], arrays[f"{of}_id_starts"])

    tracks = ids("track")
    user_factors, item_factors = arrays["user_factors"], arrays["item_factors"]
    exact = ExactIndex(item_factors)
    annoy = AnnoyIndex(files.index_path, item_factors, f"{files.root}/{INDEX}")
    model = kind(
        root=root,
        digest=hashlib.sha256(files.content[MANIFEST]).hexdigest(),
        manifest=manifest,
        content=files.content,
        arrays=arrays,
        users=ids("user"),
        tracks=tracks,
        names=Names(
            tracks,
            arrays.get("track_name_text", np.empty(0, np.uint8)),
            arrays.get("track_name_starts", np.zeros(1, np.int64)),
        ),
        group_ids=ids("group") if "track_groups" in arrays else None,
        als=als,
        feedback=_trained_with(manifest, FeedbackParams, where),
        recommender=Recommender(exact, annoy, arrays["listeners"], arrays.get("track_groups")),
        user_cosines=CosineIndex(user_factors),
        track_cosines=CosineIndex(item_factors),
        fold_users=FoldIn(item_factors, als, arrays["item_gram"]),
        fold_tracks=FoldIn(user_factors, als, arrays["user_gram"]),
    )
    _ask_sentinels(model, exact, annoy, where)
    return model


def _trained_with(manifest: Manifest, block: type[B], where: str) -> B:
    """Read a block of parameters that the manifest holds."""
    try:
        return trained_with(getattr(manifest, block.block), block)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        key = ".".join(map(str, (block.block, *mistake["loc"])))
        raise MusicRecError(f"{where}: {key}: {mistake['msg']}; export it again") from None


def _ask_sentinels(model: Model, exact: ExactIndex, annoy: AnnoyIndex, where: str) -> None:
    """Raise MusicRecError unless this machine answers the sentinel users as the exporting one."""
    tracks = model.tracks
    for sentinel in model.manifest.sentinels:
        user = model.users.index(sentinel.user)
        if user < 0:
            raise MusicRecError(f"{where}: user {sentinel.user!r} of its sentinels is not there")
        vector = model.user_factors[user]
        best, _ = exact.search_one(vector, SENTINEL_K, model.plays.row(user))
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
