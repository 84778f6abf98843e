"""Choose the tracks of a list: exactly, through the index, among candidates, by popularity."""

from __future__ import annotations

import numpy as np

from musicrec.bundle.manifest import NO_TIME
from musicrec.bundle.query import Query
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex
from musicrec.search.kernels import inner_products, write_best

POOL = 10  # times the list's length: the best tracks among which a diverse list is chosen
LEAST_POOL = 100
GROUP_POOL = 2  # times the list's length, at first and again: for lists of few a group
FEW = 16  # candidates are scored one by one where they are fewer than a FEW-th of the tracks
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
    groups : int32 array (n_items), optional
        Of each track, below 0 for none.
    """

    def __init__(  # noqa: D107
        self,
        exact: ExactIndex,
        annoy: AnnoyIndex | None,
        listeners: np.ndarray,
        groups: np.ndarray | None = None,
    ) -> None:
        self._exact = exact
        self._annoy = annoy
        self._listeners = listeners
        self._groups = groups
        order = np.argsort(-listeners, kind="stable")
        self._popular = order[: np.count_nonzero(listeners)].astype(np.int32)

    def best(self, vector: np.ndarray, query: Query, excluded: np.ndarray) -> Found:
        """Find the best tracks for a factor; for one of zeros, the tracks of most listeners.

        Parameters
        ----------
        vector : float32 array (rank)
        query : Query
        excluded : int32 array
            Tracks that this user must not get, beside those of the query; ascending.

        Returns
        -------
        ids, scores : int32 and float32 arrays (at most query.k)
            By falling score, equal scores by lower id; or, with `diversity`, as chosen. The score
            of a popular track is its listeners. There are k if so many are left.
        """
        if query.k == 0:
            return _NOTHING
        if not vector.any():
            return self._most_popular(query, excluded)
        pool = _pool(query)
        while True:
            pool = min(pool, self._exact.n_items)
            found, final = self._choose(self._search(vector, pool, query, excluded), pool, query)
            if final:
                return found
            pool *= GROUP_POOL

    def many(self, vectors: np.ndarray, query: Query, excluded: Interactions) -> list[Found]:
        """Find the tracks of many users: what `best` finds for each.

        Parameters
        ----------
        vectors : float32 array (n, rank)
        query : Query
        excluded : Interactions (n, n_items)
            Tracks that each must not get.
        """
        if not query.k or query.diversity or query.search_k is not None or self._few(query):
            return self._one_by_one(vectors, query, excluded)
        lists: list[Found] = [_NOTHING] * len(vectors)
        pool, users = _pool(query), np.arange(len(vectors))
        while len(users):
            pool = min(pool, self._exact.n_items)
            step = max(1, BATCH // pool)
            again: list[int] = []
            for block in np.split(users, range(step, len(users), step)):
                rows = excluded.rows(block)
                pairs = (rows.indptr, rows.indices)
                ids, scores = self._exact.search(vectors[block], pool, pairs, query.mask)
                lengths = np.count_nonzero(ids >= 0, axis=1).tolist()
                for i, (user, length) in enumerate(zip(block.tolist(), lengths, strict=True)):
                    found = ids[i, :length], scores[i, :length]
                    if not length and not vectors[user].any():
                        lists[user] = self._most_popular(query, rows.row(i))
                        continue
                    lists[user], final = self._choose(found, pool, query)
                    if not final:
                        again.append(user)
            users = np.array(again, np.int64)
            pool *= GROUP_POOL
        return lists

    def _one_by_one(self, vectors: np.ndarray, query: Query, excluded: Interactions) -> list[Found]:
        lists: list[Found] = [_NOTHING] * len(vectors)

        def fill(start: int, stop: int) -> None:
            for i in range(start, stop):
                lists[i] = self.best(vectors[i], query, excluded.row(i))

        for_blocks(fill, blocks(len(vectors), USERS_A_BLOCK))
        return lists

    def _few(self, query: Query) -> bool:
        """Whether candidates are so few that scoring each is faster than the search."""
        return query.candidates is not None and len(query.candidates) * FEW < self._exact.n_items

    def _most_popular(self, query: Query, excluded: np.ndarray) -> Found:
        order = self._popular
        if query.mask is not None:
            order = order[np.unpackbits(query.mask, bitorder="little")[order] == 0]
        if query.max_per_group is None:
            order = order[: query.k + len(excluded)]
        order = order[~np.isin(order, excluded)]
        ids = order[self._first(order, query)]
        return ids, self._listeners[ids].astype(np.float32)

    def _search(self, vector: np.ndarray, k: int, query: Query, excluded: np.ndarray) -> Found:
        """Find the k best tracks that are not excluded."""
        if query.candidates is not None and self._few(query):
            factors = self._exact.factors
            return _best_among(factors, query.candidates, excluded, vector, k)
        if query.candidates is None and query.search_k is not None:
            all_excluded = np.union1d(query.exclude, excluded).astype(np.int32)
            return self._approximate(vector, k, all_excluded, query.search_k)
        return self._exact.search_one(vector, k, excluded, query.mask)

    def _choose(self, found: Found, pool: int, query: Query) -> tuple[Found, bool]:
        """Choose a list from the `pool` best tracks; and whether a larger pool changes nothing."""
        ids, scores = found
        final = len(ids) < pool or pool == self._exact.n_items
        if query.min_score is not None:
            length = np.count_nonzero(scores >= np.float64(query.min_score))
            final = final or length < len(ids)
            ids, scores = ids[:length], scores[:length]
        choose = self._diverse if query.diversity and len(ids) else self._first
        chosen = choose(ids, query, scores)
        return (ids[chosen], scores[chosen]), final or len(ids[chosen]) == query.k

    def _first(
        self, ids: np.ndarray, query: Query, scores: np.ndarray | None = None
    ) -> np.ndarray | slice:
        """Where the first k stand, of each group as many as may be."""
        if query.max_per_group is None:
            return slice(query.k)
        chosen: np.ndarray = _first_of_groups(self._groups_of(ids), query.max_per_group, query.k)
        return chosen

    def _diverse(self, ids: np.ndarray, query: Query, scores: np.ndarray) -> np.ndarray:
        """Where the tracks of a diverse list stand, of each group as many as may be."""
        vectors = self._exact.factors[ids].astype(np.float64)
        vectors /= np.maximum(np.sqrt((vectors**2).sum(axis=1, keepdims=True)), 1e-300)
        top = abs(float(scores[0]))
        relevance = scores.astype(np.float64) / top if top > 0 else np.zeros(len(scores))
        groups = self._groups_of(ids)
        most = query.max_per_group or len(ids)
        chosen = np.empty(min(query.k, len(ids)), np.int64)
        columns = np.ascontiguousarray(vectors.T)
        return chosen[: _most_marginal(columns, relevance, query.diversity, (groups, most), chosen)]

    def _groups_of(self, ids: np.ndarray) -> np.ndarray:
        return np.full(len(ids), -1, np.int32) if self._groups is None else self._groups[ids]

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


def _pool(query: Query) -> int:
    """How many of the best tracks the list is chosen from at first."""
    if query.diversity:
        return max(POOL * query.k, LEAST_POOL)
    return query.k if query.max_per_group is None else GROUP_POOL * query.k


@kernel()
def _best_among(factors, candidates, excluded, query, k):
    """Score candidates, both lists ascending; ids and scores of the best, ties by lower id."""
    kept = np.empty(len(candidates), np.int32)
    count, before = 0, 0
    for item in candidates:
        while before < len(excluded) and excluded[before] < item:
            before += 1
        if before < len(excluded) and excluded[before] == item:
            continue
        kept[count] = item
        count += _has_factor(factors, item)
    scores = np.empty(count, np.float32)
    inner_products(factors, kept[:count], query, scores)
    ids, best = np.empty(min(k, count), np.int32), np.empty(min(k, count), np.float32)
    write_best(kept[:count], scores, ids, best)
    return ids, best


@kernel(allocates=False)
def _has_factor(factors, item):
    factor = 0
    while factor < factors.shape[1] and factors[item, factor] == 0.0:
        factor += 1
    return factor < factors.shape[1]


@kernel()
def find_times(plays, users, items, out):
    """Write the count of each user and item, `NO_TIME` where there is none."""
    for i in range(len(out)):
        start, stop = plays.indptr[users[i]], plays.indptr[users[i] + 1]
        position = start + np.searchsorted(plays.indices[start:stop], items[i])
        found = position < stop and plays.indices[position] == items[i]
        out[i] = plays.counts[position] if found else NO_TIME


@kernel()
def _first_of_groups(groups, most, k):
    """Positions of the first k, at most `most` of each group; below 0 stands for no group."""
    chosen = np.empty(min(k, len(groups)), np.int64)
    count = 0
    for position in range(len(groups)):
        if count == len(chosen):
            break
        if _has_room(groups, chosen[:count], groups[position], most):
            chosen[count] = position
            count += 1
    return chosen[:count]


@kernel()
def _has_room(groups, chosen, group, most):
    """Whether fewer than `most` of the chosen are of the group."""
    if group < 0:
        return True
    same = 0
    for position in chosen:
        same += groups[position] == group
    return same < most


@kernel()
def _most_marginal(columns, relevance, weight, limit, out):
    """Choose tracks by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    `columns` (rank, n) hold vectors of norm 1 in falling order of `relevance`, which lies in [0, 1]
    at its top. Each step takes the track of the largest (1 - weight) relevance - weight (largest
    cosine with those taken), ties by the earlier one. `limit` holds each track's group and how many
    a group may have. Returns how many tracks were taken.
    """
    rank, n = columns.shape
    groups, most = limit
    nearest, cosines = np.full(n, -1.0), np.empty(n)
    taken = np.zeros(n, np.bool_)
    for step in range(len(out)):
        best, best_value = -1, -np.inf
        for row in range(n):
            if not taken[row]:
                penalty = nearest[row] if step else 0.0
                value = (1.0 - weight) * relevance[row] - weight * penalty
                if value > best_value or best < 0:
                    best, best_value = row, value
        if best < 0:
            return step
        out[step] = best
        taken[best] = True
        if not _has_room(groups, out[: step + 1], groups[best], most):
            taken |= groups == groups[best]
        cosines[:] = 0.0
        for factor in range(rank):
            value = columns[factor, best]
            for row in range(n):
                cosines[row] += columns[factor, row] * value
        nearest = np.maximum(nearest, cosines)
    return len(out)
