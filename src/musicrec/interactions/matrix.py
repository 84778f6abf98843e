"""Indexed interactions: a compressed sparse row matrix in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import pair_keys
from musicrec.interactions.portable import exp2
from musicrec.jit.kernel import kernel
from musicrec.storage.parquet import LAST_PLAYED, READING, sound_parts

SMALLEST = float(np.finfo(np.float32).tiny)  # weight of a play: it stays one, however old


class Interactions(NamedTuple):
    """Users x items play counts in compressed sparse row form; compiled kernels take it whole.

    Attributes
    ----------
    indptr : int64 array (n_users + 1)
        Row u is `indices[indptr[u]:indptr[u + 1]]`.
    indices : int32 array (n_plays)
        Items, ascending within a row, each once.
    counts : float32 array (n_plays)
        Play counts.
    n_items : int
        Number of columns.
    """

    indptr: np.ndarray
    indices: np.ndarray
    counts: np.ndarray
    n_items: int

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of plays of every row: int64 array (n_users)."""
        return np.diff(self.indptr)

    def users_of(self) -> np.ndarray:
        """Number of users, and so of plays, of every item: int64 array (n_items)."""
        return np.bincount(self.indices, minlength=self.n_items)

    def row(self, user: int) -> np.ndarray:
        """Items of one user, ascending."""
        return self.indices[self.indptr[user] : self.indptr[user + 1]]

    def user_of_each(self) -> np.ndarray:
        """Row of each play: int32 array (n_plays)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    def keys(self) -> np.ndarray:
        """Each play as a number, user << 32 | item, ascending: int64 array (n_plays)."""
        return pair_keys(self.user_of_each(), self.indices)

    def transpose(self) -> Interactions:
        """Items x users."""
        users = self.user_of_each()
        return from_triples(self.indices, users, self.counts, self.n_items, self.n_users)

    def rows(self, users: np.ndarray) -> Interactions:
        """The matrix of the given rows, in the given order."""
        lengths = self.indptr[users + 1] - self.indptr[users]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[users], lengths)
        return Interactions(indptr, self.indices[offsets], self.counts[offsets], self.n_items)

    def filtered(self, kept: np.ndarray) -> Interactions:
        """The matrix of the plays that are kept, a bool each; no row goes."""
        before = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
        return self._replace(
            indptr=before[self.indptr], indices=self.indices[kept], counts=self.counts[kept]
        )


def from_triples(
    users: np.ndarray, items: np.ndarray, counts: np.ndarray, n_users: int, n_items: int
) -> Interactions:
    """Build the matrix from (user, item, count) rows in any order, each pair at most once.

    Parameters
    ----------
    users, items : int32 arrays (n_plays)
        In [0, n_users) and [0, n_items).
    counts : array (n_plays)
        Kept as float32.

    Raises
    ------
    MusicRecError
        An index is out of range.
    """
    users, items = np.ascontiguousarray(users), np.ascontiguousarray(items)
    return _filled([users], [(users, items, np.asarray(counts))], n_users, n_items)


def read_interactions(
    path: str | os.PathLike[str], n_users: int, n_items: int, newest: int | None = None
) -> Interactions:
    """Read indexed Parquet (`user` int32, `item` int32, `count` int64) as a matrix.

    Parameters
    ----------
    newest : int, optional
        Of `newest_play`: read the age of each play, the seconds from `last_played` to it (0 where
        it is later), in place of its count. The matrix is aligned with that of the counts.

    Raises
    ------
    MusicRecError
        The files are not as the index stage left them, or an index is out of range.
    """
    parts = sound_parts(path)
    users = (users for (users,) in _batches(parts, ["user"]))
    plays = _batches(parts, ["user", "item", "count" if newest is None else LAST_PLAYED.name])
    if newest is not None:
        plays = ((users, items, np.maximum(newest - last, 0)) for users, items, last in plays)
    matrix = _filled(users, plays, n_users, n_items)
    pa.default_memory_pool().release_unused()
    return matrix


def newest_play(path: str | os.PathLike[str]) -> int | None:
    """The latest `last_played` of indexed plays; None where they have no times."""
    parts = sound_parts(path)
    if LAST_PLAYED.name not in pq.read_schema(parts[0]).names:
        return None
    return max(int(times.max()) for (times,) in _batches(parts, [LAST_PLAYED.name]))


def read_ages(indexed: Path, split: str, n_users: int, n_items: int) -> Interactions:
    """Read the age of each play of a split in seconds, aligned with `read_interactions`.

    Raises
    ------
    MusicRecError
        The plays have no times.
    """
    newest = newest_play(indexed / "train")
    if newest is None:
        raise MusicRecError(
            "feedback.half_life needs the time of each play: set data.columns.timestamp, or "
            "feedback.half_life to null"
        )
    return read_interactions(indexed / split, n_users, n_items, newest)


def decay(ages: np.ndarray, half_life: int) -> np.ndarray:
    """2^(-age / half-life), both in seconds, at least SMALLEST: float64 array."""
    return np.maximum(exp2(-ages.astype(np.float64) / half_life), SMALLEST)


def _filled(
    users: Iterable[np.ndarray], plays: Iterable[tuple[Any, ...]], n_users: int, n_items: int
) -> Interactions:
    """Count the plays of each row, then put them in the memory that the matrix will have."""
    indptr = np.zeros(n_users + 1, np.int64)
    for rows in users:
        _count_rows(_checked("user", rows, n_users), indptr)
    indptr = np.cumsum(indptr)
    n_plays = indptr[-1]
    matrix = Interactions(
        indptr, np.empty(n_plays, np.int32), np.empty(n_plays, np.float32), n_items
    )
    following = indptr[:-1].copy()
    for rows, items, counts in plays:
        _place(rows, _checked("item", items, n_items), counts, following, matrix)
    _sort_rows(matrix)
    return matrix


def _batches(parts: list[Path], columns: list[str]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield columns, 262,144 rows at a time: a whole table would double the memory.

    So would reading ahead, or a thread a column, whose memory Arrow keeps for later. `to_numpy`
    would import pandas where it is installed.
    """
    for part in parts:
        with pq.ParquetFile(part, pre_buffer=False, **READING) as file:
            for batch in file.iter_batches(1 << 18, columns=columns, use_threads=False):
                yield tuple(np.from_dlpack(batch.column(name)) for name in columns)


def _checked(name: str, values: np.ndarray, bound: int) -> np.ndarray:
    if len(values) and (values.min() < 0 or values.max() >= bound):
        raise MusicRecError(f"interactions: {name} index outside 0 to {bound - 1}")
    return values


@kernel()
def _count_rows(rows, indptr):
    """Add to `indptr[row + 1]` how often each row occurs."""
    for row in rows:
        indptr[row + 1] += 1


@kernel()
def _place(rows, columns, counts, following, matrix):
    """Put entries at the positions `following` of their rows, which move on."""
    for j in range(len(rows)):
        position = following[rows[j]]
        following[rows[j]] = position + 1
        matrix.indices[position] = columns[j]
        matrix.counts[position] = counts[j]


@kernel()
def _sort_rows(matrix):
    """Sort each row that is not in order, in place; the index stage's are."""
    indptr, indices, counts = matrix.indptr, matrix.indices, matrix.counts
    for row in range(len(indptr) - 1):
        start, stop = indptr[row], indptr[row + 1]
        for j in range(start + 1, stop):
            if indices[j] < indices[j - 1]:
                order = np.argsort(indices[start:stop], kind="mergesort")
                indices[start:stop] = indices[start:stop][order]
                counts[start:stop] = counts[start:stop][order]
                break
