"""Open a bundle's files and trust none of them.

Everything is opened below one folder handle, so that a bundle replaced amid the loading never
mixes with its successor, and mapped: what is deleted or renamed later stays readable.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicrec.bundle.manifest import (
    INDEX,
    LARGEST_MANIFEST,
    MANIFEST,
    Fingerprint,
    Layout,
    Manifest,
    parse_manifest,
)
from musicrec.errors import MusicRecError
from musicrec.jit.parallel import thread_count
from musicrec.search.annoy_index import AnnoyIndex, load_index

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,9})', 'fortran_order': False, 'shape': \(([0-9, ]{0,99})\), \} *\n"
)


@dataclass(frozen=True)
class Files:
    """The files of a bundle, mapped into memory.

    Attributes
    ----------
    manifest : Manifest
    digest : str
        SHA-256 of `manifest.json`, and so, through it, of the whole bundle.
    """

    root: Path
    manifest: Manifest
    digest: str
    mapped: dict[str, mmap.mmap | bytes]
    index_path: str

    def array(self, name: str) -> np.ndarray:
        """An array that lies in the file, and cannot be written to.

        Raises
        ------
        MusicRecError
            The file is no `.npy` file of the type and shape that the manifest names.
        """
        content = self.mapped[f"{name}.npy"]
        return _array(content, self.manifest.arrays[name], f"{self.root / name}.npy")

    def index(self, item_factors: np.ndarray) -> AnnoyIndex:
        """The Annoy index."""
        return load_index(self.index_path, item_factors, str(self.root / INDEX))

    def copy_to(self, folder: Path) -> None:
        """Write every file to another folder."""
        for name, content in self.mapped.items():
            (folder / name).write_bytes(content)


@contextmanager
def opened(root: Path, verify: bool) -> Iterator[Files]:
    """Open all files of a bundle; arrays and index taken from it outlive the block.

    Raises
    ------
    MusicRecError
        The folder is no bundle, or a file is missing, foreign, of another length than the
        manifest says or, with `verify`, of another content.
    """
    with ExitStack() as stack:
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise MusicRecError(f"{root}: no bundle here ({error.strerror})") from None
        stack.callback(os.close, folder)
        content = _read_manifest(folder, root)
        manifest = parse_manifest(content, str(root / MANIFEST))
        _refuse_foreign(folder, root, manifest)
        mapped: dict[str, mmap.mmap | bytes] = {}
        handles: dict[str, int] = {}
        for name, expected in manifest.files.items():
            handles[name] = _open(folder, name, root, "missing from the bundle; export it again")
            stack.callback(os.close, handles[name])
            mapped[name] = _map(handles[name], expected, root / name)
        mapped[MANIFEST] = content
        if verify:
            _verify(mapped, manifest, root)
        digest = hashlib.sha256(content).hexdigest()
        yield Files(root, manifest, digest, mapped, f"/dev/fd/{handles[INDEX]}")


def digest_of(root: Path) -> str:
    """Digest of the bundle that lies in a folder now; raises MusicRecError if there is none."""
    path = root / MANIFEST
    if not path.is_file():
        raise MusicRecError(f"{path}: no bundle here")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_manifest(folder: int, root: Path) -> bytes:
    handle = _open(folder, MANIFEST, root, "no bundle here; run dvc repro export")
    with os.fdopen(handle, "rb") as stream:
        content = stream.read(LARGEST_MANIFEST + 1)
    if len(content) > LARGEST_MANIFEST:
        raise MusicRecError(f"{root / MANIFEST}: too large for a manifest; export it again")
    return content


def _open(folder: int, name: str, root: Path, otherwise: str) -> int:
    try:
        # not blocking: a pipe in the place of a file would keep us waiting
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise MusicRecError(f"{root / name}: {otherwise}") from None
    except OSError as error:
        raise MusicRecError(f"{root / name}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise MusicRecError(f"{root / name}: not a file; export the bundle again")
    return handle


def _refuse_foreign(folder: int, root: Path, manifest: Manifest) -> None:
    for name in sorted(os.listdir(folder)):
        if name not in manifest.files and name != MANIFEST and not name.startswith("."):
            raise MusicRecError(
                f"{root / name}: not a file of this bundle, whose manifest does not list it; "
                "remove it, or export the bundle again"
            )


def _map(handle: int, expected: Fingerprint, path: Path) -> mmap.mmap:
    size = os.fstat(handle).st_size
    if size != expected.bytes or size == 0:
        raise MusicRecError(
            f"{path}: differs from the manifest ({size} bytes, not {expected.bytes}); "
            "export it again"
        )
    return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)


def _verify(mapped: dict[str, mmap.mmap | bytes], manifest: Manifest, root: Path) -> None:
    """Compare the SHA-256 of what is mapped, several files at a time."""

    def digest(name: str) -> str:
        return hashlib.sha256(mapped[name]).hexdigest()

    names = sorted(manifest.files, key=lambda name: -manifest.files[name].bytes)
    with ThreadPoolExecutor(thread_count()) as pool:
        for name, found in zip(names, pool.map(digest, names), strict=True):
            if found != manifest.files[name].sha256:
                raise MusicRecError(f"{root / name}: differs from the manifest; export it again")


def _array(content: mmap.mmap | bytes, expected: Layout, path: str) -> np.ndarray:
    """View the array of an `.npy` file, format 1.0, as `numpy.save` writes it.

    Not by `numpy.load`, which believes the header.
    """
    start = len(_MAGIC) + 2 + int.from_bytes(content[8:10], "little")
    header = _HEADER.fullmatch(content[len(_MAGIC) + 2 : start])
    if content[: len(_MAGIC)] != _MAGIC or header is None:
        raise MusicRecError(f"{path}: not an array of plain numbers in C order; export it again")
    dtype, shape = header[1].decode("latin-1"), tuple(re.findall(rb"[0-9]+", header[2]))
    wanted = tuple(str(n).encode() for n in expected.shape)
    count = int(np.prod(expected.shape, dtype=object))
    if (
        dtype != expected.dtype
        or shape != wanted
        or len(content) != start + count * np.dtype(expected.dtype).itemsize
    ):
        raise MusicRecError(
            f"{path}: not {expected.dtype} of shape {expected.shape}, as the manifest says; "
            "export it again"
        )
    array = np.empty(0, expected.dtype)
    if count:
        array = np.frombuffer(content, expected.dtype, count, start)
    array = array.reshape(expected.shape)
    array.flags.writeable = False
    return array
