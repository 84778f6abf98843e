"""The scripts under benchmarks/ read what people have and name what they measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.ann_bench.run import Catalogue, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.params.ann_bench import AnnBenchParams

ROOT = Path(__file__).resolve().parents[1]
PARAMS = AnnBenchParams(
    k=20, methods=("exact_gemv", "annoy"), n_trees=(2,), search_k=(50, 500), n_queries=15
)


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(5)
    items = (rng.gamma(0.4, size=(600, 6)) * np.exp(rng.normal(size=(600, 1)))).astype(np.float32)
    return items, rng.gamma(0.4, size=(25, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def search_script():
    spec = importlib.util.spec_from_file_location("search", ROOT / "benchmarks" / "search.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_factors_are_read_from_npy_and_parquet(search_script, factors, tmp_path):
    items = factors[0]
    np.save(tmp_path / "items.npy", items)
    np.testing.assert_array_equal(search_script.read_factors(str(tmp_path / "items.npy")), items)
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 6), pa.large_list(pa.float64())):
        table = pa.table({"id": range(600), "features": pa.array(items.tolist(), kind)})
        pq.write_table(table, tmp_path / "items.parquet")
        read = search_script.read_factors(str(tmp_path / "items.parquet"))
        np.testing.assert_array_equal(read, items)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "none.parquet")
    with pytest.raises(MusicRecError, match="0 list columns"):
        search_script.read_factors(str(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"v": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(MusicRecError, match="not all of one length"):
        search_script.read_factors(str(tmp_path / "ragged.parquet"))


def test_the_table_names_every_setting(search_script, factors, capsys):
    search_script.print_table(run_benchmark(Catalogue(*factors), PARAMS))
    table = capsys.readouterr().out
    assert "annoy, n_trees 2 search_k 500" in table and "exact_gemv" in table
