"""A user's own files, in the folder of the sample and elsewhere below data/."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def sampled(clone, tmp_path_factory):
    """A clone in which the stage `sample` alone has run."""
    other = clone.clone_to(tmp_path_factory.mktemp("own") / "clone")
    other.dvc("repro", "sample")
    return other


def test_files_beside_the_sample_outlive_every_run(sampled):
    mine = sampled.folder / "data/sample/mine.csv"
    mine.write_text("user,track\na,b\n")
    sampled.dvc("exp", "run", "-S", "sample.seed=7", "sample")
    assert mine.read_text() == "user,track\na,b\n"
    mine.unlink()


def test_a_file_in_the_place_of_the_sample_is_not_overwritten(sampled):
    train = sampled.folder / "data/sample/train.parquet"
    kept = train.read_bytes()
    pq.write_table(pa.table({"user_id": ["a"], "count": [1], "track_id": ["b"]}), train)
    own = train.read_bytes()
    done = sampled.run("dvc", "exp", "run", "-S", "sample.seed=8", "sample", check=False)
    assert done.returncode != 0 and "not written by the sample stage" in done.stderr
    assert train.read_bytes() == own
    sampled.run("dvc", "checkout", "--force", check=False)  # what is not cached, it leaves alone
    assert train.read_bytes() == own
    train.write_bytes(kept)
    sampled.git("checkout", "--quiet", ".")
