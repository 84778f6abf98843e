"""Choose the tracks of a list: exactly, through the index, among candidates, by popularity."""

from __future__ import annotations

import numpy as np

from musicrec.bundle.query import Query
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex
from musicrec.search.kernels import inner_products, write_best

POOL = 10  # times the list's length: the best tracks among which a diverse list is chosen
LEAST_POOL = 100
BATCH = 1 << 22  # ids and scores held at a time beside the answers
USERS_A_BLOCK = 32  # of one unit of work for a thread
Found = tuple[np.ndarray, np.ndarray]
_NOTHING: Found = (np.empty(0, np.int32), np.empty(0, np.float32))


class Recommender:
    """All tracks of a model, ready to be chosen from.

    Parameters
    ----------
    exact : ExactIndex
    annoy : AnnoyIndex, optional
        Without it, approximate searches are exact.
    listeners : int64 array (n_items)
        Users of each track in training.
    threads : int, optional
        That lists of many users are made on; by default all cores.
    """

    def __init__(  # noqa: D107
        self,
        exact: ExactIndex,
        annoy: AnnoyIndex | None,
        listeners: np.ndarray,
        threads: int | None = None,
    ) -> None:
        self._exact = exact
        self._annoy = annoy
        self._listeners = listeners
        self._threads = threads
        order = np.argsort(-listeners, kind="stable")
        self._popular = order[: np.count_nonzero(listeners)].astype(np.int32)

    def best(self, vector: np.ndarray, query: Query, seen: np.ndarray) -> Found:
        """Find the best tracks for a factor; for one of zeros, the tracks of most listeners.

        Parameters
        ----------
        vector : float32 array (rank)
        query : Query
        seen : int32 array
            Tracks played, ascending.

        Returns
        -------
        ids, scores : int32 and float32 arrays (at most query.k)
            By falling score, equal scores by lower id; or, with `diversity`, as chosen. The score
            of a popular track is its listeners.
        """
        if query.k == 0:
            return _NOTHING
        excluded = seen if query.exclude_seen else query.exclude
        if query.exclude_seen and len(query.exclude):
            excluded = np.union1d(seen, query.exclude).astype(np.int32)
        if not vector.any():
            return self._most_popular(query, excluded)
        pool = query.k
        if query.diversity:
            pool = min(max(POOL * query.k, LEAST_POOL), self._exact.n_items)
        if query.candidates is not None:
            found = self._among(vector, pool, np.setdiff1d(query.candidates, excluded))
        elif query.search_k is not None:
            found = self._approximate(vector, pool, excluded, query.search_k)
        else:
            found = self._exact.search_one(vector, pool, excluded)
        return self._diverse(found, query) if query.diversity else found

    def many(self, vectors: np.ndarray, query: Query, seen: Interactions) -> list[Found]:
        """Find the tracks of many users: what `best` finds for each.

        Parameters
        ----------
        vectors : float32 array (n, rank)
        query : Query
        seen : Interactions (n, n_items)
            What each has played.
        """
        plain = query.candidates is None and query.search_k is None and not query.diversity
        if not plain or not query.k or len(query.exclude):
            return self._one_by_one(vectors, query, seen)
        lists: list[Found] = []
        step = max(1, BATCH // query.k)
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step]
            rows = seen.rows(np.arange(start, start + len(block)))
            exclude = (rows.indptr, rows.indices) if query.exclude_seen else None
            ids, scores = self._exact.search(block, query.k, exclude, self._threads)
            lengths = np.count_nonzero(ids >= 0, axis=1)
            for i, length in enumerate(lengths.tolist()):
                if block[i].any():
                    lists.append((ids[i, :length], scores[i, :length]))
                else:
                    lists.append(self.best(block[i], query, rows.row(i)))
        return lists

    def _one_by_one(self, vectors: np.ndarray, query: Query, seen: Interactions) -> list[Found]:
        lists: list[Found] = [_NOTHING] * len(vectors)

        def fill(start: int, stop: int) -> None:
            for i in range(start, stop):
                lists[i] = self.best(vectors[i], query, seen.row(i))

        for_blocks(fill, blocks(len(vectors), USERS_A_BLOCK), self._threads)
        return lists

    def _most_popular(self, query: Query, excluded: np.ndarray) -> Found:
        order = self._popular
        if query.candidates is not None:
            order = order[np.isin(order, query.candidates)]
        ids = order[: query.k + len(excluded)]
        ids = ids[~np.isin(ids, excluded)][: query.k]
        return ids, self._listeners[ids].astype(np.float32)

    def _among(self, vector: np.ndarray, k: int, candidates: np.ndarray) -> Found:
        factors = self._exact.factors
        candidates = candidates[factors[candidates].any(axis=1)].astype(np.int32)
        scores = np.empty(len(candidates), np.float32)
        inner_products(factors, candidates, vector, scores)
        length = min(k, len(candidates))
        ids, best = np.empty(length, np.int32), np.empty(length, np.float32)
        write_best(candidates, scores, ids, best)
        return ids, best

    def _approximate(
        self, vector: np.ndarray, k: int, excluded: np.ndarray, search_k: int
    ) -> Found:
        """Search the index; exactly, where it finds too few or all are asked for."""
        wanted = k + len(excluded)
        if self._annoy is not None and wanted < self._annoy.n_items:
            ids, scores = self._annoy.search(vector, wanted, search_k)
            fresh = ~np.isin(ids, excluded)
            if np.count_nonzero(fresh) >= k:
                return ids[fresh][:k], scores[fresh][:k]
        return self._exact.search_one(vector, k, excluded)

    def _diverse(self, found: Found, query: Query) -> Found:
        """Choose a diverse list from the best tracks."""
        ids, scores = found
        if not len(ids):
            return found
        vectors = self._exact.factors[ids].astype(np.float64)
        vectors /= np.maximum(np.sqrt((vectors**2).sum(axis=1, keepdims=True)), 1e-300)
        top = abs(float(scores[0]))
        relevance = scores.astype(np.float64) / top if top > 0 else np.zeros(len(scores))
        chosen = np.empty(min(query.k, len(ids)), np.int64)
        _most_marginal(vectors, relevance, query.diversity, chosen)
        return ids[chosen], scores[chosen]


@kernel()
def _most_marginal(vectors, relevance, weight, out):
    """Choose rows by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    `vectors` have norm 1 and are in falling order of `relevance`, which lies in [0, 1] at its top.
    Each step takes the row of the largest (1 - weight) relevance - weight (largest cosine with
    those taken), ties by the earlier row.
    """
    n, rank = vectors.shape
    nearest = np.full(n, -1.0)
    taken = np.zeros(n, np.bool_)
    for step in range(len(out)):
        best, best_value = -1, -np.inf
        for row in range(n):
            if not taken[row]:
                penalty = nearest[row] if step else 0.0
                value = (1.0 - weight) * relevance[row] - weight * penalty
                if value > best_value or best < 0:
                    best, best_value = row, value
        out[step] = best
        taken[best] = True
        for row in range(n):
            cosine = 0.0
            for factor in range(rank):
                cosine += np.float64(vectors[row, factor]) * vectors[best, factor]
            nearest[row] = max(nearest[row], cosine)
