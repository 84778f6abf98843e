"""The product's approximate index: an exact head, and Annoy on a reduction of the rest.

Recommendation asks for the largest inner products, and those belong to items of large norm: on
the Million Song Dataset factors of docs/ann.md the 4 % of largest norm hold 93 % of the answers at
k = 500. They are scored in full, by the exact kernel. The others are in an Annoy index of
[v, sqrt(M^2 - |v|^2)], M their largest norm, which turns inner product into Euclidean distance
(Bachrach et al., RecSys 2014); Annoy's own `dot` metric is broken, see docs/ann.md. What Annoy
finds is scored again by the kernel, so scores and ties are those of the exact search.

Annoy squares what it is given, in float32: where M is far from 1, the vectors are scaled by a power
of two, which changes no digit of them and no order of the answers.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.errors import MusicRecError
from musicrec.jit.kernel import kernel
from musicrec.search.exact import ExactIndex, checked_factors, readonly, scorable_norms
from musicrec.search.forest import EUCLIDEAN, HEADER, find_fault, mend
from musicrec.search.kernels import LARGEST_SCORE, SUBNORMAL, inner_products, write_best
from musicrec.search.vectors import by_falling_norm, lift, moderate
from musicrec.storage.outputs import atomic_path

HEAD_SHARE = 1 / 24  # of the items, those of largest norm: searched exactly
QUERY_SCALE = 4.0  # norm of a query in units of M: the larger, the more direction decides


def build_index(
    item_factors: np.ndarray, path: str | os.PathLike[str], n_trees: int, seed: int
) -> None:
    """Build the index and write it to one file, the same bytes for the same input.

    Parameters
    ----------
    item_factors : float32 array (n_items, rank)
        Items whose vector is all zero are left out.
    path : path
        Annoy's own format, metric `euclidean`, rank + 1 dimensions.
    n_trees : int
        More trees: better candidates, a larger file.
    seed : int
        Of Annoy's random splits.

    Raises
    ------
    MusicRecError
        The factors are not finite or so large that scores overflow, no item has a vector, or Annoy
        does not work on this system.
    """
    factors = checked_factors(item_factors, "item factors")
    norms, _, tail = _tiers(factors)
    if not len(tail):
        raise MusicRecError("no item has a vector to index; train on more plays")
    largest = float(norms[tail[0]])
    scale = moderate(largest)
    forest = Forest(factors.shape[1] + 1, "euclidean")
    forest.set_seed(seed)
    for start in range(0, len(tail), 4096):
        some = tail[start : start + 4096]
        vectors = lift(factors[some], norms[some], largest) * scale
        for position, vector in enumerate(vectors.tolist(), start):
            forest.add_item(position, vector)
    forest.build(n_trees, n_jobs=1)  # with more, Annoy's bytes differ from run to run
    with atomic_path(path) as temporary:
        if not forest.save(str(temporary)):
            raise MusicRecError("Annoy could not write the index; is the disk full?")
        forest.unload()
        words = np.memmap(temporary, np.int32, "r+")
        nodes = words.reshape(-1, HEADER + factors.shape[1] + 1)
        mend(nodes, len(tail), EUCLIDEAN)
        words.flush()
        if fault := find_fault(readonly(nodes, np.int32), factors, tail, scale):
            raise MusicRecError(
                f"Annoy built an index that is not sound: {fault}; install it anew, built from "
                "source on this system"
            )


def load_index(
    path: str | os.PathLike[str], item_factors: np.ndarray, name: str | None = None
) -> AnnoyIndex:
    """Open an index beside the factors it was built from; the file is memory-mapped.

    Errors call it `name`, by default the path.

    Raises
    ------
    MusicRecError
        The file is missing, damaged, or does not fit the factors.
    """
    return AnnoyIndex(path, item_factors, name or os.fspath(path))


class AnnoyIndex:
    """An index that answers queries, on any number of threads; make it with `load_index`."""

    def __init__(  # noqa: D107
        self, path: str | os.PathLike[str], item_factors: np.ndarray, name: str
    ) -> None:
        self._factors = checked_factors(item_factors, "item factors")
        norms, head, tail = _tiers(self._factors)
        self._head_ids, self._tail_ids = head, tail
        self._head = ExactIndex(self._factors[head])
        self._largest = float(norms[tail[0]]) if len(tail) else 0.0
        self._scale = moderate(self._largest)
        self._n_nodes = self._check(path, name)
        self._forest = Forest(self._factors.shape[1] + 1, "euclidean")
        try:
            self._forest.load(os.fspath(path))
        except OSError as error:
            raise MusicRecError(f"{name}: not an Annoy index ({error}); export it again") from None
        if self._forest.get_n_items() != len(tail):
            raise MusicRecError(
                f"{name}: Annoy reads {self._forest.get_n_items()} items where there are "
                f"{len(tail)}; install Annoy anew, built from source on this system"
            )

    @property
    def n_items(self) -> int:
        """Items that can be found: those whose vector is not all zero."""
        return len(self._head_ids) + len(self._tail_ids)

    def search(self, query: np.ndarray, k: int, search_k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the k best items of one query, on the calling thread.

        Parameters
        ----------
        query : float32 array (rank)
        k : int
        search_k : int
            Nodes that Annoy inspects; with the number of items times trees or more the answer is
            exact.

        Returns
        -------
        ids, scores : int32 and float32 arrays (at most k)
            By falling score, equal scores by lower id; scores are those of the exact search.

        Raises
        ------
        MusicRecError
            The query has another rank than the items, is not finite, or is so large that scores
            overflow; or `k` is below 1.
        """
        query = readonly(query, np.float32)
        k = min(k, max(1, self.n_items))
        places, scores = self._head.search_one(query, k)
        norm = float(np.sqrt(np.dot(query, query.astype(np.float64))))
        if norm == 0.0:
            return places, scores
        found = self._head_ids[places]
        if not norm * self._largest <= LARGEST_SCORE:
            raise MusicRecError("the scores of the query overflow float32; train the model anew")
        rounding = len(query) * SUBNORMAL  # of scores so small, beside that of others
        if len(found) == k and norm * self._largest + rounding < scores[-1] * (1.0 - 1e-5):
            return found, scores  # no other item can score so high
        out = (np.empty(k, np.int32), np.empty(k, np.float32))
        tail = self.near(query, k, search_k)
        count = _merge(self._factors, query, (found, scores), tail, out)
        return out[0][:count], out[1][:count]

    def near(self, query: np.ndarray, k: int, search_k: int) -> np.ndarray:
        """Ask Annoy alone, which knows all items but the head; ids, int32, the nearest first.

        The query must not be zero.
        """
        norm = float(np.sqrt(np.dot(query, query.astype(np.float64))))
        if (up := moderate(norm)) != 1.0:
            query, norm = (query.astype(np.float64) * up).astype(np.float32), norm * up
        lifted = (query * (QUERY_SCALE * self._largest * self._scale / norm)).tolist()
        lifted.append(0.0)
        most = min(self._n_nodes * len(lifted), 2**31 - 1)  # more there is not to inspect
        found = self._forest.get_nns_by_vector(lifted, k, min(search_k, most))
        return self._tail_ids[np.array(found, np.int64)]

    def _check(self, path: str | os.PathLike[str], name: str) -> int:
        """Number of nodes of a file that is safe to give to Annoy."""
        node_bytes = 4 * (HEADER + self._factors.shape[1] + 1)
        try:
            size = Path(path).stat().st_size
            fits = size > 0 and size % node_bytes == 0
            words = np.memmap(path, np.int32, "r", shape=(size // 4,)) if fits else None
        except (OSError, ValueError) as error:
            raise MusicRecError(f"{name}: not an Annoy index ({error}); export it again") from None
        if words is None:
            raise MusicRecError(
                f"{name}: not an Annoy index of rank {self._factors.shape[1]} ({size} bytes); "
                "export it again"
            )
        nodes = readonly(words.reshape(-1, node_bytes // 4), np.int32)
        if fault := find_fault(nodes, self._factors, self._tail_ids, self._scale):
            raise MusicRecError(
                f"{name}: does not fit the factors or is damaged: {fault}; export both together"
            )
        return len(nodes)


def _tiers(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the items: norms (n_items), head ids ascending, tail ids by falling norm."""
    norms = scorable_norms(factors)
    order = by_falling_norm(norms)
    n_head = int(len(order) * HEAD_SHARE)
    return norms, np.sort(order[:n_head]), order[n_head:]


@kernel()
def _merge(factors, query, head, tail, out):
    """Score the tail's candidates and write the best of head and tail; return how many.

    `head` and `out` are pairs: ids and scores.
    """
    ids = np.concatenate((head[0], tail))
    n_head = len(head[0])
    scores = np.empty(len(ids), np.float32)
    scores[:n_head] = head[1]
    inner_products(factors, tail, query, scores[n_head:])
    return write_best(ids, scores, out[0], out[1])
