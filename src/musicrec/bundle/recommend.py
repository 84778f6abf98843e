"""Choose the tracks of a list: exactly, through the index, among candidates, by popularity.

And find what is alike, by the cosine of the factors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from musicrec.bundle.manifest import NO_TIME
from musicrec.bundle.query import Query
from musicrec.interactions.factors import norms_of
from musicrec.interactions.matrix import Interactions
from musicrec.jit.kernel import kernel
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.search.annoy_index import AnnoyIndex
from musicrec.search.exact import ExactIndex
from musicrec.search.kernels import inner_products, write_best

POOL, LEAST_POOL = 2, 100  # a diverse list of k is chosen from the 2 k, or 100, best tracks
GROUP_POOL = 2  # times the list's length, at first and again: for lists of few a group
FEW = 64  # candidates are scored one by one where they are fewer than a FEW-th of the tracks
MANY = 256  # users for whom an index of the candidates alone is worth making
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
    items : int32 array (n_items), optional
        Ascending: the ids of the tracks, where they are some of a model's.
    """

    def __init__(  # noqa: D107
        self,
        exact: ExactIndex,
        annoy: AnnoyIndex | None,
        listeners: np.ndarray,
        groups: np.ndarray | None = None,
        items: np.ndarray | None = None,
    ) -> None:
        self._exact = exact
        self._annoy = annoy
        self._listeners = listeners
        self._groups = np.full(exact.n_items, -1, np.int32) if groups is None else groups
        self._items = items
        order = np.argsort(-listeners, kind="stable")
        self._popular = order[: np.count_nonzero(listeners)].astype(np.int32)

    def among(self, query: Query, n_users: int = MANY) -> Recommender:
        """What recommends the same to so many users: over an index of the candidates alone."""
        chosen = query.candidates
        if chosen is None or not len(chosen) or n_users < MANY:
            return self
        exact = ExactIndex(self._exact.factors[chosen])
        return Recommender(exact, None, self._listeners[chosen], self._groups[chosen], chosen)

    def many(self, vectors: np.ndarray, query: Query, excluded: Interactions) -> list[Found]:
        """Find the best tracks for each factor; for one of zeros, the tracks of most listeners.

        Parameters
        ----------
        vectors : float32 array (n, rank)
        query : Query
        excluded : Interactions (n, n_items)
            Tracks that each user must not get, beside those of the query.

        Returns
        -------
        list of (ids, scores) : int32 and float32 arrays (at most query.k)
            By falling score, equal scores by lower id; or, with `diversity`, as chosen. The score
            of a popular track is its listeners. There are k if so many are left.
        """
        if self._items is not None:
            local = np.full(excluded.n_items, -1, np.int32)
            local[self._items] = np.arange(len(self._items), dtype=np.int32)
            excluded = excluded._replace(indices=local[excluded.indices])
            excluded = excluded.filtered(excluded.indices >= 0)
            query = replace(query, candidates=None, exclude=query.exclude[:0], search_k=None)
        lists = [_NOTHING] * len(vectors)
        pool, users = _pool(query), np.arange(len(vectors) if query.k else 0)
        while len(users):
            pool = min(pool, self._exact.n_items)
            step = max(1, BATCH // pool)
            again: list[int] = []
            for start in range(0, len(users), step):
                block = users[start : start + step]
                rows = excluded if len(block) == len(vectors) else excluded.rows(block)
                ids, scores = self._search(vectors[block], pool, query, rows)
                lengths, seen = self._choose(ids, scores, query)
                if pool > query.k:  # do not keep what was not chosen
                    ids, scores = ids[:, : query.k].copy(), scores[:, : query.k].copy()
                counts = zip(block.tolist(), lengths.tolist(), seen.tolist(), strict=True)
                for i, (user, length, n) in enumerate(counts):
                    found = ids[i, :length], scores[i, :length]
                    if not length and not vectors[user].any():
                        found = self._most_popular(query, rows.row(i))
                    elif length < query.k and n == pool < self._exact.n_items:
                        again.append(user)
                    lists[user] = (
                        found if self._items is None else (self._items[found[0]], found[1])
                    )
            users = np.array(again, np.int64)
            pool *= GROUP_POOL
        return lists

    def _most_popular(self, query: Query, excluded: np.ndarray) -> Found:
        order = self._popular
        if query.mask is not None:
            order = order[np.unpackbits(query.mask, bitorder="little")[order] == 0]
        if query.max_per_group is None:
            order = order[: query.k + len(excluded)]
        order = order[~np.isin(order, excluded)]
        chosen = np.empty(min(query.k, len(order)), np.int64)
        most = query.max_per_group or len(order)
        ids = order[chosen[: _first_of_groups(self._groups[order], most, chosen)]]
        return ids, self._listeners[ids].astype(np.float32)

    def _search(self, vectors: np.ndarray, k: int, query: Query, excluded: Interactions) -> Found:
        """Find the k best tracks that are not excluded: (n, k) each, padded as by `ExactIndex`."""
        pairs, chosen = (excluded.indptr, excluded.indices), query.candidates
        few = chosen is not None and len(chosen) * FEW < self._exact.n_items
        if not few and (chosen is not None or query.search_k is None):
            return self._exact.search(vectors, k, pairs, query.mask)
        ids = np.full((len(vectors), k), -1, np.int32)
        scores = np.full((len(vectors), k), -np.inf, np.float32)

        def fill(start: int, stop: int) -> None:
            for i in range(start, stop):
                out, row = (ids[i], scores[i]), excluded.row(i)
                if few:
                    _best_among(self._exact.factors, chosen, row, vectors[i], out)
                else:
                    found = self._approximate(vectors[i], k, row, query)
                    for values, best in zip(out, found, strict=True):
                        values[: len(best)] = best

        for_blocks(fill, blocks(len(vectors), USERS_A_BLOCK))
        return ids, scores

    def _approximate(self, vector: np.ndarray, k: int, excluded: np.ndarray, query: Query) -> Found:
        """Search the index; exactly, where it finds too few or all are asked for."""
        excluded = np.union1d(query.exclude, excluded).astype(np.int32)
        wanted = k + len(excluded)
        if self._annoy is not None and query.search_k and wanted < self._annoy.n_items:
            ids, scores = self._annoy.search(vector, wanted, query.search_k)
            fresh = ~np.isin(ids, excluded)
            if np.count_nonzero(fresh) >= k:
                return ids[fresh][:k], scores[fresh][:k]
        return self._exact.search_one(vector, k, excluded)

    def _choose(self, ids: np.ndarray, scores: np.ndarray, query: Query) -> Found:
        """Put the list of each row in front; its length, and how many tracks were looked at."""
        if not (query.diversity or query.max_per_group or query.min_score is not None):
            lengths = (ids >= 0).sum(axis=1)
            return lengths, lengths
        lengths, seen = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
        least = -np.inf if query.min_score is None else query.min_score
        rules = (query.k, least, query.diversity, query.max_per_group or ids.shape[1])

        def choose(start: int, stop: int) -> None:
            out = (lengths[start:stop], seen[start:stop])
            lists = (ids[start:stop], scores[start:stop])
            _choose(lists, rules, self._groups, self._exact.factors, out)

        for_blocks(choose, blocks(len(ids), USERS_A_BLOCK))
        return lengths, seen


class CosineIndex:
    """Factors of tracks or of users, prepared for finding the rows nearest a vector by cosine."""

    def __init__(self, factors: np.ndarray) -> None:
        """Take float32 (n, rank), which is kept by reference."""
        self.factors = factors
        norms = norms_of(factors)
        self._rows = np.flatnonzero(norms).astype(np.int32)
        self._inverse = 1.0 / norms[self._rows]

    def nearest(
        self, vector: np.ndarray, k: int, leave_out: int = -1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows of the largest cosine with a vector, on the calling thread.

        Returns their ids (int32) and cosines (float32), equal cosines by lower id; neither rows of
        zeros nor the row `leave_out`, such as the vector's own. Products are summed in float64, in
        which those of float32 neither overflow nor underflow.
        """
        norm = norms_of(vector[np.newaxis])[0]
        if not norm:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        others = self._rows != leave_out
        rows = self._rows[others]
        products = np.empty(len(rows))
        inner_products(self.factors, rows, vector.astype(np.float64), products)
        cosines = np.clip(products / norm * self._inverse[others], -1.0, 1.0).astype(np.float32)
        length = min(k, len(rows))
        ids, best = np.empty(length, np.int32), np.empty(length, np.float32)
        write_best(rows, cosines, ids, best)
        return ids, best


def _pool(query: Query) -> int:
    """How many of the best tracks the list is chosen from at first."""
    if query.diversity:
        return max(POOL * query.k, LEAST_POOL)
    return query.k if query.max_per_group is None else GROUP_POOL * query.k


@kernel()
def _best_among(factors, candidates, excluded, query, out):
    """Write the best candidates, both lists ascending, as ids and scores; ties by lower id."""
    if not query.any():
        return
    kept = np.empty(len(candidates), np.int32)
    count, before = 0, 0
    for item in candidates:
        while before < len(excluded) and excluded[before] < item:
            before += 1
        if before < len(excluded) and excluded[before] == item:
            continue
        kept[count] = item
        count += factors[item].any()
    scores = np.empty(count, np.float32)
    inner_products(factors, kept[:count], query, scores)
    write_best(kept[:count], scores, out[0], out[1])


@kernel()
def find_times(plays, users, items, out):
    """Write the count of each user and item, `NO_TIME` where there is none."""
    for i in range(len(out)):
        start, stop = plays.indptr[users[i]], plays.indptr[users[i] + 1]
        position = start + np.searchsorted(plays.indices[start:stop], items[i])
        found = position < stop and plays.indices[position] == items[i]
        out[i] = plays.counts[position] if found else NO_TIME


@kernel()
def _choose(lists, rules, groups, factors, out):
    """Choose each row's list from its best tracks, by falling score, padded with ids of -1.

    `rules` are k, the least score, the weight of diversity and how many a group may have.
    """
    k, least, weight, most = rules
    for row in range(len(lists[0])):
        ids, scores = lists[0][row], lists[1][row]
        n = 0
        while n < len(ids) and ids[n] >= 0 and scores[n] >= least:
            n += 1
        ids, scores = ids[:n], scores[:n]
        chosen = np.empty(min(k, n), np.int64)
        if weight > 0.0:
            length = _most_marginal(factors, ids, scores, (weight, groups[ids], most), chosen)
        elif most < n:
            length = _first_of_groups(groups[ids], most, chosen)
        else:
            length = len(chosen)
        if weight > 0.0 or most < n:
            lists[0][row, :length] = ids[chosen[:length]]
            lists[1][row, :length] = scores[chosen[:length]]
        out[0][row], out[1][row] = length, n


@kernel()
def _first_of_groups(groups, most, out):
    """Write the first positions, at most `most` of each group; below 0 stands for no group."""
    count = 0
    for position in range(len(groups)):
        if count == len(out):
            break
        if _has_room(groups, out[:count], groups[position], most):
            out[count] = position
            count += 1
    return count


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
def _most_marginal(factors, ids, scores, rules, out):
    """Choose tracks by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each step takes the track of the largest (1 - weight) score / best score - weight (largest
    cosine with those taken), ties by the earlier one. `rules` are the weight, the tracks' groups
    and how many a group may have. Returns how many tracks were taken.
    """
    weight, groups, most = rules
    columns = _unit_columns(factors, ids)
    n, top = len(ids), np.float64(abs(scores[0])) if len(ids) else 0.0
    relevance, nearest = np.zeros(n, np.float32), np.full(n, np.float32(-2.0))
    cosines = np.empty(n, np.float32)
    if top > 0.0:
        relevance[:] = (1.0 - weight) * (scores / top)
    values = relevance.copy()
    for step in range(len(out)):
        best = np.argmax(values)
        if values[best] == -np.inf:
            return step
        out[step] = best
        relevance[best] = -np.inf
        if not _has_room(groups, out[: step + 1], groups[best], most):
            relevance[groups == groups[best]] = -np.inf
        cosines[:] = 0.0
        for factor in range(0, len(columns), 4):
            a, b = columns[factor, best], columns[factor + 1, best]
            c, d = columns[factor + 2, best], columns[factor + 3, best]
            for i in range(n):
                cosines[i] += (
                    a * columns[factor, i]
                    + b * columns[factor + 1, i]
                    + c * columns[factor + 2, i]
                    + d * columns[factor + 3, i]
                )
        for i in range(n):
            nearest[i] = max(nearest[i], cosines[i])
            values[i] = relevance[i] - np.float32(weight) * nearest[i]
    return len(out)


@kernel()
def _unit_columns(factors, ids):
    """The factors of some tracks at norm 1, one row a factor, padded to four."""
    columns = np.zeros((-(-factors.shape[1] // 4) * 4, len(ids)), np.float32)
    for i in range(len(ids)):
        vector, squared = factors[ids[i]], 0.0
        for value in vector:
            squared += np.float64(value) * value
        scale = 1.0 / np.sqrt(squared)
        for factor in range(len(vector)):
            columns[factor, i] = vector[factor] * scale
    return columns
