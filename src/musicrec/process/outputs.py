"""Can the outputs be written? Looked at before the work, not after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from musicrec.errors import MusicRecError

LEAST_BYTES = 1 << 16  # free on a disk that is not full


def require_writable(outputs: Iterable[Path]) -> None:
    """Stop unless every output's folder, or the nearest one above that is there, takes files.

    Raises
    ------
    MusicRecError
        A folder is read-only or a file, or its disk is full.
    """
    for output in outputs:
        folder = output.absolute().parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise MusicRecError(f"cannot write {output}: {folder} is a file, not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise MusicRecError(
                f"cannot write {output}: the folder {folder} is read-only for this user; change "
                "its rights or the output"
            )
        if shutil.disk_usage(folder).free < LEAST_BYTES:
            raise MusicRecError(f"cannot write {output}: no space left on device; free some space")
