"""Open a bundle and compare every file with the manifest: what is loaded is what was exported.

Everything is opened below one folder handle, so that a bundle replaced amid the loading never
mixes with its successor, and mapped: what is deleted or renamed later stays readable.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musicrec.bundle.manifest import INDEX, Manifest, parse_manifest
from musicrec.errors import MusicRecError
from musicrec.jit.parallel import thread_count
from musicrec.storage.outputs import MANIFEST

Content = Mapping[str, mmap.mmap | bytes]


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
        raise MusicRecError(f"{path}: no bundle here")
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
            raise MusicRecError(f"{root}: no bundle here ({error.strerror})") from None
        stack.callback(os.close, folder)

        def handle_of(name: str, otherwise: str) -> int:
            try:
                handle = os.open(name, os.O_RDONLY, dir_fd=folder)
            except OSError as error:
                raise MusicRecError(f"{root / name}: {error.strerror}; {otherwise}") from None
            stack.callback(os.close, handle)
            return handle

        first = handle_of(MANIFEST, "no bundle here, run dvc repro export")
        text = os.read(first, os.fstat(first).st_size)
        manifest = parse_manifest(text, str(root / MANIFEST))
        handles = {name: handle_of(name, "export the bundle again") for name in manifest.files}
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
    return MusicRecError(f"{path}: differs from the manifest; export the bundle again")


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
