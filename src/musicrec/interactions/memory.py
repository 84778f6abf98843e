"""How much this machine holds, and whether plays fit in it."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

from musicrec.errors import MusicRecError

ROW_BYTES = 96  # at the peak, a row: two codes, a count, a time, and the sort of some parts
MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def fits_in_memory(rows: int) -> bool:
    """Whether so many plays fit in half of the memory that can be had."""
    return rows * ROW_BYTES <= available_memory() // 2


def require_memory(rows: int, source: str) -> None:
    """Stop where so many plays are more than all of the memory that can be had."""
    wanted, free = rows * ROW_BYTES, available_memory()
    if wanted > free:
        raise MusicRecError(
            f"{source}: an eighth of its plays, {rows:,}, takes {wanted >> 20:,} MB of memory, and "
            f"{free >> 20:,} MB are free; use a machine with more"
        )


def available_memory() -> int:
    """Bytes that a process can have: of a container, of Linux, or else all that there are."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit_of_process, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit_of_process != resource.RLIM_INFINITY:
        found = min(found, limit_of_process)
    free = re.search(r"^MemAvailable: +(\d+) kB", _text(MEMINFO), re.M)
    if free:
        found = min(found, int(free[1]) << 10)
    limit, used = (_text(CONTAINER / f"memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        cache = re.search(r"^inactive_file (\d+)", _text(CONTAINER / "memory.stat"), re.M)
        taken = int(used) - (int(cache[1]) if cache else 0)
        found = min(found, max(0, int(limit) - taken))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
