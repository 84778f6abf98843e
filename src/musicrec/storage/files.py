"""Files that are written whole or not at all, with the same bytes for the same content."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.process.claims import claimed, sweep

METRIC_DECIMALS = 6
ENDING = ".unfinished"  # of temporary names


@contextmanager
def atomic_path(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file path that becomes `destination` if the block succeeds.

    The temporary lies in the destination's folder, so the rename cannot cross devices; when
    the block raises (or is interrupted) it is removed and `destination` stays as it was. What a
    killed process left is removed by the next that writes the same file.
    """
    target = Path(destination)
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, _beginning(target), ENDING)
    with claimed(lambda: _new_file(target)) as temporary, _named(temporary, target):
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 is too tight for a shared output
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces `destination` if the block succeeds."""
    target = Path(destination)
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, _beginning(target), ENDING)

    def make() -> str:
        return tempfile.mkdtemp(prefix=_beginning(target), suffix=ENDING, dir=target.parent)

    with claimed(make) as temporary, _named(temporary, target):
        try:
            temporary.chmod(0o755)
            yield temporary
            if target.exists():
                shutil.rmtree(target)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beginning(target: Path) -> str:
    return f".{target.name}."


def _new_file(target: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=_beginning(target), suffix=ENDING, dir=target.parent)
    os.close(handle)
    return name


@contextmanager
def _named(temporary: Path, target: Path) -> Iterator[None]:
    """Let errors of the system name the output and not its temporary."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            error.filename = str(target)
        elif isinstance(error.filename, str):
            error.filename = error.filename.replace(str(temporary), str(target))
        raise


@contextmanager
def atomic_files(destination: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder whose files move into `destination` if the block succeeds.

    Other files of `destination` stay as they are.
    """
    target = Path(destination)
    with atomic_directory(target.parent / f".{target.name}.new") as temporary:
        yield temporary
        target.mkdir(exist_ok=True)
        for path in temporary.iterdir():
            path.replace(target / path.name)
    (target.parent / f".{target.name}.new").rmdir()


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
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


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
