"""Write a bundle's track vectors for a vector store, with the form that its queries take."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.interactions.factors import norms_of
from musicrec.jit.parallel import thread_count
from musicrec.search.annoy_index import augment
from musicrec.storage.files import write_checksums, write_json
from musicrec.storage.outputs import atomic_directory
from musicrec.storage.parquet import write_table

STORES = ("parquet", "hnswlib", "faiss")
LINKS, EF_CONSTRUCTION = 16, 200  # of a graph: hnswlib's own defaults
PROBES = 64  # cells of faiss's inverted file that a query visits, unless it says otherwise
SEED = 42


def export_vectors(
    items: np.ndarray, ids: pa.Array, store: str, output: str | os.PathLike[str], raw: bool = False
) -> dict[str, Any]:
    """Write the vectors of tracks, float32 (n_items, rank), for one of `STORES`, in one folder.

    `vectors.parquet` (`track_id` string, `vector` float32 list) for store `parquet`; else an index
    of the store's own and `ids.parquet`, row i of which is the track with label i. `query.json`,
    whose content is returned, says how to ask. Tracks of norm 0 are left out. Vectors are augmented
    to equal norms (`musicrec.search.annoy_index.augment`), for search by Euclidean distance;
    `raw` are the factors as they are, for search by inner product.
    """
    norms = norms_of(items)
    kept = np.flatnonzero(norms)
    vectors = np.ascontiguousarray(items[kept])
    if not raw:
        vectors = augment(vectors, norms[kept], float(norms.max())).astype(np.float32)
    about = {
        "store": store,
        "metric": "inner product" if raw else "Euclidean distance",
        "dimension": vectors.shape[1],
        "query": "the user's factor" if raw else "the user's factor, then 0",
    }
    column = ids.take(pa.array(kept))
    with atomic_directory(output) as folder:
        if store == "parquet":
            listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            write_table(
                folder / "vectors.parquet", pa.table({"track_id": column, "vector": listed})
            )
        else:
            write_table(folder / "ids.parquet", pa.table({"track_id": column}))
            (_hnswlib if store == "hnswlib" else _faiss)(vectors, folder, raw)
        write_json(folder / "query.json", about)
        write_checksums(folder)
    return about


def _hnswlib(vectors: np.ndarray, folder: Path, raw: bool) -> None:
    index = _library("hnswlib", "hnswlib").Index("ip" if raw else "l2", vectors.shape[1])
    index.init_index(len(vectors), M=LINKS, ef_construction=EF_CONSTRUCTION, random_seed=SEED)
    index.add_items(vectors, num_threads=thread_count())
    index.save_index(str(folder / "index.hnsw"))


def _faiss(vectors: np.ndarray, folder: Path, raw: bool) -> None:
    """An exact index of raw vectors; an inverted file of augmented ones, in k-means cells."""
    faiss = _library("faiss", "faiss-cpu")
    faiss.omp_set_num_threads(thread_count())
    if raw:
        index = faiss.IndexFlatIP(vectors.shape[1])
    else:
        cells = max(1, 2 ** int(np.log2(2 * np.sqrt(len(vectors)))))
        quantizer = faiss.IndexFlatL2(vectors.shape[1])
        index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], min(cells, len(vectors)))
        index.cp.seed = SEED
        index.cp.min_points_per_centroid = 1  # no warning on small catalogues
        index.train(vectors)
        index.nprobe = PROBES
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))


def _library(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MusicRecError(f"{name} is not installed; pip install {package}") from None
