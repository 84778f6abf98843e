"""Temporary files and folders that are known to be in use, so that dead ones can be removed.

Whoever makes one holds a lock (`flock`) on it, which ends with the process however that ends. What
has our name and no lock was left by a process that was killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 3  # against a sweep that comes between making and locking


@contextmanager
def claimed(make: Callable[[], str]) -> Iterator[Path]:
    """Make a temporary file or folder, and hold its lock for the block; removing it is the block's.

    Parameters
    ----------
    make : callable
        Makes it and returns its name.
    """
    path, handle = Path(make()), None
    for _ in range(_TRIES):
        handle = _lock(path)
        if path.exists():  # where it cannot be locked, no sweep can lock it either
            break
        if handle is not None:
            os.close(handle)
        path = Path(make())
    try:
        yield path
    finally:
        if handle is not None:
            os.close(handle)
        if path.exists():  # where the block had no file handle left to remove it with
            _remove(path)


def sweep(folder: Path, beginning: str, ending: str = "") -> None:
    """Remove what lies in a folder by a temporary's name and belongs to no living process."""
    name = re.compile(f"{re.escape(beginning)}[a-z0-9_]{{8}}{re.escape(ending)}")
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if name.fullmatch(path.name):
                _remove_dead(path)


@contextmanager
def scratch_directory(prefix: str) -> Iterator[Path]:
    """Yield a folder for temporary files that is gone afterwards; see `sweep` for dead ones."""
    sweep(Path(tempfile.gettempdir()), prefix)
    with claimed(lambda: tempfile.mkdtemp(prefix=prefix)) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_dead(path: Path) -> None:
    handle = _lock(path)
    if handle is None:
        return
    _remove(path)
    os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> int | None:
    """Lock a file or folder; None where someone else has, or where the file system cannot."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
