"""Indexed interactions as a compressed sparse row matrix in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from musicrec.errors import MusicRecError
from musicrec.files import parquet_parts, read_json
from musicrec.jit import kernel


@dataclass(frozen=True)
class Interactions:
    """Users x items play counts in compressed sparse row form.

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

    def row(self, user: int) -> np.ndarray:
        """Items of one user, ascending."""
        return self.indices[self.indptr[user] : self.indptr[user + 1]]

    def transpose(self) -> Interactions:
        """Items x users."""
        indptr, indices, counts = _transpose(self.indptr, self.indices, self.counts, self.n_items)
        return Interactions(indptr, indices, counts, self.n_users)

    def rows(self, users: np.ndarray) -> Interactions:
        """The matrix of the given rows, in the given order."""
        lengths = self.indptr[users + 1] - self.indptr[users]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[users], lengths)
        return Interactions(indptr, self.indices[offsets], self.counts[offsets], self.n_items)


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
    for name, values, bound in (("user", users, n_users), ("item", items, n_items)):
        if len(values) and (values.min() < 0 or values.max() >= bound):
            raise MusicRecError(f"interactions: {name} index outside 0 to {bound - 1}")
    counts = np.ascontiguousarray(counts, dtype=np.float32)
    users = np.ascontiguousarray(users, dtype=np.int32)
    items = np.ascontiguousarray(items, dtype=np.int32)
    indptr, indices, ratings = _bucket(users, items, counts, n_users)
    if not _ascending(indptr, indices):  # the index stage's files are in order already
        by_item = _bucket(items, users, counts, n_items)
        indptr, indices, ratings = _transpose(by_item[0], by_item[1], by_item[2], n_users)
    return Interactions(indptr, indices, ratings, n_items)


def read_interactions(path: str | os.PathLike[str], n_users: int, n_items: int) -> Interactions:
    """Read indexed Parquet (`user` int32, `item` int32, `count` int64) as a matrix."""
    files = [pq.ParquetFile(part) for part in parquet_parts(path)]
    n_plays = sum(file.metadata.num_rows for file in files)
    columns = {
        "user": np.empty(n_plays, np.int32),
        "item": np.empty(n_plays, np.int32),
        "count": np.empty(n_plays, np.float32),
    }
    start = 0
    for file in files:  # a million rows at a time: a whole table would double the memory
        for batch in file.iter_batches(1 << 20, columns=list(columns)):
            for name, values in columns.items():
                values[start : start + len(batch)] = batch.column(name).to_numpy()
            start += len(batch)
    return from_triples(columns["user"], columns["item"], columns["count"], n_users, n_items)


@dataclass(frozen=True)
class IndexSizes:
    """How many dense ids the index stage gave; ids of `n_*` and above are unknown to training."""

    n_users: int
    n_items: int
    n_all_users: int
    n_all_items: int


def read_sizes(path: str | os.PathLike[str]) -> IndexSizes:
    """Read the sizes that the index stage wrote beside its splits (`sizes.json`)."""
    return IndexSizes(**read_json(path))


@kernel()
def _ascending(indptr, indices):  # type: ignore[no-untyped-def]
    """Whether every row's indices ascend strictly."""
    for row in range(len(indptr) - 1):
        for j in range(indptr[row] + 1, indptr[row + 1]):
            if indices[j] <= indices[j - 1]:
                return False
    return True


@kernel()
def _bucket(keys, values, counts, n_keys):  # type: ignore[no-untyped-def]
    """Stable counting sort of (key, value, count) by key; returns indptr, values, counts."""
    indptr = np.zeros(n_keys + 1, np.int64)
    for key in keys:
        indptr[key + 1] += 1
    for i in range(n_keys):
        indptr[i + 1] += indptr[i]
    place = indptr[:-1].copy()
    out_values = np.empty(len(values), np.int32)
    out_counts = np.empty(len(counts), np.float32)
    for j in range(len(keys)):
        at = place[keys[j]]
        place[keys[j]] = at + 1
        out_values[at] = values[j]
        out_counts[at] = counts[j]
    return indptr, out_values, out_counts


@kernel()
def _transpose(indptr, indices, counts, n_columns):  # type: ignore[no-untyped-def]
    """Transpose a compressed matrix; rows of the result come out in ascending order."""
    out_indptr = np.zeros(n_columns + 1, np.int64)
    for column in indices:
        out_indptr[column + 1] += 1
    for i in range(n_columns):
        out_indptr[i + 1] += out_indptr[i]
    place = out_indptr[:-1].copy()
    out_indices = np.empty(len(indices), np.int32)
    out_counts = np.empty(len(counts), np.float32)
    for row in range(len(indptr) - 1):
        for j in range(indptr[row], indptr[row + 1]):
            at = place[indices[j]]
            place[indices[j]] = at + 1
            out_indices[at] = row
            out_counts[at] = counts[j]
    return out_indptr, out_indices, out_counts
