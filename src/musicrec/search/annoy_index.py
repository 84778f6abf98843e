"""The product's approximate index: an exact head, and Annoy on the augmented vectors of the rest.

Recommendation asks for the largest inner products, and those belong to items of large norm: on
the Million Song Dataset factors of docs/ann.md the 4 % of largest norm hold 93 % of the answers at
k = 500. They are scored in full, by the exact kernel. The others are in an Annoy index of
[v, sqrt(M^2 - |v|^2)], M their largest norm, which turns inner product into Euclidean distance
(Bachrach et al., RecSys 2014); Annoy's own `dot` metric is broken, see docs/ann.md. What Annoy
finds is scored again by the kernel, so scores and ties are those of the exact search.

    python -m musicrec.search.annoy_index       # exit code 1 and a sentence: another build of Annoy
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.errors import MusicRecError, warn
from musicrec.interactions.factors import by_falling_norm, checked_factors, norms_of, readonly
from musicrec.jit.kernel import kernel
from musicrec.params import ExportParams
from musicrec.search.exact import ExactIndex
from musicrec.search.kernels import LARGEST_SCORE, SUBNORMAL, inner_products, write_best
from musicrec.storage.outputs import atomic_path

HEAD_SHARE = 1 / 24  # of the items, those of largest norm: searched exactly
QUERY_SCALE = 4.0  # norm of a query in units of M: the larger, the more direction decides
NODE_HEADER = 4  # words of a node of Annoy's file before its vector
PROBED = 1000  # nodes that `probe` inspects first
MOST = 2**31 - 1  # nodes that can be asked for
KNOWN_SHA256 = "ff6fbea07b212aedd780e534556fb2f8ba4ca9c5b1d7315c26cc7a302ec5a316"


def build_index(
    item_factors: np.ndarray, path: str | os.PathLike[str], params: ExportParams
) -> None:
    """Build the index of float32 (n_items, rank) and write it to one file of Annoy's own format.

    Metric `euclidean`, rank + 1 dimensions; items whose vector is all zero are left out. The same
    input gives the same bytes.

    Raises
    ------
    MusicRecError
        The factors cannot be searched, all of them are zero, or the file cannot be written.
    """
    factors = checked_factors(item_factors, "item factors")
    norms, _, tail = _tiers(factors)
    if not len(tail):
        raise MusicRecError(
            "all item factors are zero, so there is nothing to index: lower als.reg_param or raise "
            "als.alpha"
        )
    largest = float(norms[tail[0]])
    forest = Forest(factors.shape[1] + 1, "euclidean")
    forest.set_seed(params.seed)
    for start in range(0, len(tail), 4096):
        some = tail[start : start + 4096]
        vectors = augment(factors[some], norms[some], largest)
        for position, vector in enumerate(vectors.tolist(), start):
            forest.add_item(position, vector)
    forest.build(params.n_trees, n_jobs=1)  # with more, Annoy's bytes differ from run to run
    with atomic_path(path) as temporary:
        if not forest.save(str(temporary)):
            raise MusicRecError("Annoy could not write the index; is the disk full?")
        forest.unload()


class AnnoyIndex:
    """An index that answers queries, on any number of threads, beside the factors it is built from.

    Annoy follows its file, which is memory-mapped, wherever it leads: it must be as `build_index`
    wrote it, which a bundle's checksums say.

    Parameters
    ----------
    path : path
    item_factors : float32 array (n_items, rank)
    name : str, optional
        What errors call it, by default the path.

    Raises
    ------
    MusicRecError
        The file is missing or not an index of so many items of this rank.
    """

    def __init__(  # noqa: D107
        self, path: str | os.PathLike[str], item_factors: np.ndarray, name: str | None = None
    ) -> None:
        self._name = name = name or os.fspath(path)
        self._factors = checked_factors(item_factors, "item factors")
        norms, head, tail = _tiers(self._factors)
        self._head_ids, self._tail_ids = head, tail
        self._head = ExactIndex(self._factors[head])
        self._largest = float(norms[tail[0]]) if len(tail) else 0.0
        node_bytes = 4 * (NODE_HEADER + self._factors.shape[1] + 1)
        self._forest = Forest(self._factors.shape[1] + 1, "euclidean")
        try:
            size = Path(path).stat().st_size
            if size == 0 or size % node_bytes:
                raise OSError(f"{size} bytes are not nodes of rank {self._factors.shape[1]}")
            self._forest.load(os.fspath(path))
        except OSError as error:
            raise MusicRecError(f"{name}: not an Annoy index ({error}); export it again") from None
        if self._forest.get_n_items() != len(tail):
            raise MusicRecError(
                f"{name}: an index of {self._forest.get_n_items()} items does not fit the factors "
                f"of {len(tail)}; export both together"
            )
        self._all_nodes = min(size // 4, MOST)  # a leaf has fewer items than words

    @property
    def n_items(self) -> int:
        """Items that can be found: those whose vector is not all zero."""
        return len(self._head_ids) + len(self._tail_ids)

    def search(self, query: np.ndarray, k: int, search_k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the k best items of one query (float32, rank), on the calling thread.

        Annoy inspects `search_k` nodes; with the number of items times trees or more the answer is
        exact. Returns ids (int32) and scores (float32), at most k, as of `ExactIndex.search_one`,
        and raises as that.
        """
        query = readonly(query, np.float32)
        k = min(k, max(1, self.n_items))
        positions, scores = self._head.search_one(query, k)
        norm = float(norms_of(query[None])[0])
        if norm == 0.0:
            return positions, scores
        found = self._head_ids[positions]
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
        norm = float(norms_of(query[None])[0])
        scaled = query * (np.float64(QUERY_SCALE * self._largest) / norm)
        found = self._forest.get_nns_by_vector(
            [*scaled.tolist(), 0.0], k, min(search_k, self._all_nodes)
        )
        return self._tail_ids[np.array(found, np.int64)]

    def probe(self, query: np.ndarray, k: int) -> np.ndarray:
        """Ask Annoy alone, as `near` does, for more nodes until it finds k items.

        Many trees over few items lead to the same items again and again. MusicRecError where Annoy
        finds fewer items than it has.
        """
        wanted, search_k = min(k, len(self._tail_ids)), PROBED
        while len(found := self.near(query, k, search_k)) < wanted:
            if search_k >= self._all_nodes:
                raise MusicRecError(
                    f"{self._name}: Annoy finds {len(found)} of the {len(self._tail_ids)} tracks "
                    "indexed there; run make setup, which compiles it anew"
                )
            search_k *= 4
        return found


def augment(vectors: np.ndarray, norms: np.ndarray, largest: float) -> np.ndarray:
    """Append sqrt(M^2 - |v|^2), M = `largest`: all vectors get the norm M.

    To a query (s q, 0) the nearest of these is then the one of largest inner product with q
    (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for
    inner-product spaces", RecSys 2014). Takes float32 (n, rank) and its norms; float64.
    """
    return np.column_stack((vectors, np.sqrt(np.maximum(0.0, largest**2 - norms**2))))


def _tiers(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the items: norms (n_items), head ids ascending, tail ids by falling norm."""
    norms = norms_of(factors)
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


@cache
def is_reproducible() -> bool:
    """Build a small index, in two milliseconds, and compare its bytes with those known.

    Annoy compiles itself with `-march=native -ffast-math` unless `ANNOY_COMPILER_ARGS` names other
    flags, as `make setup` does. Its distances are then rounded as the processor's vector
    instructions round them, and the same factors give other trees on another machine.
    """
    forest = Forest(21, "euclidean")  # 16 + 4 + 1: every path of the vectorised code
    forest.set_seed(1)
    state, modulus = 1, 2**31 - 1  # Lehmer's generator: the same numbers everywhere
    for item in range(256):
        vector = []
        for _ in range(21):
            state = state * 48271 % modulus
            vector.append(state / modulus)
        forest.add_item(item, vector)
    forest.build(4, n_jobs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.ann"
        forest.save(str(path))
        forest.unload()
        return hashlib.sha256(path.read_bytes()).hexdigest() == KNOWN_SHA256


def warn_of_another_build() -> None:
    """Print a sentence to standard error if the installed Annoy's bytes are not comparable."""
    if not is_reproducible():
        warn(
            "the installed Annoy was compiled with other flags than `make setup` uses: its indexes "
            "are usable, but their bytes cannot be compared with those of another machine; run "
            "make setup"
        )


if __name__ == "__main__":
    warn_of_another_build()
    sys.exit(not is_reproducible())
