"""Exact top-k search by inner product: the one kernel of evaluation, export, serving and bench.

Items lie in blocks by falling norm, those of like norm by the factor that dominates them. Three
bounds spare work, each dearer and tighter than the last:

1. |query| |item| (Cauchy-Schwarz): where it falls below the k-th best score, the search ends
   (LEMP: Teflioudi, Gemulla and Mykytiuk, SIGMOD 2015);
2. the best corner of the box that holds a block's items: where it falls short, the block is
   skipped, which is most of them where factors are nonnegative and few are large in one item;
3. the score of an 8-bit copy of each item, whose error is bounded.

The few hundred items that pass are scored in full. Bounds hold rounding errors too, so the
answer is that of a full sort, whatever the data.

The score of a pair is defined bit for bit: products and sums in float32, over the factors in
ascending order, without fused multiply-add. Blocks, threads and batch size change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import by_falling_norm, checked_factors, norms_of, readonly
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.search.kernels import (
    BLOCK,
    RUN_BLOCKS,
    UNROLL,
    Index,
    dominant_factors,
    enclose,
    encode,
    search,
)

RUN = RUN_BLOCKS * BLOCK  # items of like norm, put in order of their dominant factor
QUERY_BLOCK = 32  # queries of one unit of work for a thread: a few milliseconds
Exclude = tuple[np.ndarray, np.ndarray]
NOTHING = tuple(readonly(np.empty(0), dtype) for dtype in (np.int64, np.int32, np.uint8))
# Queries; what is excluded: indptr, indices and mask; and the lists to write: ids and scores.
Task = tuple[np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, np.ndarray]]


class ExactIndex:
    """Items prepared for exact top-k search by inner product.

    Takes `factors`, float32 (n_items, rank), by reference; they must not change. Items whose vector
    is all zero are never returned. MusicRecError where they cannot be searched (`checked_factors`).
    """

    def __init__(self, item_factors: np.ndarray) -> None:  # noqa: D107
        self.factors = checked_factors(item_factors, "item factors")
        self.n_items, self.rank = self.factors.shape
        norms = norms_of(self.factors)
        order = by_falling_norm(norms)
        largest = float(norms[order[0]]) if len(order) else 0.0
        dominant = np.empty(len(order), np.int32)

        def find_dominant(start: int, stop: int) -> None:
            dominant_factors(self.factors, order, start, stop, dominant)

        for_blocks(find_dominant, blocks(len(order), RUN))
        order = order[np.lexsort((dominant, np.arange(len(order)) // RUN))]
        n_blocks = -(-len(order) // BLOCK)
        padded = -(-self.rank // UNROLL) * UNROLL
        index = Index(
            factors=self.factors,
            order=order,
            largest=largest,
            codes=np.zeros((n_blocks, padded, BLOCK), np.int8),
            scales=np.zeros((n_blocks, BLOCK), np.float32),
            errors=np.full((n_blocks, BLOCK), -np.inf, np.float32),
            boxes=np.zeros((n_blocks, 2 * padded + 1), np.float32),
            bounds=np.zeros(n_blocks),
        )

        def work(start: int, stop: int) -> None:
            encode(index, norms, start, stop)
            enclose(index, norms, start, stop)

        for_blocks(work, blocks(n_blocks, RUN_BLOCKS))
        index.bounds[:] = np.maximum.accumulate(index.bounds[::-1])[::-1]
        self._index = tuple(index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the factors alone."""
        return ExactIndex, (self.factors,)

    @property
    def nbytes(self) -> int:
        """Memory of the index beside the factors."""
        return sum(part.nbytes for part in self._index[1:] if isinstance(part, np.ndarray))

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclude | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of every query.

        Parameters
        ----------
        queries : float32 array (n, rank)
            A query of zeros gets an empty list.
        k : int
            List length, at least 1.
        exclude : (indptr int64 (n + 1), indices int32), optional
            Items never returned to query i: `indices[indptr[i]:indptr[i + 1]]`, in any order.
        mask : uint8 array (n_items // 8 + 1), optional
            A bit an item, the lowest first: items never returned to any query.

        Returns
        -------
        ids : int32 array (n, k)
            Items by falling score, equal scores by lower id, padded with -1.
        scores : float32 array (n, k)
            Their inner products, padded with -inf.

        Raises
        ------
        MusicRecError
            The queries have another rank than the items, hold a NaN or an infinity, or are so
            large that scores overflow; `k` is below 1; `exclude` has another number of rows.
        """
        task = self._task(queries, k, exclude, mask)

        def work(start: int, stop: int) -> None:
            self._answer(task, start, stop)

        for_blocks(work, blocks(len(queries), QUERY_BLOCK))
        return task[2]

    def search_one(
        self, query: np.ndarray, k: int, exclude: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of one query, on the calling thread: as `search`, not padded."""
        rows = None if exclude is None else (np.array([0, len(exclude)]), exclude)
        task = self._task(np.asarray(query)[None], k, rows)
        length = self._answer(task, 0, 1)
        ids, scores = task[2]
        return ids[0, :length], scores[0, :length]

    def _task(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclude | None,
        mask: np.ndarray | None = None,
    ) -> Task:
        """Check what is asked, and make room for the answers."""
        queries = readonly(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.rank:
            raise MusicRecError(
                f"queries have shape {queries.shape}, but the items have rank {self.rank}; "
                "use factors of one model"
            )
        if k < 1:
            raise MusicRecError(f"k = {k} is not a list length; use at least 1")
        n = len(queries)
        indptr, indices, bits = NOTHING
        if exclude is not None:
            if len(exclude[0]) != n + 1:
                raise MusicRecError(f"exclude has {len(exclude[0]) - 1} rows for {n} queries")
            indptr, indices = readonly(exclude[0], np.int64), readonly(exclude[1], np.int32)
        if mask is not None:
            bits = readonly(mask, np.uint8)
        lists = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        return queries, (indptr, indices, bits), lists

    def _answer(self, task: Task, start: int, stop: int) -> int:
        """Answer queries `start` to `stop`; returns the length of the last list."""
        length: int = search(self._index, *task, start, stop)
        if length < 0:
            raise MusicRecError(
                f"query {-1 - length} holds a NaN or an infinity, or its scores overflow float32; "
                "train the model anew"
            )
        return length
