"""How many dense ids there are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from musicrec.storage.checksums import require_sound
from musicrec.storage.files import read_json


@dataclass(frozen=True)
class IndexSizes:
    """How many dense ids the index stage gave; ids of `n_*` and above are unknown to training."""

    n_users: int
    n_items: int
    n_all_users: int
    n_all_items: int


def read_sizes(path: str | os.PathLike[str]) -> IndexSizes:
    """Read the sizes that the index stage wrote beside its splits (`sizes.json`)."""
    require_sound(Path(path))
    return IndexSizes(**read_json(path))
