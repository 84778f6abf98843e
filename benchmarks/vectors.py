"""Recall of what `musicrec export-vectors` writes, against exact search.

    python benchmarks/vectors.py --items item_factors.parquet --queries queries.npy --k 10 100

`--items` are item factors, `.npy` or Parquet with one list column. Each store answers one query at
a time on one thread. A graph is asked with candidate lists of k, 4 k and 16 k, an inverted file in
8, 32 and 128 of its cells.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from search import read_factors

from musicrec.bundle.vectors import export_vectors
from musicrec.runtime import command
from musicrec.search.exact import ExactIndex

Search = Callable[[np.ndarray, int, int], np.ndarray]


@command
def main() -> None:
    """Print a row a store, form of the vectors, k and candidate list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--n-queries", type=int, default=200)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--stores", nargs="+", default=["faiss", "hnswlib"])
    args = parser.parse_args()
    items = read_factors(str(args.items))
    queries = np.load(args.queries)[: args.n_queries]
    ids = pa.array(np.arange(len(items)).astype(str).tolist())
    truth = {k: ExactIndex(items).search(queries, k)[0] for k in args.k}
    print("store     vectors      k  list  recall  queries/s  build s")
    for store, raw in itertools.product(args.stores, (True, False)):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            export_vectors(items, ids, store, Path(folder) / "out", raw)
            seconds = time.perf_counter() - start
            search = OPEN[store](Path(folder) / "out", items.shape[1] + (not raw))
            asked = queries if raw else np.pad(queries, ((0, 0), (0, 1)))
            for k in args.k:
                widths = (k, 4 * k, 16 * k) if store == "hnswlib" else (0,) if raw else (8, 32, 128)
                for width in widths:
                    start = time.perf_counter()
                    found = [search(query[None], k, width) for query in asked]
                    rate = len(asked) / (time.perf_counter() - start)
                    recall = np.mean(
                        [len(np.intersect1d(*pair)) for pair in zip(found, truth[k], strict=True)]
                    )
                    print(
                        f"{store:9} {'raw' if raw else 'augmented':9} {k:4} {width:5}  "
                        f"{recall / k:6.3f}  {rate:9,.0f}  {seconds:7.1f}",
                        flush=True,
                    )


def _faiss(folder: Path, dimension: int) -> Search:
    import faiss

    index: Any = faiss.read_index(str(folder / "index.faiss"))
    faiss.omp_set_num_threads(1)

    def search(query: np.ndarray, k: int, width: int) -> np.ndarray:
        if width:
            index.nprobe = width
        found: np.ndarray = index.search(query, k)[1][0]
        return found

    return search


def _hnswlib(folder: Path, dimension: int) -> Search:
    import hnswlib

    about = (folder / "query.json").read_text()
    index = hnswlib.Index("ip" if "inner product" in about else "l2", dimension)
    index.load_index(str(folder / "index.hnsw"))

    def search(query: np.ndarray, k: int, width: int) -> np.ndarray:
        index.set_ef(width)
        found: np.ndarray = index.knn_query(query, k, num_threads=1)[0][0]
        return found

    return search


OPEN = {"faiss": _faiss, "hnswlib": _hnswlib}


if __name__ == "__main__":
    sys.exit(main())
