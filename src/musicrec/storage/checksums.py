"""Folders that tell when a file of theirs is missing, altered or foreign.

A stage leaves `_checksums.json` beside the files it writes: length and CRC-32 of each. Every
reader compares, so that a damaged intermediate stops a stage that is run by hand as well, where
DVC looks at nothing. Spark skips names with a leading underscore.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from musicrec.errors import MusicRecError
from musicrec.storage.files import write_exact_json
from musicrec.storage.outputs import CHECKSUMS

REPAIR = "dvc checkout --force brings it back, dvc repro makes it anew"
_BLOCK = 1 << 22  # bytes read at a time


def write_checksums(folder: Path) -> None:
    """Write `_checksums.json`: what lies in a folder now, not in the folders below it."""
    sums = {path.name: _sum(path) for path in _files(folder)}
    write_exact_json(folder / CHECKSUMS, sums)


def require_sound(path: Path) -> None:
    """Stop unless a file, or every file of a folder, is as the stage left it.

    Parameters
    ----------
    path : Path
        A file of a folder with `_checksums.json`, or such a folder. What lies in folders below it
        is not looked at.

    Raises
    ------
    MusicRecError
        A file is missing, cut, altered or foreign, or the folder has no checksums.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise MusicRecError(f"{path}: no such file or folder; {REPAIR}")
    known = _read(folder)
    if path != folder:
        names = {path.name}
    else:
        names = set(known)
        for found in _files(folder):
            if found.name not in known:
                raise MusicRecError(
                    f"{found}: not a file of the stage that wrote this folder; remove it, "
                    f"or let dvc do it: {REPAIR}"
                )
    for name in sorted(names):
        _compare(folder / name, known.get(name))


def _read(folder: Path) -> dict[str, Any]:
    path = folder / CHECKSUMS
    if not path.is_file():
        raise MusicRecError(f"{path} is missing, which the stage wrote; {REPAIR}")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise MusicRecError(f"{path}: damaged since the stage wrote it; {REPAIR}")
    return known


def _compare(path: Path, expected: Any) -> None:
    if not path.is_file():
        raise MusicRecError(f"{path} is missing, which the stage wrote; {REPAIR}")
    found = _sum(path)
    if found == expected:
        return
    wanted = expected.get("bytes") if isinstance(expected, dict) else None
    how = f"{found['bytes']:,} bytes" + (f", not {wanted:,}" if isinstance(wanted, int) else "")
    if wanted == found["bytes"]:
        how = "other content of the same length"
    raise MusicRecError(f"{path}: not as the stage wrote it ({how}); {REPAIR}")


def _sum(path: Path) -> dict[str, Any]:
    length = crc = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            length += len(block)
            crc = zlib.crc32(block, crc)
    return {"bytes": length, "crc32": f"{crc:08x}"}


def _files(folder: Path) -> list[Path]:
    """Files that count: neither hidden ones, such as a file manager's, nor the checksums."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name != CHECKSUMS and path.is_file()
    )
