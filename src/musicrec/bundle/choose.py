"""Choose the tracks of a list: exactly, through the index, among candidates, by popularity."""

from __future__ import annotations

import numpy as np

from musicrec.bundle.kernels import most_marginal
from musicrec.bundle.wish import Wish
from musicrec.interactions.matrix import Interactions
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


class Chooser:
    """All tracks of a model, ready to be chosen from.

    Attributes
    ----------
    exact : ExactIndex
    annoy : AnnoyIndex, optional
        Without it, approximate searches are exact.
    listeners : int64 array (n_items)
        Users of each track in training.
    """

    def __init__(
        self,
        exact: ExactIndex,
        annoy: AnnoyIndex | None,
        listeners: np.ndarray,
        threads: int | None = None,
    ) -> None:
        """Put the tracks in the order of their popularity, equal ones by lower id.

        Lists of many users are made on `threads`, by default on all cores.
        """
        self._threads = threads
        self.exact = exact
        self.annoy = annoy
        self.listeners = listeners
        order = np.argsort(-listeners, kind="stable")
        self._popular = order[: np.count_nonzero(listeners)].astype(np.int32)

    def best(self, query: np.ndarray, wish: Wish, seen: np.ndarray) -> Found:
        """Find the best tracks for a factor that is not zero.

        Returns
        -------
        ids, scores : int32 and float32 arrays (at most wish.k)
            By falling score, equal scores by lower id; or, with `diversity`, as chosen.
        """
        pool = wish.k
        if wish.diversity and wish.k:
            pool = min(max(POOL * wish.k, LEAST_POOL), self.exact.n_items)
        excluded = excluded_by(wish, seen)
        if pool == 0:
            return _NOTHING
        if wish.candidates is not None:
            found = self._among(query, pool, np.setdiff1d(wish.candidates, excluded))
        elif wish.search_k is not None:
            found = self._approximate(query, pool, excluded, wish.search_k)
        else:
            found = self.exact.search_one(query, pool, excluded)
        return self.diverse(found, wish) if wish.diversity else found

    def many(self, queries: np.ndarray, wish: Wish, plays: Interactions) -> list[Found]:
        """Find the tracks of many users: as `best` and, for factors of zero, `popular` do.

        Parameters
        ----------
        queries : float32 array (n, rank)
        plays : Interactions (n, n_items)
            What each has played.
        """
        plain = wish.candidates is None and wish.search_k is None and not wish.diversity
        if not plain or not wish.k or len(wish.exclude):
            return self._one_by_one(queries, wish, plays)
        lists: list[Found] = []
        step = max(1, BATCH // wish.k)
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            rows = plays.rows(np.arange(start, start + len(block)))
            exclude = (rows.indptr, rows.indices) if wish.exclude_seen else None
            ids, scores = self.exact.search(block, wish.k, exclude, self._threads)
            lengths = np.count_nonzero(ids >= 0, axis=1)
            for i, length in enumerate(lengths.tolist()):
                if block[i].any():
                    lists.append((ids[i, :length], scores[i, :length]))
                else:
                    lists.append(self.popular(wish, rows.row(i)))
        return lists

    def _one_by_one(self, queries: np.ndarray, wish: Wish, plays: Interactions) -> list[Found]:
        lists: list[Found] = [_NOTHING] * len(queries)

        def fill(start: int, stop: int) -> None:
            for i in range(start, stop):
                choose = self.best if queries[i].any() else self._popular_for
                lists[i] = choose(queries[i], wish, plays.row(i))

        for_blocks(fill, blocks(len(queries), USERS_A_BLOCK), self._threads)
        return lists

    def _popular_for(self, query: np.ndarray, wish: Wish, seen: np.ndarray) -> Found:
        return self.popular(wish, seen)

    def popular(self, wish: Wish, seen: np.ndarray) -> Found:
        """Find the tracks of most listeners, which are their scores."""
        order = self._popular
        if wish.candidates is not None:
            order = order[np.isin(order, wish.candidates)]
        excluded = excluded_by(wish, seen)
        ids = order[: wish.k + len(excluded)]
        ids = ids[~np.isin(ids, excluded)][: wish.k]
        return ids, self.listeners[ids].astype(np.float32)

    def diverse(self, found: Found, wish: Wish) -> Found:
        """Choose a diverse list from the best tracks."""
        ids, scores = found
        if not len(ids):
            return found
        vectors = self.exact.factors[ids].astype(np.float64)
        vectors /= np.maximum(np.sqrt((vectors**2).sum(axis=1, keepdims=True)), 1e-300)
        top = abs(float(scores[0]))
        relevance = scores.astype(np.float64) / top if top > 0 else np.zeros(len(scores))
        chosen = np.empty(min(wish.k, len(ids)), np.int64)
        most_marginal(vectors, relevance, wish.diversity, chosen)
        return ids[chosen], scores[chosen]

    def _among(self, query: np.ndarray, k: int, candidates: np.ndarray) -> Found:
        factors = self.exact.factors
        candidates = candidates[factors[candidates].any(axis=1)].astype(np.int32)
        scores = np.empty(len(candidates), np.float32)
        inner_products(factors, candidates, query, scores)
        ids, best = np.empty(min(k, len(candidates)), np.int32), np.empty(k, np.float32)
        count = write_best(candidates, scores, ids, best)
        return ids[:count], best[:count]

    def _approximate(self, query: np.ndarray, k: int, excluded: np.ndarray, search_k: int) -> Found:
        """Search the index; exactly, where it finds too few or all are asked for."""
        wanted = k + len(excluded)
        if self.annoy is not None and wanted < self.annoy.n_items:
            ids, scores = self.annoy.search(query, wanted, search_k)
            fresh = ~np.isin(ids, excluded)
            if np.count_nonzero(fresh) >= k:
                return ids[fresh][:k], scores[fresh][:k]
        return self.exact.search_one(query, k, excluded)


def excluded_by(wish: Wish, seen: np.ndarray) -> np.ndarray:
    """Tracks that must not be in the list, ascending."""
    if not wish.exclude_seen:
        return wish.exclude
    return np.union1d(seen, wish.exclude).astype(np.int32) if len(wish.exclude) else seen
