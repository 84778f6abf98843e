"""A user's own files in the folder of the sample."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import SMALL, Clone, copy_checkout

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the stage `sample` alone has run."""
    scratch = copy_checkout(tmp_path_factory.mktemp("own") / "clone")
    scratch.set_params({"sample": SMALL["sample"]})
    scratch.commit("small sample")
    scratch.dvc("repro", "sample")
    scratch.commit("dvc repro")
    return scratch


def test_files_beside_the_sample_outlive_every_run(sampled: Clone) -> None:
    mine = sampled.folder / "data/sample/mine.csv"
    mine.write_text("user,track\na,b\n")
    sampled.dvc("repro", "--force", "sample")
    sampled.dvc("exp", "run", "-S", "sample.seed=7", "sample")
    assert mine.read_text() == "user,track\na,b\n"
    mine.unlink()


def test_a_file_in_the_place_of_the_sample_is_not_overwritten(sampled: Clone) -> None:
    """By `dvc repro`; of `dvc exp run`, which checks out by force, docs/data.md warns."""
    train = sampled.folder / "data/sample/train.parquet"
    pq.write_table(pa.table({"user_id": ["a"], "count": [1], "track_id": ["b"]}), train)
    own = train.read_bytes()
    for words in (["repro"], ["repro", "--force"], ["checkout"]):
        done = sampled.run("dvc", *words, *(["sample"] if "repro" in words else []), check=False)
        assert done.returncode != 0
        assert "not written by the sample stage" in done.stderr or "unsaved files" in done.stderr
        assert train.read_bytes() == own
