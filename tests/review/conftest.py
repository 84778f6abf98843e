"""A scratch project: real Git, DVC and evaluate stage, no Spark.

It has the pipeline's file names. Its `index` and `train` stages only write synthetic plays, and
factors that are worse the larger `als.reg_param` is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from musicrec.review.revisions import Revision

ROOT = Path(__file__).resolve().parents[2]
UNTRACKED = shutil.ignore_patterns("cache", "tmp", "config.local")

SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import yaml

from musicrec.files import write_json
from tests.support.indexed_data import make_plays, write_factors, write_indexed

params = yaml.safe_load(Path("params.yaml").read_text())
plays = make_plays(params["data"]["seed"])
if sys.argv[1] == "index":
    write_indexed(Path("data/indexed"), plays)
    write_json("data/ingested/plays.json", {"seed": params["data"]["seed"]})
    write_json("metrics/data.json", {"train": {"plays": len(plays.train)}})
else:
    noise = params["als"]["reg_param"] * np.random.default_rng(1).random(plays.items.shape)
    write_factors(Path("data/factors"), plays.users, plays.items + noise)
"""

PARAMS = """
data: {seed: 0}
als: {reg_param: 0.0}
evaluate: {split: validation, k: [10, 100], neighbours: 20, bootstrap_samples: 200, seed: 1}
"""

DAG = f"""
stages:
  index:
    cmd: "'{sys.executable}' make.py index"
    deps: [make.py]
    params: [data.seed]
    outs: [data/indexed, data/ingested]
    metrics:
    - metrics/data.json:
        cache: false
  train:
    cmd: "'{sys.executable}' make.py train"
    deps: [make.py, data/indexed/train]
    params: [als.reg_param]
    outs: [data/factors]
  evaluate:
    cmd: >-
      '{sys.executable}' '{ROOT}/stages/evaluate.py' --params params.yaml --indexed data/indexed
      --factors data/factors --per-user data/per_user.parquet --metrics metrics/evaluate.json
      --plots plots/evaluate
    deps: [data/indexed, data/factors]
    params: [evaluate.split, evaluate.k]
    outs:
    - data/per_user.parquet
    - plots/evaluate:
        cache: false
    metrics:
    - metrics/evaluate.json:
        cache: false
"""


def plots_of_the_evaluate_stage() -> str:
    """The definitions in the real dvc.yaml that draw what `evaluate` writes."""
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    return yaml.safe_dump({"plots": [plot for plot in plots if "plots/evaluate/" in str(plot)]})


class Project:
    """A folder with commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        return result.stdout

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def set(self, old: str, new: str) -> None:
        path = self.folder / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def revision(self, name: str) -> Revision:
        return Revision(name, self.folder)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Branch `main`, an experiment `worse-exp`, its branch `noisy`, and a branch of other data.

    All tables are pushed to a remote.
    """
    project = Project(tmp_path_factory.mktemp("scratch clone"))
    project.git("init", "-q", "-b", "main")
    project.git("config", "user.email", "someone@example.org")
    project.git("config", "user.name", "Someone")
    project.dvc("init", "-q")
    shutil.copytree(ROOT / ".dvc", project.folder / ".dvc", dirs_exist_ok=True, ignore=UNTRACKED)
    project.dvc("remote", "add", "-q", "-d", "store", str(tmp_path_factory.mktemp("store")))
    dag = DAG + plots_of_the_evaluate_stage()
    for name, text in (("make.py", SCRIPT), ("params.yaml", PARAMS), ("dvc.yaml", dag)):
        (project.folder / name).write_text(text)
    (project.folder / ".gitignore").write_text("/data\n__pycache__/\n")
    project.dvc("repro", "-q")
    speed = project.folder / "metrics/ann_speed.json"
    speed.write_text('{"annoy": {"queries_per_second": 1000.0}}')
    project.commit("main")
    project.dvc("exp", "run", "-q", "-n", "worse-exp", "-S", "als.reg_param=0.3")
    project.dvc("exp", "branch", "-q", "worse-exp", "noisy")
    project.git("checkout", "-q", "-f", "noisy")
    speed.write_text('{"annoy": {"queries_per_second": 1500.0}}')
    project.commit("another index")
    project.git("checkout", "-q", "-b", "other-data", "main")
    project.set("seed: 0", "seed: 5")
    project.dvc("repro", "-q")
    project.commit("other plays")
    project.dvc("push", "-q", "--all-branches")
    project.git("checkout", "-q", "main")
    project.dvc("checkout", "-q")
    return project
