"""JSON and arrays, with the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.storage.outputs import atomic_path

METRIC_DECIMALS = 6


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
