"""Exact top-k search by inner product: the one kernel of evaluation, export, serving and bench.

Items are visited by falling norm. By Cauchy-Schwarz no later item can score above
|query| |item|, so the search stops at the first block whose bound lies below the k-th best score
found (Teflioudi, Gemulla and Mykytiuk, "LEMP", SIGMOD 2015).

The score of a pair is defined bit for bit: products and sums in float32, over the factors in
ascending order, without fused multiply-add. Blocks, threads and batch size change nothing.
"""

from __future__ import annotations

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.jit import kernel
from musicrec.parallel import for_blocks

LANES = 32  # items of a block, scored together: one factor of all is one contiguous load
QUERY_BLOCK = 8  # queries of one unit of work for a thread
UNIT_ROUNDOFF = 2.0**-24  # of float32
Exclude = tuple[np.ndarray, np.ndarray]


class ExactIndex:
    """Items prepared for exact top-k search by inner product.

    Parameters
    ----------
    item_factors : float32 array (n_items, rank)
        Items whose vector is all zero are never returned.

    Raises
    ------
    MusicRecError
        The array is not two-dimensional or holds a NaN or an infinity.
    """

    def __init__(self, item_factors: np.ndarray) -> None:
        factors = checked_factors(item_factors, "item factors")
        norms = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
        by_norm = np.argsort(-norms, kind="stable")
        by_norm = by_norm[: np.count_nonzero(norms)]
        self.n_items, self.rank = factors.shape
        self._n_found = len(by_norm)
        n_blocks = -(-len(by_norm) // LANES)
        self._ids = np.full(n_blocks * LANES, -1, np.int32)
        self._ids[: len(by_norm)] = by_norm
        padded = np.zeros((n_blocks * LANES, self.rank), np.float32)
        padded[: len(by_norm)] = factors[by_norm]
        tiles = padded.reshape(n_blocks, LANES, self.rank)
        self._tiles = np.ascontiguousarray(tiles.transpose(0, 2, 1))
        self._bounds = norms[by_norm[::LANES]]
        self._max_norm = float(self._bounds[0]) if n_blocks else 0.0

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclude | None = None,
        threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of every query.

        Parameters
        ----------
        queries : float32 array (n, rank)
            A query of zeros gets an empty list.
        k : int
            List length, at least 1.
        exclude : (indptr int64 (n + 1), indices int32), optional
            Items never returned to query i: `indices[indptr[i]:indptr[i + 1]]`, ascending.
        threads : int, optional
            Threads to use; the answer does not depend on it.

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
        queries = checked_factors(queries, "queries")
        if queries.shape[1] != self.rank:
            raise MusicRecError(
                f"queries have rank {queries.shape[1]}, but the items have rank {self.rank}; "
                "use factors of one model"
            )
        if k < 1:
            raise MusicRecError(f"k = {k} is not a list length; use at least 1")
        norms = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
        if len(norms) and norms.max() * self._max_norm > np.finfo(np.float32).max / 2:
            raise MusicRecError("scores overflow float32; scale the queries or the items down")
        n = len(queries)
        if exclude is None:
            indptr, indices = np.zeros(n + 1, np.int64), np.empty(0, np.int32)
        else:
            indptr = np.ascontiguousarray(exclude[0], np.int64)
            indices = np.ascontiguousarray(exclude[1], np.int32)
            if len(indptr) != n + 1:
                raise MusicRecError(f"exclude has {len(indptr) - 1} rows for {n} queries")
        ids = np.full((n, k), -1, np.int32)
        scores = np.full((n, k), -np.inf, np.float32)

        def work(start: int, stop: int) -> None:
            _search(
                self._tiles, self._ids, self._n_found, self._bounds, queries, norms,
                indptr, indices, start, stop, ids, scores,
            )  # fmt: skip

        for_blocks(work, [*range(0, n, QUERY_BLOCK), n], threads)
        return ids, scores

    def search_one(
        self, query: np.ndarray, k: int, exclude: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of one query, on the calling thread.

        Parameters
        ----------
        query : float32 array (rank)
        k : int
        exclude : int32 array, ascending, optional

        Returns
        -------
        ids, scores : int32 and float32 arrays (at most k)
            As of `search`, without padding.
        """
        rows = None if exclude is None else (np.array([0, len(exclude)]), exclude)
        ids, scores = self.search(np.asarray(query)[None], k, rows, threads=1)
        length = np.count_nonzero(ids[0] >= 0)
        return ids[0, :length], scores[0, :length]


def checked_factors(factors: np.ndarray, name: str) -> np.ndarray:
    """Return factors as a C-ordered float32 matrix of finite numbers, or raise MusicRecError."""
    factors = np.ascontiguousarray(factors, dtype=np.float32)
    if factors.ndim != 2 or factors.shape[1] == 0:
        raise MusicRecError(f"{name} have shape {factors.shape}; (rows, rank) is needed")
    if not np.isfinite(factors).all():
        row = int(np.flatnonzero(~np.isfinite(factors).all(axis=1))[0])
        raise MusicRecError(f"{name} hold a NaN or an infinity in row {row}; train the model anew")
    return factors


@kernel()
def _search(  # type: ignore[no-untyped-def]
    tiles, ids, n_found, bounds, queries, norms, indptr, indices, start, stop, out_ids, out_scores
):
    """Answer queries `start` to `stop`, writing their rows of `out_ids` and `out_scores`."""
    n_blocks, rank, _ = tiles.shape
    k = min(out_ids.shape[1], n_found)
    keys = np.empty(2 * k + LANES, np.uint64)
    scores = np.empty(LANES, np.float32)
    bits = scores.view(np.uint32)
    for row in range(start, stop):
        if norms[row] == 0.0 or k == 0:
            continue
        excluded = indices[indptr[row] : indptr[row + 1]]
        query = queries[row]
        # Slack: what rounding can add to a computed score (rank + 2 roundings, underflow).
        stretch = norms[row] * (1.0 + (2 * rank + 8) * UNIT_ROUNDOFF)
        underflow = (rank + 1) * 2.0**-149
        count = 0
        least_key = np.uint64(0)
        least_score = -np.inf
        for block in range(n_blocks):
            if bounds[block] * stretch + underflow < least_score:
                break
            scores[:] = 0.0
            for factor in range(rank):
                value = query[factor]
                for lane in range(LANES):
                    scores[lane] += value * tiles[block, factor, lane]
            for lane in range(LANES):
                if scores[lane] >= least_score:
                    item = ids[block * LANES + lane]
                    key = _key(bits[lane], item)
                    if key > least_key and item >= 0 and not _contains(excluded, item):
                        keys[count] = key
                        count += 1
            if count >= 2 * k:
                _keep_largest(keys, count, k)
                count = k
                least_key = keys[:k].min()
                least_score = _score(least_key)
        if count > k:
            _keep_largest(keys, count, k)
            count = k
        best = np.sort(keys[:count])
        for place in range(count):
            key = best[count - 1 - place]
            out_ids[row, place] = _item(key)
            out_scores[row, place] = _score(key)


@kernel()
def _key(bits, item):  # type: ignore[no-untyped-def]
    """Pack a score's bits and an item so that larger is better: higher score, then lower id."""
    if bits == np.uint32(0x80000000):  # -0.0 ties with 0.0
        bits = np.uint32(0)
    sign = bits >> np.uint32(31)
    ordered = ~bits if sign else bits | np.uint32(0x80000000)
    return (np.uint64(np.uint32(ordered)) << np.uint64(32)) | np.uint64(
        np.uint32(0xFFFFFFFF) - np.uint32(item)
    )


@kernel()
def _item(key):  # type: ignore[no-untyped-def]
    return np.int32(np.uint64(0xFFFFFFFF) - (key & np.uint64(0xFFFFFFFF)))


@kernel()
def _score(key):  # type: ignore[no-untyped-def]
    ordered = np.uint32(key >> np.uint64(32))
    positive = ordered >> np.uint32(31)
    bits = ordered ^ np.uint32(0x80000000) if positive else ~ordered
    return np.uint32(bits).view(np.float32)


@kernel()
def _contains(ascending, item):  # type: ignore[no-untyped-def]
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < len(ascending) and ascending[low] == item


@kernel()
def _keep_largest(keys, count, k):  # type: ignore[no-untyped-def]
    """Move the k largest of the first `count` keys (all different) to the front: quickselect."""
    low, high = 0, count - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return
