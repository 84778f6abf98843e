"""What README.md promises about `dvc`, typed in a scratch clone."""

import json
import platform
import re

import pyarrow.parquet as pq
import pytest
import yaml

from tests.support.scripts import ROOT, load_script

from .conftest import STAGES, stages_run

pytestmark = pytest.mark.pipeline

METRICS = ["ann_bench", "baselines", "data", "downsample", "evaluate", "index", "train"]
# The only output that holds wall-clock figures, and so may differ between two runs.
TIMED = {"plots/ann_bench"}


def locked(clone):
    return yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"]


def fingerprints(clone):
    """Hash of every output that holds no wall-clock figure."""
    return {
        out["path"]: out["md5"]
        for stage in locked(clone).values()
        for out in stage["outs"]
        if out["path"] not in TIMED
    }


def test_every_output_is_there(clone):
    assert sorted(locked(clone)) == sorted(STAGES)
    assert [p.stem for p in sorted((clone.folder / "metrics").glob("*.json"))] == METRICS
    for path in (clone.folder / "metrics").glob("*.json"):
        text = path.read_text()
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert (clone.folder / "data/bundle/manifest.json").is_file()
    assert pq.read_table(clone.folder / "data/per_user.parquet").num_rows > 10
    assert clone.git("status", "--porcelain") == ""
    assert stages_run(clone.dvc("repro")) == []
    assert "up to date" in clone.dvc("status")


def test_the_python_of_the_readme_recommends(clone):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = clone.run("python", "-c", code, PYTHONPATH="src")
    assert len(done.stdout.splitlines()) == 10


def test_push_pull_in_another_clone_runs_nothing(clone, tmp_path):
    remote = tmp_path / "remote"
    clone.dvc("remote", "add", "--force", "--local", "--default", "storage", str(remote))
    clone.dvc("push")
    other = clone.clone_to(tmp_path / "clone")
    other.dvc("remote", "add", "--local", "--default", "storage", str(remote))
    other.run("python", "scripts/check_lock.py", PYTHONPATH="src")  # nothing is stale without data
    assert stages_run(other.dvc("repro", "--pull")) == []
    other.dvc("pull")
    assert fingerprints(other) == fingerprints(clone)


def test_make_repro_in_another_clone_changes_two_lines_of_the_lock(clone, tmp_path):
    """No cache, no remote, other threads, on Spark what can be, another processor: the same bytes.

    The processor is one without AVX, FMA and AVX-512; `benchmarks/cpus.py` compares five.
    """
    other = clone.clone_to(tmp_path / "clone")
    settings = {"MUSICREC_THREADS": "3", "MUSICREC_SPARK_MASTER": "local[3]"}
    if platform.machine() == "x86_64":
        settings |= load_script("benchmarks/cpus.py").processors()["nehalem"]
    printed = other.run("make", "repro", "--old-file=setup", **settings).stdout
    assert stages_run(printed) == STAGES
    assert "md5 and size of plots/ann_bench may differ" in printed
    assert fingerprints(other) == fingerprints(clone)
    assert other.git("status", "--porcelain") == " M dvc.lock\n"
    changed = re.findall(r"^[+] +(.*?):", other.git("diff", "-U0", "dvc.lock"), re.MULTILINE)
    assert set(changed) <= {"md5", "size"} and len(changed) <= 2
    assert stages_run(other.dvc("repro")) == []
