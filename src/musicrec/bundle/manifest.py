"""What a bundle says of itself: its files, their shapes, what it must answer; and whether it is so.

A bundle's arrays are `.npy` files; every one of them follows from six sizes. To read a bundle every
file is compared with the manifest. All are opened below one folder handle, so that a bundle
replaced amid the loading never mixes with its successor, and mapped: what is deleted or renamed
later stays readable.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from musicrec.errors import MusicRecError
from musicrec.jit.parallel import thread_count
from musicrec.params import ALSParams, ExportParams, FeedbackParams, without_gone
from musicrec.storage.outputs import MANIFEST

FORMAT: Literal[3] = 3  # what is written; format 2, of version 0.1, is read too
CARD = "MODEL_CARD.md"
INDEX = "index.ann"
TABLES = ("items.parquet", "users.parquet")  # the id maps once more, for other tools
SENTINEL_K = 10
NO_TIME = -(2**63)  # stands for a time that is not known
_MAKE = "run dvc repro export in the clone, or name the folder of a bundle"
_AGAIN = "take an undamaged copy of the bundle, or export it again (dvc repro --force export)"
Content = Mapping[str, mmap.mmap | bytes]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Sizes(_Part):
    """From which the shape of every array follows."""

    n_users: int
    n_items: int
    rank: int
    n_plays: int
    user_id_bytes: int
    track_id_bytes: int
    n_groups: int | None = None
    group_id_bytes: int | None = None
    track_name_bytes: int | None = None
    timed: Literal[True] | None = None


class Fingerprint(_Part):
    """Length and SHA-256 of a file."""

    bytes: Annotated[int, Field(ge=1)]
    sha256: str


class Sentinel(_Part):
    """A question whose answer is known: who asks, and the track ids of the right answers.

    `exact` leaves out the tracks played; `near` is what Annoy alone finds among all but the head
    of the catalogue (`musicrec.search.annoy_index`).
    """

    user: str
    exact: tuple[str, ...]
    near: tuple[str, ...]


class Manifest(_Part):
    """`manifest.json`.

    `als` and `feedback` are as `train` used them. `data` holds the fingerprints of the files the
    plays came from. `published` is there in a copy that `musicrec publish` made: git revision and
    metrics, neither of which follows from the bundle's inputs. `updated` is there in a bundle that
    `musicrec update` made of another one, the SHA-256 of whose manifest is its `parent`.
    """

    format: Literal[2, 3]
    sizes: Sizes
    arrays: dict[str, Any]  # of `layout`
    files: dict[str, Fingerprint]
    als: Annotated[ALSParams, BeforeValidator(without_gone(ALSParams))]
    feedback: Annotated[FeedbackParams, BeforeValidator(without_gone(FeedbackParams))]
    export: Annotated[ExportParams, BeforeValidator(without_gone(ExportParams))]
    data: dict[str, Fingerprint]
    versions: dict[str, str]
    sentinels: tuple[Sentinel, ...]
    published: dict[str, Any] | None = None
    updated: dict[str, Any] | None = None

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Blocks `feedback` and `als` as `train` wrote them, and `export`."""
        blocks: dict[str, Any] = {"feedback": self.feedback, "als": self.als}
        known = {
            k: block.model_dump(mode="json", exclude_unset=True) for k, block in blocks.items()
        }
        return known | {"export": self.export.model_dump(mode="json")}


def layout(sizes: Sizes, version: int = FORMAT) -> dict[str, dict[str, Any]]:
    """`dtype` and `shape` of every array, by the name of its file without `.npy`.

    docs/serving.md says what they are. Rows of `seen_*` have their tracks ascending, counts are as
    the solver read them, times seconds UTC or `NO_TIME`. Text i, of an id or a name (empty for
    none), is UTF-8 and bytes `starts[i]` to `starts[i + 1]`. Groups below 0 stand for none. Format
    2 has ids in the order of their bytes beside them, which nothing reads.
    """
    users, items, rank, plays = sizes.n_users, sizes.n_items, sizes.rank, sizes.n_plays
    texts = {
        "user_id": (users, sizes.user_id_bytes),
        "track_id": (items, sizes.track_id_bytes),
        "group_id": (sizes.n_groups, sizes.group_id_bytes or 0),
        "track_name": (items, sizes.track_name_bytes),
    }
    arrays: dict[str, tuple[str, list[int]]] = {
        "user_factors": ("<f4", [users, rank]),
        "item_factors": ("<f4", [items, rank]),
        "user_gram": ("<f8", [rank, rank]),
        "item_gram": ("<f8", [rank, rank]),
        "seen_indptr": ("<i8", [users + 1]),
        "seen_indices": ("<i4", [plays]),
        "seen_counts": ("<f4", [plays]),
        "listeners": ("<i8", [items]),
    }
    for name, (n, characters) in texts.items():
        if n is not None and characters is not None:
            arrays[f"{name}_text"] = ("|u1", [characters])
            arrays[f"{name}_starts"] = ("<i8", [n + 1])
    if version == 2:
        arrays |= {"user_id_order": ("<i4", [users]), "track_id_order": ("<i4", [items])}
    if sizes.timed:
        arrays["seen_last_played"] = ("<i8", [plays])
    if sizes.n_groups is not None:
        arrays["track_groups"] = ("<i4", [items])
    return {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in arrays.items()}


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    MusicRecError
        It is of another format, not JSON, or says what cannot be.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        if found["loc"] == ("format",):
            raise MusicRecError(
                f"{where}: bundle format {str(found['input'])[:40]}, but this version reads 2 and "
                f"{FORMAT}; export it again"
            ) from None
        key = "".join(f"{part}." for part in found["loc"])[:-1]
        mistake = f"{key}: {found['msg']}" if key else found["msg"]
        raise MusicRecError(f"{where}: not a manifest ({mistake}); export it again") from None
    if manifest.arrays != layout(manifest.sizes, manifest.format):
        raise MusicRecError(f"{where}: the arrays do not fit the sizes; export it again")
    if manifest.als.rank != manifest.sizes.rank:
        raise MusicRecError(
            f"{where}: factors of rank {manifest.sizes.rank} were not trained with als.rank = "
            f"{manifest.als.rank}; export it again"
        )
    needed = {INDEX, *TABLES, *(f"{name}.npy" for name in manifest.arrays)}
    if wrong := sorted((set(manifest.files) - {CARD}) ^ needed):
        raise MusicRecError(
            f"{where}: lists {wrong[0]!r}, which is no file of a bundle, or does not list it; "
            "export it again"
        )
    return manifest


class Files(NamedTuple):
    """An open bundle, every file as its manifest says; content and arrays are mapped."""

    root: Path
    manifest: Manifest
    content: Content
    arrays: dict[str, np.ndarray]
    index_path: str


def digest_of(root: Path) -> str:
    """Digest of the bundle that lies in a folder now; raises MusicRecError if there is none."""
    path = root / MANIFEST
    if not path.is_file():
        raise MusicRecError(f"{path}: no bundle here; {_MAKE}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def opened(root: Path) -> Iterator[Files]:
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
            raise MusicRecError(f"{root}: no bundle here ({error.strerror}); {_MAKE}") from None
        stack.callback(os.close, folder)

        def handle_of(name: str, otherwise: str) -> int:
            try:
                handle = os.open(name, os.O_RDONLY, dir_fd=folder)
            except OSError as error:
                raise MusicRecError(f"{root / name}: {error.strerror}; {otherwise}") from None
            stack.callback(os.close, handle)
            return handle

        first = handle_of(MANIFEST, f"no bundle here, {_MAKE}")
        text = os.read(first, os.fstat(first).st_size)
        manifest = parse_manifest(text, str(root / MANIFEST))
        handles = {name: handle_of(name, _AGAIN) for name in manifest.files}
        content: dict[str, mmap.mmap | bytes] = {}
        for name, handle in handles.items():
            if os.fstat(handle).st_size != manifest.files[name].bytes:
                raise _differs(root / name)
            content[name] = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        _compare(content, manifest, root)
        content[MANIFEST] = text
        arrays = {
            name: _array(handles[f"{name}.npy"], expected, root / f"{name}.npy")
            for name, expected in manifest.arrays.items()
        }
        yield Files(root, manifest, content, arrays, f"/dev/fd/{handles[INDEX]}")


def _compare(content: Content, manifest: Manifest, root: Path) -> None:
    """Compare the SHA-256 of what is mapped with the manifest's, several files at a time."""
    names = sorted(content, key=lambda name: -len(content[name]))
    with ThreadPoolExecutor(thread_count()) as pool:
        found = pool.map(lambda name: hashlib.sha256(content[name]).hexdigest(), names)
        for name, digest in zip(names, found, strict=True):
            if digest != manifest.files[name].sha256:
                raise _differs(root / name)


def _differs(path: Path) -> MusicRecError:
    return MusicRecError(f"{path}: differs from the manifest; {_AGAIN}")


def _array(handle: int, expected: Mapping[str, Any], path: Path) -> np.ndarray:
    """Map the array of an `.npy` file, which is never unpickled."""
    try:
        array = np.lib.format.open_memmap(f"/dev/fd/{handle}", mode="r").view(np.ndarray)
    except ValueError:
        array = np.empty(0, object)
    found = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if found != expected or not array.flags.c_contiguous:
        raise MusicRecError(
            f"{path}: not {expected['dtype']} of shape {expected['shape']}, as the manifest says; "
            "export it again"
        )
    return array
