"""What is written for vector stores finds what the bundle recommends."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from musicrec.cli import main
from tests.support.served import N_ITEMS


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("store", ["parquet", "hnswlib", "faiss"])
def test_the_nearest_are_those_of_the_largest_score(bundle, tmp_path, store, raw):
    if store != "parquet":
        pytest.importorskip(store, reason="make setup-bench")
    out = tmp_path / "vectors"
    words = ["export-vectors", str(out), "--to", store, "--bundle", str(bundle.root)]
    assert main([*words, *["--raw"] * raw]) == 0
    about = json.loads((out / "query.json").read_text())
    vector = bundle.user_factors[3]
    query = vector if raw else np.append(vector, np.float32(0))
    assert about["dimension"] == len(query)
    name = "vectors" if store == "parquet" else "ids"
    ids = pq.read_table(out / f"{name}.parquet").column("track_id").to_pylist()
    if store == "parquet":
        rows = np.array(pq.read_table(out / "vectors.parquet").column("vector").to_pylist())
        near = np.argsort(-(rows @ query) if raw else np.linalg.norm(rows - query, axis=1))
    elif store == "faiss":
        import faiss

        index = faiss.read_index(str(out / "index.faiss"))
        near = index.search(query[None], len(ids))[1][0]
    else:
        import hnswlib

        index = hnswlib.Index("ip" if raw else "l2", len(query))
        index.load_index(str(out / "index.hnsw"))
        index.set_ef(N_ITEMS)
        near = index.knn_query(query, len(ids))[0][0]
    best = bundle.recommend("user-3", N_ITEMS, exclude_seen=False).track_ids
    assert [ids[i] for i in near] == best
