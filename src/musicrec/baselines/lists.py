"""The folder of the baselines' lists: what `baselines` writes and `evaluate` reads.

Apart from what makes the lists, which who reads them need not import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.params import EvaluateParams
from musicrec.storage.files import require_sound, write_array, write_checksums, write_json

BASELINES = ("popularity", "neighbours", "ease")
# Where seen tracks are kept: the user's own tracks. Of plays with times: by when they were.
MORE = ("popular_recent", "most_played", "most_recent")
CHAMPION = "champion"  # the model of evaluate.champion, in the tables a baseline like any
TITLES = {
    "als": "ALS",
    "champion": "the champion",
    "ease": "EASE",
    "popular_recent": "recent popularity",
    "most_played": "the user's most played tracks",
    "most_recent": "the user's most recent tracks",
}


def baseline_names(columns: Sequence[str]) -> list[str]:
    """The baselines that a per-user table judges, by its columns."""
    prefixes = {column.partition("@")[0].rpartition("_")[0] for column in columns}
    return [name for name in (*BASELINES, *MORE, CHAMPION) if name in prefixes]


def model_title(model: str) -> str:
    """A model's name as a reader wants it."""
    return TITLES.get(model, model)


def write_baselines(
    folder: Path, lists: Mapping[str, np.ndarray], described: Mapping[str, Any]
) -> None:
    """Write the lists of every baseline, one `.npy` each, how they were made, and checksums."""
    write_json(folder / "baselines.json", dict(described))
    for name, recommended in lists.items():
        write_array(folder / f"{name}.npy", recommended)
    write_checksums(folder)


def read_baselines(folder: Path, n_users: int, params: EvaluateParams) -> dict[str, np.ndarray]:
    """Read the lists that the stage wrote, one `.npy` a baseline.

    Raises
    ------
    MusicRecError
        They are not those of `n_users` users, of another length, or not as the stage left them.
    """
    require_sound(folder)
    lists, length = {}, max(params.k)
    required = (*BASELINES, *(["most_played"] if params.seen == "keep" else []))
    for name in (*BASELINES, *MORE):
        path = folder / f"{name}.npy"
        if not path.exists():
            if name in required:
                raise MusicRecError(f"{folder} has no lists of {name}; run dvc repro baselines")
            continue
        found = np.load(path, allow_pickle=False)
        if found.shape != (n_users, length):
            raise MusicRecError(
                f"{path}: lists of shape {found.shape} do not fit {n_users} held-out users and "
                f"{length} tracks a list; run dvc repro baselines"
            )
        lists[name] = found
    return lists
