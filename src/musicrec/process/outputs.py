"""Can the outputs be written? Looked at before the work, not after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

from musicrec.errors import MusicRecError

LEAST_BYTES = 1 << 16  # free on a disk that is not full
LOCK = Path("dvc.lock")


def require_writable(outputs: Iterable[Path]) -> None:
    """Stop unless every output's folder, or the nearest one above that is there, takes files.

    Its disk must have the room that the last run filled there, by what `dvc.lock` in the working
    folder says; what an output that is there holds is not counted, since it is replaced at the end.

    Raises
    ------
    MusicRecError
        A folder is read-only or a file, or its disk is full or will be.
    """
    sizes = _last_sizes()
    wanted: dict[int, int] = {}
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
        free = shutil.disk_usage(folder).free
        if free < LEAST_BYTES:
            raise MusicRecError(f"cannot write {output}: no space left on device; free some space")
        disk = folder.stat().st_dev
        wanted[disk] = wanted.get(disk, 0) + sizes.get(str(output), 0)
        if free < wanted[disk]:
            raise MusicRecError(
                f"cannot write {output}: {free / 1e6:,.1f} MB are free on its disk, and the last "
                f"run wrote {wanted[disk] / 1e6:,.1f} MB there; free some space"
            )


def _last_sizes() -> dict[str, int]:
    """Bytes of every output that the last run of `dvc repro` left."""
    try:
        safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where there is one
        lock = safe(LOCK.read_bytes()).get_single_data()
        outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
        return {out["path"]: int(out["size"]) for out in outs}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        return {}  # no project of DVC's, or a lock that is amid a merge
