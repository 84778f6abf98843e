"""JSON and arrays, with the same bytes for the same content, and checksums of what stages hand on.

A stage leaves `_checksums.json` beside the files it writes: length and CRC-32 of each. Every
reader compares, so that a damaged intermediate stops a stage that is run by hand as well, where
DVC looks at nothing. Spark skips names with a leading underscore.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.storage.outputs import CHECKSUMS, atomic_path

METRIC_DECIMALS = 6
REPAIR = "dvc checkout --force brings it back, dvc repro makes it anew"
_BLOCK = 1 << 22  # bytes read at a time


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any] | list[Any]) -> None:
    """Write metrics as JSON: keys sorted, floats rounded to 6 decimals, finite numbers only.

    Raises
    ------
    MusicRecError
        A number is NaN or infinite; the message names its key.
    """
    write_exact_json(path, _plain(content, ""))


def write_exact_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON with sorted keys and every digit of its numbers: parameters, not metrics."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file of UTF-8 text."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{name}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise MusicRecError(f"metric {name} is {value}, which JSON cannot hold")
        return round(float(value), METRIC_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    return value


def write_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as `.npy` in C order, never pickled.

    Through Python's stream: of a full disk NumPy's own says how much it wrote, and not why.
    """
    if array.dtype.hasobject:
        raise ValueError("Object arrays cannot be saved without pickle")
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        whole = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(
            stream, np.lib.format.header_data_from_array_1_0(whole)
        )
        stream.write(whole.reshape(-1).view(np.uint8).data)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    MusicRecError
        The file holds none.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise MusicRecError(f"{path}: not JSON ({error}); write it anew") from None


def fingerprint(path: Path) -> dict[str, Any]:
    """Length and SHA-256 of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def write_checksums(folder: Path) -> None:
    """Write `_checksums.json`: what lies in a folder now, not in the folders below it."""
    sums = {path.name: _sum(path) for path in _files(folder)}
    write_exact_json(folder / CHECKSUMS, sums)


def require_sound(path: Path) -> None:
    """Stop unless a file, or every file of a folder, is as the stage left it.

    `path` is a file of a folder with `_checksums.json`, or such a folder, of which what lies in
    folders below it is not looked at.

    Raises
    ------
    MusicRecError
        A file is missing, altered or not the stage's, or the folder has no checksums.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise MusicRecError(f"{path}: no such file or folder; {REPAIR}")
    known = _read(folder)
    for found in _files(folder) if path == folder else []:
        if found.name not in known:
            raise MusicRecError(
                f"{found}: not a file of the stage that wrote this folder; remove it, "
                f"or let dvc do it: {REPAIR}"
            )
    for name in sorted(known) if path == folder else [path.name]:
        _compare(folder / name, known.get(name))


def _read(folder: Path) -> dict[str, Any]:
    path = folder / CHECKSUMS
    if not path.is_file():
        raise MusicRecError(f"{path} is missing, which the stage wrote; {REPAIR}")
    with suppress(ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    raise MusicRecError(f"{path}: damaged since the stage wrote it; {REPAIR}")


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
