"""Search methods under one small interface, that of ann-benchmarks: fit, set, query.

Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks", Information Systems 87, 2020.
"""

from __future__ import annotations

import importlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import norms_of
from musicrec.jit.parallel import blocks, for_blocks, thread_count
from musicrec.params import AnnBenchParams, ExportParams
from musicrec.search.annoy_index import build_index, load_index
from musicrec.search.exact import ExactIndex
from musicrec.search.vectors import augment

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


class ExactArgsort(Method):
    """The original project's brute force: every score sorted, a query at a time."""

    exact = True

    def fit(self, items: np.ndarray) -> None:
        """Keep the factors."""
        self._items = items

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Sort all scores."""
        return np.argsort(-(self._items @ vector))[:k]


class ExactGemv(ExactArgsort):
    """The plain way: a matrix product, then a partial selection."""

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Select, then sort the selected."""
        return _select(self._items @ vector, k)

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        """Multiply blocks of queries at once."""

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


class Exact(Method):
    """The exact kernel of this project (`musicrec.search.exact`); `index` answers queries."""

    exact = True

    def fit(self, items: np.ndarray) -> None:
        """Order, box and encode the items."""
        self.index = ExactIndex(items)
        self.index_bytes = self.index.nbytes

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Search exactly."""
        return self.index.search_one(vector, k)[0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        """Search all queries in one call."""
        self.index.search(queries, k)
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
            self._index = load_index(path, items)

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Search head and tail."""
        return self._index.search(vector, k, self.argument)[0]


class AnnoyDot(Method):
    """Annoy's `dot` metric, as the original project used it; docs/ann.md: what is wrong with it."""

    build_parameter = "n_trees"
    query_parameter = "search_k"

    def fit(self, items: np.ndarray) -> None:
        """Build."""
        self._forest = Forest(items.shape[1], "dot")
        self._forest.set_seed(self.seed)
        for item, vector in enumerate(items):
            self._forest.add_item(item, vector.tolist())
        self._forest.build(self.build, n_jobs=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.ann"
            self._forest.save(str(path))  # which it reads from then on
            self.index_bytes = path.stat().st_size

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Ask Annoy."""
        return self._forest.get_nns_by_vector(vector.tolist(), k, self.argument)


class FaissFlat(Method):
    """faiss IndexFlatIP: exact, by blocked products."""

    exact = True
    augments: ClassVar[bool] = False  # whether vectors get the dimension that makes norms equal

    def fit(self, items: np.ndarray) -> None:
        """Add the items."""
        self._faiss = _optional("faiss", type(self).__name__)
        self._faiss.omp_set_num_threads(1)
        self._index = self._make(items)
        self._index.add(_augmented(items) if self.augments else items)
        self.index_bytes = len(self._faiss.serialize_index(self._index))

    def _make(self, items: np.ndarray) -> Any:
        return self._faiss.IndexFlatIP(items.shape[1])

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Search one."""
        return self._search(vector[None], k)[0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        """Search all, with faiss's own threads."""
        self._faiss.omp_set_num_threads(thread_count())
        try:
            self._search(queries, k)
        finally:
            self._faiss.omp_set_num_threads(1)
        return True

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        if self.augments:
            queries = np.pad(queries, ((0, 0), (0, 1)))
        return self._index.search(queries, k)[1]


class FaissIvf(FaissFlat):
    """faiss IVF,Flat: an inverted file over k-means cells of the augmented vectors."""

    exact = False
    augments = True
    build_parameter = "n_lists"
    query_parameter = "n_probe"

    def _make(self, items: np.ndarray) -> Any:
        rank = items.shape[1] + 1
        self._quantizer = self._faiss.IndexFlatL2(rank)
        index = self._faiss.IndexIVFFlat(self._quantizer, rank, self.build)
        index.cp.seed = self.seed
        index.cp.min_points_per_centroid = 1  # no warning on small catalogues
        index.train(_augmented(items))
        return index

    def set_query_argument(self, value: int) -> None:
        """Set how many cells a query visits."""
        self._index.nprobe = value


class Hnsw(Method):
    """hnswlib: a navigable small-world graph over the augmented vectors."""

    build_parameter = "n_links"
    query_parameter = "ef"

    def fit(self, items: np.ndarray) -> None:
        """Build on one thread, so that the graph is the same every time."""
        hnswlib = _optional("hnswlib", "Hnsw")
        self._index = hnswlib.Index("l2", items.shape[1] + 1)
        self._index.init_index(
            len(items), M=self.build, ef_construction=HNSW_EF_CONSTRUCTION, random_seed=self.seed
        )
        self._index.add_items(_augmented(items), num_threads=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            self._index.save_index(str(path))
            self.index_bytes = path.stat().st_size

    def set_query_argument(self, value: int) -> None:
        """Set the length of the candidate list; at least k."""
        self._index.set_ef(value)

    def query(self, vector: np.ndarray, k: int) -> Ids:
        """Walk the graph."""
        return self._index.knn_query(np.append(vector, np.float32(0)), k, num_threads=1)[0][0]

    def query_batch(self, queries: np.ndarray, k: int) -> bool:
        """Walk the graph for all, with hnswlib's own threads."""
        self._index.knn_query(np.pad(queries, ((0, 0), (0, 1))), k, num_threads=thread_count())
        return True


METHODS: dict[str, type[Method]] = {
    "exact_argsort": ExactArgsort,
    "exact_gemv": ExactGemv,
    "exact": Exact,
    "annoy_dot": AnnoyDot,
    "annoy": Annoy,
    "faiss_flat": FaissFlat,
    "faiss_ivf": FaissIvf,
    "hnsw": Hnsw,
}


def grid(name: str, params: AnnBenchParams, n_items: int, k: int) -> list[tuple[int, list[int]]]:
    """List the builds of a method, each with the query arguments to try; 0 stands for none.

    Annoy's values are those of the parameters, up to the first that inspects every node; those of
    the other methods follow from the size of the catalogue.
    """
    if name in ("annoy_dot", "annoy"):
        return [
            (trees, _below_full_scan(params.search_k, trees * n_items)) for trees in params.n_trees
        ]
    if name == "faiss_ivf":
        n_lists = 2 ** int(np.log2(max(1.0, 2 * np.sqrt(n_items))))
        probes = (1, 4, 16, 32, 64, 128, 256)
        return [(n_lists, [probe for probe in probes if probe <= n_lists])]
    if name == "hnsw":
        return [(HNSW_LINKS, [k, 2 * k, 4 * k])]
    return [(0, [0])]


def _below_full_scan(search_k: Sequence[int], all_nodes: int) -> list[int]:
    """Keep the values, ascending, up to the first that makes Annoy inspect every node."""
    values = sorted(search_k)
    return [value for value in values if value < all_nodes] + [
        value for value in values if value >= all_nodes
    ][:1]


def _augmented(items: np.ndarray) -> np.ndarray:
    """Give all items the largest norm, as float32."""
    norms = norms_of(items)
    return augment(items, norms, norms.max(initial=0.0)).astype(np.float32)


def _optional(module: str, method: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MusicRecError(
            f"the search method {method} needs the package {module}, which is not installed; "
            "install the extra: pip install 'musicrec[ann]', or leave it out of ann_bench.methods"
        ) from None
