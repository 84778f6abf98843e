"""Factors: the folder that `train` writes, how it is read and judged, and the norms of rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.errors import MusicRecError, warn
from musicrec.jit.kernel import kernel
from musicrec.params import ALSParams
from musicrec.storage.files import (
    require_sound,
    write_array,
    write_checksums,
    write_exact_json,
)
from musicrec.storage.outputs import atomic_directory

USERS, ITEMS = "user_factors.npy", "item_factors.npy"
TRAINED_WITH = "params.json"

LARGEST_NORM = 2.0**60  # its square, and a score, are far from float32's limit of 2^128
SMALLEST_SCORE = 0.01  # that a model must reach somewhere; 1 stands for played


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

    `TRAINED_WITH` beside them, verified here too, has what they were trained with.

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


def norms_of(factors: np.ndarray) -> np.ndarray:
    """Euclidean norm of every row, float64 array (n), summed in float64 and in order.

    A library would sum in the order of the processor's vector units.
    """
    factors = readonly(factors, np.float32)
    norms = np.empty(len(factors))
    _write_norms(factors, norms)
    return norms


@kernel(allocates=False)
def _write_norms(factors: np.ndarray, norms: np.ndarray) -> None:
    for row in range(len(factors)):
        squared = 0.0
        for factor in range(factors.shape[1]):
            squared += np.float64(factors[row, factor]) ** 2
        norms[row] = np.sqrt(squared)


def readonly(array: np.ndarray, dtype: type) -> np.ndarray:
    """View an array in C order, copied only where it must be, that cannot be written through.

    Memory-mapped arrays are such already; numba would compile its kernels once for each kind.
    """
    view: np.ndarray = np.ascontiguousarray(array, dtype=dtype).view()
    view.setflags(write=False)
    return view


def checked_factors(factors: np.ndarray, name: str) -> np.ndarray:
    """Return factors as a C-ordered float32 matrix whose norms have squares in float32.

    Raises
    ------
    MusicRecError
        The array is not two-dimensional, or a row holds a NaN or an infinity or has a norm above
        `LARGEST_NORM`.
    """
    factors = readonly(factors, np.float32)
    if factors.ndim != 2 or factors.shape[1] == 0:
        raise MusicRecError(f"{name} have shape {factors.shape}; (rows, rank) is needed")
    norms = norms_of(factors)
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise MusicRecError(f"{name} hold a NaN or an infinity in row {row}; train the model anew")
    if norms.max(initial=0.0) > LARGEST_NORM:
        raise MusicRecError(
            f"{name} have norms of up to {norms.max():.2g}, and float32 does not hold the square "
            f"of what is above {LARGEST_NORM:.2g}; train with a larger als.reg_param"
        )
    return factors


def by_falling_norm(norms: np.ndarray) -> np.ndarray:
    """Rows by falling norm, equal norms by lower row, without those of norm 0: int32 array."""
    return np.argsort(-norms, kind="stable")[: np.count_nonzero(norms)].astype(np.int32)


def largest_score(users: np.ndarray, items: np.ndarray) -> float:
    """A bound of all scores: the largest norm of users times that of items."""
    return float(norms_of(users).max(initial=0.0) * norms_of(items).max(initial=0.0))


def warn_if_zero(users: np.ndarray, items: np.ndarray, als: ALSParams) -> None:
    """Warn of a model that the regularisation has shrunk to zero, or nearly."""
    bound = largest_score(users, items)
    if bound < SMALLEST_SCORE:
        what = (
            f"no score is above {bound:.1g}, where 1 stands for played"
            if bound
            else "all factors are zero, so that nothing is recommended"
        )
        warn(
            f"{what}: als.reg_param = {als.reg_param:g} outweighs the plays at als.alpha = "
            f"{als.alpha:g}; lower als.reg_param or raise als.alpha"
        )
