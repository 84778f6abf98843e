"""How much this machine holds, and whether plays fit in it."""

from __future__ import annotations

import os

ROW_BYTES = 64  # at the peak, a row: two codes, a count, and the sort of some parts


def in_process(rows: int) -> bool:
    """Whether plays are for this process: they fit in memory, and nobody has named a Spark master.

    Half of what no process holds is taken (Linux), or half of all.
    """
    if os.environ.get("MUSICREC_SPARK_MASTER", "").strip():
        return False
    free = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return rows * ROW_BYTES <= os.sysconf(free) * os.sysconf("SC_PAGE_SIZE") // 2
