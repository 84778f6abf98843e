"""Search methods under one small interface: build an index, then ask it.

After Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks", Information Systems 87, 2020.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from annoy import AnnoyIndex as Forest

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import norms_of
from musicrec.params import AnnBenchParams, ExportParams
from musicrec.search.annoy_index import AnnoyIndex, augment, build_index
from musicrec.search.exact import ExactIndex

Ids = Sequence[int] | np.ndarray
HNSW_LINKS = 16
HNSW_EF_CONSTRUCTION = 200


class Index(NamedTuple):
    """What a method builds.

    Attributes
    ----------
    query : callable
        Item ids of one query, the best first, on the calling thread: of a vector, k and what trades
        recall for speed (0 where nothing does).
    n_bytes : int
        Size beside the factors.
    """

    query: Callable[[np.ndarray, int, int], Ids]
    n_bytes: int = 0


class Method(NamedTuple):
    """A search method.

    Attributes
    ----------
    build : callable
        Indexes float32 factors (n_items, rank), by the value of the build parameter and a seed.
    exact : bool
        Whether it finds the k best items, apart from float32's rounding.
    build_parameter, query_parameter : str
        What trades time to build, and recall, for speed; empty where there is no such parameter.
    """

    build: Callable[[np.ndarray, int, int], Index]
    exact: bool = False
    build_parameter: str = ""
    query_parameter: str = ""


def _exact_argsort(items: np.ndarray, build: int, seed: int) -> Index:
    """The original project's brute force: every score sorted, a query at a time."""
    return Index(lambda vector, k, _: np.argsort(-(items @ vector))[:k])


def _exact_gemv(items: np.ndarray, build: int, seed: int) -> Index:
    """The plain way: a matrix product, then a partial selection."""

    def query(vector: np.ndarray, k: int, _: int) -> Ids:
        scores = items @ vector
        best = np.argpartition(scores, -min(k, len(scores)))[-k:]
        return best[np.argsort(-scores[best])]

    return Index(query)


def _exact(items: np.ndarray, build: int, seed: int) -> Index:
    """The exact kernel of this project (`musicrec.search.exact`)."""
    index = ExactIndex(items)
    return Index(lambda vector, k, _: index.search_one(vector, k)[0], index.nbytes)


def build_annoy(items: np.ndarray, n_trees: int, seed: int) -> Index:
    """This project's index (`musicrec.search.annoy_index`): built, saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.ann"
        build_index(items, path, ExportParams(n_trees=n_trees, seed=seed))
        index, n_bytes = AnnoyIndex(path, items), path.stat().st_size
    return Index(lambda vector, k, search_k: index.search(vector, k, search_k)[0], n_bytes)


def _annoy_dot(items: np.ndarray, n_trees: int, seed: int) -> Index:
    """Annoy's `dot` metric, as the original project used it; docs/ann.md: what is wrong with it."""
    forest = Forest(items.shape[1], "dot")
    forest.set_seed(seed)
    for item, vector in enumerate(items):
        forest.add_item(item, vector.tolist())
    forest.build(n_trees, n_jobs=1)
    n_bytes = _bytes_saved(forest.save)  # from the file it reads from then on
    return Index(
        lambda vector, k, search_k: forest.get_nns_by_vector(vector.tolist(), k, search_k), n_bytes
    )


def _faiss_flat(items: np.ndarray, build: int, seed: int) -> Index:
    """faiss IndexFlatIP: exact, by blocked products."""
    faiss = _optional("faiss", "faiss-cpu")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    n_bytes = len(faiss.serialize_index(index))
    return Index(lambda vector, k, _: index.search(vector[None], k)[1][0], n_bytes)


def _faiss_ivf(items: np.ndarray, n_lists: int, seed: int) -> Index:
    """faiss IVF,Flat: an inverted file over k-means cells of the augmented vectors."""
    faiss, vectors = _optional("faiss", "faiss-cpu"), _augmented(items)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], n_lists)
    index.cp.seed = seed
    index.cp.min_points_per_centroid = 1  # no warning on small catalogues
    index.train(vectors)
    index.add(vectors)

    def query(vector: np.ndarray, k: int, n_probe: int) -> Ids:
        index.nprobe = n_probe
        found: np.ndarray = index.search(np.append(vector, np.float32(0))[None], k)[1]
        return found[0]

    return Index(query, len(faiss.serialize_index(index)))


def _hnsw(items: np.ndarray, n_links: int, seed: int) -> Index:
    """hnswlib: a navigable small-world graph over the augmented vectors, built on one thread."""
    index = _optional("hnswlib", "hnswlib").Index("l2", items.shape[1] + 1)
    index.init_index(len(items), M=n_links, ef_construction=HNSW_EF_CONSTRUCTION, random_seed=seed)
    index.add_items(_augmented(items), num_threads=1)

    def query(vector: np.ndarray, k: int, ef: int) -> Ids:
        index.set_ef(ef)
        return index.knn_query(np.append(vector, np.float32(0)), k, num_threads=1)[0][0]

    return Index(query, _bytes_saved(index.save_index))


METHODS: Mapping[str, Method] = {
    "exact_argsort": Method(_exact_argsort, exact=True),
    "exact_gemv": Method(_exact_gemv, exact=True),
    "exact": Method(_exact, exact=True),
    "annoy_dot": Method(_annoy_dot, False, "n_trees", "search_k"),
    "annoy": Method(build_annoy, False, "n_trees", "search_k"),
    "faiss_flat": Method(_faiss_flat, exact=True),
    "faiss_ivf": Method(_faiss_ivf, False, "n_lists", "n_probe"),
    "hnsw": Method(_hnsw, False, "n_links", "ef"),
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
