"""Files on this machine: listed, each once whatever links lead to it, and looked into."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.source.source_file import SourceFile, is_hidden


def list_paths(root: str) -> list[SourceFile] | None:
    """List a file, or all files below a folder, hidden ones too; None if there is no such place.

    Links are followed; a folder or file that is reached twice counts once, under the name without
    a link where there is one.

    Raises
    ------
    MusicRecError
        A link leads nowhere; the source is neither file nor folder.
    """
    if not os.path.isdir(root):  # noqa: PTH112 -- Path would change the spelling of the name
        found = os.path.isfile(root)  # noqa: PTH113
        if not found and Path(root).exists():
            raise MusicRecError(
                f"{root}: this is a pipe or a device, which can be read only once; write the plays "
                "into a file"
            )
        return [_file(root, Path(root).name, hidden=False)] if found else None
    files: dict[str, SourceFile] = {}
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Folders that are no links come first, so that a link to one of them is the second way.
        folders.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        for name in sorted(names):
            path = f"{folder.rstrip('/')}/{name}"
            relative = path[len(root.rstrip("/")) + 1 :]
            hidden = is_hidden(relative)
            if not hidden and not Path(path).exists():
                raise MusicRecError(
                    f"{path}: the link leads nowhere; remove it or restore its target"
                )
            if not Path(path).is_file():
                continue
            target = os.path.realpath(path)
            if target not in files or not Path(path).is_symlink():
                files[target] = _file(path, relative, hidden=hidden)
    return list(files.values())


def _file(path: str, relative: str, *, hidden: bool) -> SourceFile:
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return SourceFile(f"file://{path}", relative, Path(path).stat().st_size, shown, hidden)


def read_head(path: Path, size: int, *, unpack: bool) -> bytes:
    """Read a file's first bytes, unpacked by the codec its name stands for or as they lie.

    Raises
    ------
    MusicRecError
        The name promises a packing that the content does not have.
    """
    opener = OPENERS.get(path.suffix) if unpack else None
    try:
        with (opener or _plain)(path) as stream:
            return _read(stream, size)
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        if opener is None:
            raise
        raise MusicRecError(
            f"{path}: its name ends in {path.suffix} but it is not packed like that "
            f"({str(error).splitlines()[0]}); rename it or pack it again"
        ) from None


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read up to `size` bytes; of a truncated file, those that are there."""
    parts: list[bytes] = []
    while size > 0:
        try:
            part = stream.read(min(size, 4096))
        except EOFError:
            if not parts:
                raise
            break
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file, unpacked where the ending of its name stands for a codec."""
    return OPENERS.get(path.suffix, _plain)(path)


def _plain(path: Path) -> BinaryIO:
    return path.open("rb")


def _zstd(path: Path) -> BinaryIO:
    return pa.CompressedInputStream(pa.OSFile(os.fspath(path)), "zstd")


# Endings that Hadoop unpacks by itself.
OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    ".gz": gzip.GzipFile,  # type: ignore[dict-item]
    ".bz2": bz2.BZ2File,  # type: ignore[dict-item]
    ".zst": _zstd,
}
