"""The folder of factors: what `train` writes, and the one place that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.storage.checksums import require_sound, write_checksums
from musicrec.storage.files import atomic_directory, read_json, write_array, write_exact_json

USERS, ITEMS = "user_factors.npy", "item_factors.npy"
TRAINED_WITH = "params.json"


def write_factors(
    folder: Path, users: np.ndarray, items: np.ndarray, trained_with: Mapping[str, Any]
) -> None:
    """Write a trained model; the folder appears whole or not at all.

    Parameters
    ----------
    users, items : float32 arrays (n_users, rank), (n_items, rank)
    trained_with : mapping
        Blocks `als` and `feedback`. They stay beside the factors, so that what is said of a model
        does not follow a later edit of params.yaml.
    """
    with atomic_directory(folder) as temporary:
        write_array(temporary / USERS, users)
        write_array(temporary / ITEMS, items)
        write_exact_json(temporary / TRAINED_WITH, trained_with)
        write_checksums(temporary)


def read_factors(folder: Path, n_users: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Read user and item factors: float32 arrays (n_users, rank), (n_items, rank).

    Raises
    ------
    MusicRecError
        They are not those of `n_users` users and `n_items` tracks, or not as train left them.
    """
    require_sound(folder)
    users = np.load(folder / USERS, allow_pickle=False)
    items = np.load(folder / ITEMS, allow_pickle=False)
    if (len(users), len(items)) != (n_users, n_items):
        raise MusicRecError(
            f"{folder}: factors of {len(users)} users and {len(items)} tracks do not fit the "
            f"indexed {n_users} users and {n_items} tracks; run dvc repro train"
        )
    return users, items


def read_trained_with(folder: Path) -> dict[str, Any]:
    """Blocks `als` and `feedback` that the factors were trained with.

    Raises
    ------
    MusicRecError
        The file is not as train left it.
    """
    require_sound(folder / TRAINED_WITH)
    return read_json(folder / TRAINED_WITH)
