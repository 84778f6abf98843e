"""The scripts under benchmarks/ read what people have and name what they measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.ann_bench.run import Catalogue, run_benchmark
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import read_held_out
from musicrec.params import AnnBenchParams, BaselinesParams
from tests.support.indexed_data import make_plays, write_indexed

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


@pytest.fixture(scope="module")
def loop_script():
    spec = importlib.util.spec_from_file_location("loop", ROOT / "benchmarks" / "loop.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["loop"] = module  # where a dataclass looks for its annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules["loop"]


def test_the_loop_is_timed_in_turns(loop_script, tmp_path):
    both = []
    for name in ("base", "head"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.yaml").write_text("als:\n  rank: 20\n  alpha: 10.0\n")
        command = f"grep rank params.yaml >> ../ran && echo {name} >> ../ran"
        both.append(loop_script.Checkout(name, tmp_path / name, {"train": command}))
    both[1].commands["baselines"] = "true"
    seconds = loop_script.time_in_turns(both, ["train", "baselines"], 2)
    assert {key: len(runs) for key, runs in seconds.items()} == {
        ("train", "base"): 2,
        ("train", "head"): 2,
        ("baselines", "head"): 2,
    }
    loop_script.set_rank(both[1])
    loop_script.time_in_turns(both, ["train"], 0)
    words = (tmp_path / "ran").read_text().split()
    assert words == ["rank:", "20", "base", "rank:", "20", "head"] * 3 + [
        *("rank:", "20", "base", "rank:", "50", "head")
    ]
    rows = loop_script.table(seconds, ["base", "head"], "all").splitlines()
    assert [row.count("|") for row in rows] == [8] * 5
    assert rows[3].startswith("| baselines | - | - | - | 0.") and "together" in rows[4]


def test_stages_that_are_not_timed_run_once_if_they_come_before(loop_script, tmp_path):
    commands = {name: f"echo {name} >> ran" for name in ("sample", "train", "export", "ann-bench")}
    one = loop_script.Checkout("base", tmp_path, commands)
    loop_script.prepare(one, ["sample", "train"])
    assert not (tmp_path / "ran").exists()
    loop_script.prepare(one, ["sample", "export"])
    assert (tmp_path / "ran").read_text().split() == ["sample", "train"]


def test_a_stage_that_fails_in_the_loop_is_named(loop_script, tmp_path):
    broken = loop_script.Checkout("base", tmp_path, {"train": "echo no factors >&2; exit 3"})
    with pytest.raises(MusicRecError, match="base: stage train failed: no factors"):
        broken.run("train")


def test_ease_has_the_scores_of_the_papers_lines(tmp_path):
    spec = importlib.util.spec_from_file_location("ease", ROOT / "benchmarks" / "ease.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    write_indexed(tmp_path, make_plays())
    held_out = read_held_out(tmp_path, "validation")
    params = BaselinesParams(ease_reg=20.0)
    weights = script._dense_weights("numpy", held_out.train, 20.0)
    numpy, exact = (script._scores(name, held_out, params, weights) for name in ("numpy", "exact"))
    np.testing.assert_allclose(exact, numpy, atol=1e-12)
