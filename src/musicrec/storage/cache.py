"""The folder for what is kept on this machine to start faster, and may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """MUSICREC_CACHE, or `musicrec` below XDG_CACHE_HOME or ~/.cache; it may not exist."""
    chosen = os.environ.get("MUSICREC_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "musicrec"
