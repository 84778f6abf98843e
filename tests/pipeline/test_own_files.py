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
    sampled.dvc("repro", "--force", "sample")
    sampled.dvc("exp", "run", "-S", "sample.seed=7", "sample")
    assert mine.read_text() == "user,track\na,b\n"
    mine.unlink()


def test_a_file_in_the_place_of_the_sample_is_not_overwritten(sampled):
    train = sampled.folder / "data/sample/train.parquet"
    kept = train.read_bytes()
    pq.write_table(pa.table({"user_id": ["a"], "count": [1], "track_id": ["b"]}), train)
    own = train.read_bytes()
    for words in ("repro --force", "exp run -S sample.seed=8"):
        done = sampled.run("dvc", *words.split(), "sample", check=False)
        assert done.returncode != 0
        assert "not written by the sample stage" in done.stderr
        assert train.read_bytes() == own
    sampled.run("dvc", "checkout", "--force", check=False)  # what is not cached, it leaves alone
    assert train.read_bytes() == own
    train.write_bytes(kept)
    sampled.git("checkout", "--quiet", ".")


def test_plays_below_data_never_go_into_git(sampled):
    """DVC commits what a stage reads to an experiment, unless Git is told to ignore it."""
    mine = sampled.folder / "data/mine/plays.csv"
    mine.parent.mkdir()
    rows = (f"u{user},t{(user * 7 + step) % 13}\n" for user in range(40) for step in range(6))
    mine.write_text("listener,song\n" + "".join(rows))
    columns = [f"data.columns.{role}" for role in ("user=listener", "track=song", "count=null")]
    changes = ["data.source=data/mine/plays.csv", "data.protocol=holdout", *columns]
    settings = [word for change in changes for word in ("-S", change)]
    sampled.dvc("exp", "run", "--name", "mine", *settings, "ingest")
    sampled.git("add", "--all")
    assert "plays.csv" not in sampled.git("ls-files")
    experiment = sampled.git("for-each-ref", "--format=%(refname)", "refs/exps/*/*/mine").strip()
    committed = sampled.git("ls-tree", "-r", "--name-only", experiment)
    assert "params.yaml" in committed and "plays.csv" not in committed
    sampled.git("reset", "--quiet", "--hard")

    sampled.dvc("add", "data/mine/plays.csv")  # the way to keep them: Git gets a pointer
    sampled.git("add", "--all")
    assert sampled.git("diff", "--cached", "--name-only") == "data/mine/plays.csv.dvc\n"
