"""What README.md promises about `dvc`, typed in a scratch clone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from .conftest import Clone

pytestmark = pytest.mark.pipeline

STAGES = [
    *("sample", "ingest", "downsample", "index", "train"),
    *("baselines", "evaluate", "export", "ann-bench"),
]
METRICS = ["ann_bench", "baselines", "data", "downsample", "evaluate", "index", "train"]
# The only output that holds wall-clock figures, and so may differ between two runs.
TIMED = {"plots/ann_bench"}


def stages_run(printed: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in printed]


def fingerprints(clone: Clone) -> dict[str, str]:
    """Hash of every output that holds no wall-clock figure."""
    return {
        out["path"]: out["md5"]
        for stage in clone.lock().values()
        for out in stage["outs"]
        if out["path"] not in TIMED
    }


def test_every_output_is_there(clone: Clone) -> None:
    assert list(clone.lock()) and set(clone.lock()) == set(STAGES)
    assert [p.stem for p in sorted((clone.folder / "metrics").glob("*.json"))] == METRICS
    for path in (clone.folder / "metrics").glob("*.json"):
        text = path.read_text()
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert (clone.folder / "data/bundle/manifest.json").is_file()
    assert pq.read_table(clone.folder / "data/per_user.parquet").num_rows > 10
    assert "<svg" in (clone.folder / "plots/ann_bench/tradeoff.svg").read_text()
    assert clone.git("status", "--porcelain") == ""


def test_nothing_runs_when_nothing_changed(clone: Clone) -> None:
    assert stages_run(clone.dvc("repro")) == []
    assert "up to date" in clone.dvc("status")


def test_the_clone_runs_its_own_source(clone: Clone) -> None:
    """An installed package must not shadow the checkout: experiments run in copies of it."""
    done = clone.run("python", "-c", "import musicrec; print(musicrec.__file__)", PYTHONPATH="src")
    assert Path(done.stdout.strip()).resolve().is_relative_to(clone.folder.resolve())


def test_an_experiment_runs_only_what_its_parameter_reaches(clone: Clone) -> None:
    printed = clone.dvc(
        "exp", "run", "--name", "wider", "-S", "als.rank=6", "-S", "als.reg_param=1e-5"
    )
    try:
        assert stages_run(printed) == ["train", "evaluate", "export", "ann-bench"]
        manifest = json.loads((clone.folder / "data/bundle/manifest.json").read_text())
        assert manifest["sizes"]["rank"] == 6
        assert manifest["als"]["reg_param"] == 1e-5
        changed = json.loads(clone.run("dvc", "params", "diff", "--json").stdout)["params.yaml"]
        assert changed["als.rank"] == {"old": 4, "new": 6, "diff": 2}
        metrics = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
        moved = metrics.get("diff", metrics)
        assert any("evaluate" in name for name in moved)
        clone.dvc("plots", "diff", "--out", "drawn")
        drawn = (clone.folder / "drawn/index.html").read_text()
        assert "tradeoff" in drawn
    finally:
        clone.git("checkout", "--quiet", "--", ".")
        clone.git("clean", "-fdq")
        clone.dvc("checkout")
    table = clone.run("dvc", "exp", "show", "--json").stdout
    assert "wider" in table


def test_mllib_gives_the_native_factors(clone: Clone, tmp_path: Path) -> None:
    """The same stage with the other engine, in a path with a space."""
    content = (clone.folder / "params.yaml").read_text()
    assert "engine: native" in content
    (tmp_path / "params.yaml").write_text(content.replace("engine: native", "engine: mllib"))
    words = clone_command(clone, "train")
    for flag in ("--output", "--metrics", "--plots"):
        words[words.index(flag) + 1] = str(tmp_path / flag.strip("-"))
    words[words.index("--params") + 1] = str(tmp_path / "params.yaml")
    clone.run("python", *words, PYTHONPATH="src")
    for name in ("user_factors.npy", "item_factors.npy"):
        native = np.load(clone.folder / "data/factors" / name)
        mllib = np.load(tmp_path / "output" / name)
        np.testing.assert_allclose(mllib, native, atol=1e-3 * float(np.abs(native).max()))


def test_push_pull_and_the_same_bytes_in_another_clone(clone: Clone, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    clone.dvc("remote", "add", "--force", "--local", "--default", "storage", str(remote))
    clone.dvc("push")
    subprocess.run(["git", "clone", "-q", clone.folder, tmp_path / "other"], check=True)
    other = Clone(tmp_path / "other")
    other.dvc("remote", "add", "--local", "--default", "storage", str(remote))
    other.run("python", "scripts/check_lock.py", PYTHONPATH="src")  # nothing is stale without data
    assert stages_run(other.dvc("repro", "--pull")) == []
    other.dvc("pull")
    before = fingerprints(other)
    assert before == fingerprints(clone)

    # Another clone, another number of cores, on Spark what can be, every stage forced to run.
    printed = other.dvc("repro", "--force", MUSICREC_THREADS="3", MUSICREC_SPARK_MASTER="local[3]")
    assert stages_run(printed) == STAGES
    assert fingerprints(other) == before


def test_make_repro_in_another_clone_leaves_git_clean(clone: Clone, tmp_path: Path) -> None:
    """No cache, no remote: all is computed anew but the readings of the clock."""
    subprocess.run(["git", "clone", "-q", clone.folder, tmp_path / "other"], check=True)
    other = Clone(tmp_path / "other")
    make = ("make", "repro", "--old-file=setup")  # the tests' Python is set up already
    printed = other.run(*make).stdout
    assert stages_run(printed) == [stage for stage in STAGES if stage != "ann-bench"]
    assert "dvc repro times" in printed
    assert other.git("status", "--porcelain") == ""
    assert stages_run(other.dvc("repro")) == ["ann-bench"]
    assert other.git("status", "--porcelain") == " M dvc.lock\n"
    printed = other.run(*make).stdout
    assert stages_run(printed) == [] and "dvc repro times" not in printed


def test_metrics_of_the_pipeline_agree_with_each_other(clone: Clone) -> None:
    data, down, index, evaluate = (
        json.loads((clone.folder / f"metrics/{name}.json").read_text())
        for name in ("data", "downsample", "index", "evaluate")
    )
    users = pq.read_table(clone.folder / "data/indexed/users.parquet")
    train = pq.read_table(clone.folder / "data/indexed/train")
    assert sum(users.column("plays").to_pylist()) == train.num_rows
    assert users.column("plays").to_pylist()[: index["users"]] == sorted(
        users.column("plays").to_pylist()[: index["users"]], reverse=True
    )
    per_user = pq.read_table(clone.folder / "data/per_user.parquet")
    assert per_user.num_rows == data["validation_users"]
    assert evaluate["users"] == data["validation_users"]
    assert down["plays_kept"] == train.num_rows
    assert down["plays_kept"] + down["plays_dropped"] == data["train_plays"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"als": {"rank": "many"}}, "als.rank = 'many' is not allowed"),
        ({"als": {"rank": 7, "rnk": 5}}, "unknown parameter als.rnk"),
        ({"data": {"source": "nowhere.csv"}}, "nowhere.csv"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(clone: Clone, change: dict, sentence: str) -> None:
    clone.set_params(change)
    stage = "ingest" if "data" in change else "train"
    try:
        done = clone.run("dvc", "repro", "--single-item", stage, check=False)
        assert done.returncode != 0
        assert sentence in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
    finally:
        clone.git("checkout", "--quiet", "--", "params.yaml")
        clone.dvc("checkout")


def test_without_java_a_spark_stage_says_what_to_install(clone: Clone, tmp_path: Path) -> None:
    import sys

    (tmp_path / "python").symlink_to(sys.executable)
    command = clone_command(clone, "index")
    done = subprocess.run(
        [sys.executable, *command],
        cwd=clone.folder,
        env={
            "PATH": str(tmp_path),
            "PYTHONPATH": "src",
            "HOME": str(tmp_path),
            "MUSICREC_SPARK_MASTER": "local[1]",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Spark needs Java 17 or newer, but none was found")
    assert done.stderr.count("\n") == 1


def clone_command(clone: Clone, stage: str) -> list[str]:
    """Words of a stage's command after what chooses the Python."""
    words = clone.lock()[stage]["cmd"].split()
    return words[words.index("stages/python.sh") + 1 :]
