"""Search methods under one small interface, that of ann-benchmarks: fit, set, query.

Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks", Information Systems 87, 2020.
"""

from __future__ import annotations

import importlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import norms_of
from musicrec.jit.parallel import blocks, for_blocks, thread_count
from musicrec.params import AnnBenchParams, ExportParams
from musicrec.search.annoy_index import AnnoyIndex, augment, build_index
from musicrec.search.exact import ExactIndex

QUERY_BLOCK = 16  # queries of one unit of work in a batch
Ids = Sequence[int] | np.ndarray
HNSW_LINKS = 16
HNSW_EF_CONSTRUCTION = 200


class Method(ABC):
    """A search method; one object is one index.

    Attributes
    ----------
    exact : bool
        Whether it finds the k best items, apart from float32's rounding.
    build_parameter, query_parameter : str
        What `build` and `set_query_argument` set; empty where there is no such parameter.
    index_bytes : int
        Size of what `fit` made beside the factors.
    """

    exact: ClassVar[bool] = False
    build_parameter: ClassVar[str] = ""
    query_parameter: ClassVar[str] = ""
    index_bytes: int = 0

    def __init__(self, build: int, seed: int) -> None:
        """Take the build parameter's value, 0 where there is none, and a random seed."""
        self.build, self.seed = build, seed
        self.argument = 0

    @abstractmethod
    def fit(self, items: np.ndarray) -> None:
        """Index float32 factors (n_items, rank)."""

    def set_query_argument(self, value: int) -> None:
        """Set the parameter that trades recall for speed."""
        self.argument = value

    @abstractmethod
    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Item ids of one query, the best first; on the calling thread."""

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        """Answer many queries on all cores, where the method has a way to; answers are not kept.

        Returns whether it has.
        """
        return False


class _ExactArgsort(Method):
    """The original project's brute force: every score sorted, a query at a time."""

    exact = True

    def fit(self, items: np.ndarray) -> None:
        self._items = items

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return np.argsort(-(self._items @ vector))[:k]


class _ExactGemv(_ExactArgsort):
    """The plain way: a matrix product, then a partial selection; a batch in blocks of queries."""

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return _select(self._items @ vector, k)

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        def work(start: int, stop: int) -> None:
            for scores in queries[start:stop] @ self._items.T:
                _select(scores, k)

        for_blocks(work, blocks(len(queries), QUERY_BLOCK))
        return True


def _select(scores: np.ndarray, k: int) -> np.ndarray:
    if k >= len(scores):
        return np.argsort(-scores)
    best = np.argpartition(scores, -k)[-k:]
    return best[np.argsort(-scores[best])]


class _Exact(Method):
    """The exact kernel of this project (`musicrec.search.exact`)."""

    exact = True

    def fit(self, items: np.ndarray) -> None:
        self._index = ExactIndex(items)
        self.index_bytes = self._index.nbytes

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return self._index.search_one(vector, k)[0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        self._index.search(queries, k)
        return True


class Annoy(Method):
    """This project's index (`musicrec.search.annoy_index`)."""

    build_parameter = "n_trees"
    query_parameter = "search_k"

    def fit(self, items: np.ndarray) -> None:
        """Build, save and load."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.ann"
            build_index(items, path, ExportParams(n_trees=self.build, seed=self.seed))
            self.index_bytes = path.stat().st_size
            self._index = AnnoyIndex(path, items)

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Search head and tail."""
        return self._index.search(vector, k, self.argument)[0]


class _AnnoyDot(Method):
    """Annoy's `dot` metric, as the original project used it; docs/ann.md: what is wrong with it."""

    build_parameter = "n_trees"
    query_parameter = "search_k"

    def fit(self, items: np.ndarray) -> None:
        self._forest = Forest(items.shape[1], "dot")
        self._forest.set_seed(self.seed)
        for item, vector in enumerate(items):
            self._forest.add_item(item, vector.tolist())
        self._forest.build(self.build, n_jobs=1)
        self.index_bytes = _bytes_saved(self._forest.save)  # from the file it reads from then on

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return self._forest.get_nns_by_vector(vector.tolist(), k, self.argument)


class _FaissFlat(Method):
    """faiss IndexFlatIP: exact, by blocked products; a batch with faiss's own threads."""

    exact = True

    def fit(self, items: np.ndarray) -> None:
        self._faiss = _optional("faiss", "faiss-cpu")
        self._faiss.omp_set_num_threads(1)
        self._index = self._faiss.IndexFlatIP(items.shape[1])
        self._index.add(items)
        self.index_bytes = len(self._faiss.serialize_index(self._index))

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return self._search(vector[None], k)[0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        self._faiss.omp_set_num_threads(thread_count())
        try:
            self._search(queries, k)
        finally:
            self._faiss.omp_set_num_threads(1)
        return True

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self._index.search(queries, k)[1]


class _FaissIvf(_FaissFlat):
    """faiss IVF,Flat: an inverted file over k-means cells of the augmented vectors."""

    exact = False
    build_parameter = "n_lists"
    query_parameter = "n_probe"

    def fit(self, items: np.ndarray) -> None:
        self._faiss = _optional("faiss", "faiss-cpu")
        self._faiss.omp_set_num_threads(1)
        vectors = _augmented(items)
        self._quantizer = self._faiss.IndexFlatL2(vectors.shape[1])
        index = self._faiss.IndexIVFFlat(self._quantizer, vectors.shape[1], self.build)
        index.cp.seed = self.seed
        index.cp.min_points_per_centroid = 1  # no warning on small catalogues
        index.train(vectors)
        index.add(vectors)
        self._index, self.index_bytes = index, len(self._faiss.serialize_index(index))

    def set_query_argument(self, value: int) -> None:
        self._index.nprobe = value

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        return super()._search(np.pad(queries, ((0, 0), (0, 1))), k)


class _Hnsw(Method):
    """hnswlib: a navigable small-world graph over the augmented vectors, built on one thread."""

    build_parameter = "n_links"
    query_parameter = "ef"

    def fit(self, items: np.ndarray) -> None:
        self._index = _optional("hnswlib", "hnswlib").Index("l2", items.shape[1] + 1)
        self._index.init_index(
            len(items), M=self.build, ef_construction=HNSW_EF_CONSTRUCTION, random_seed=self.seed
        )
        self._index.add_items(_augmented(items), num_threads=1)
        self.index_bytes = _bytes_saved(self._index.save_index)

    def set_query_argument(self, value: int) -> None:
        self._index.set_ef(value)

    def query(self, vector: np.ndarray, k: int) -> Ids:
        return self._index.knn_query(np.append(vector, np.float32(0)), k, num_threads=1)[0][0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        self._index.knn_query(np.pad(queries, ((0, 0), (0, 1))), k, num_threads=thread_count())
        return True


METHODS: dict[str, type[Method]] = {
    "exact_argsort": _ExactArgsort,
    "exact_gemv": _ExactGemv,
    "exact": _Exact,
    "annoy_dot": _AnnoyDot,
    "annoy": Annoy,
    "faiss_flat": _FaissFlat,
    "faiss_ivf": _FaissIvf,
    "hnsw": _Hnsw,
}


def grid(name: str, params: AnnBenchParams, n_items: int, k: int) -> list[tuple[int, list[int]]]:
    """List the builds of a method, each with the query arguments to try; 0 stands for none.

    Annoy's values are those of the parameters, up to the first that inspects every node; those of
    the other methods follow from the size of the catalogue.
    """
    if name == "faiss_ivf":
        n_lists = 2 ** int(np.log2(max(1.0, 2 * np.sqrt(n_items))))
        probes = (1, 4, 16, 32, 64, 128, 256)
        return [(n_lists, [probe for probe in probes if probe <= n_lists])]
    if name == "hnsw":
        return [(HNSW_LINKS, [k, 2 * k, 4 * k])]
    if name not in ("annoy_dot", "annoy"):
        return [(0, [0])]
    builds, values = [], sorted(params.search_k)
    for trees in params.n_trees:
        below = [value for value in values if value < trees * n_items]
        builds.append((trees, values[: len(below) + 1]))
    return builds


def _augmented(items: np.ndarray) -> np.ndarray:
    """Give all items the largest norm, as float32."""
    norms = norms_of(items)
    return augment(items, norms, norms.max(initial=0.0)).astype(np.float32)


def _bytes_saved(save: Callable[[str], Any]) -> int:
    """Size of the file that an index writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        save(str(path))
        return path.stat().st_size


def _optional(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MusicRecError(
            f"this search method needs the package {package}, which is not installed: pip install "
            f"{package}, or leave the method out of ann_bench.methods"
        ) from None
