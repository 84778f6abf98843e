"""A scratch project: real Git, DVC and evaluate stage, no Spark.

It has the pipeline's file names. Its `index` and `train` stages only write synthetic plays, and
factors that are worse the larger `als.reg_param` is.
"""

import os
import shutil
import sys

import pytest

from tests.support.project import Project
from tests.support.scripts import ROOT

UNTRACKED = shutil.ignore_patterns("cache", "tmp", "config.local")

SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import yaml

from musicrec.storage.files import write_json
from tests.support.indexed_data import make_plays, write_factors, write_indexed

params = yaml.safe_load(Path("params.yaml").read_text())
plays = make_plays(params["data"]["seed"])
if sys.argv[1] == "index":
    write_indexed(Path("data/indexed"), plays)
    write_json("data/ingested/plays.json", {"seed": params["data"]["seed"]})
    write_json("metrics/data.json", {"train_plays": len(plays.train)})
    count = {"split": "train", "rows": len(plays.train), "users": 300, "mean": 2.5, "max": 5}
    write_json("plots/data/counts.json", [count])
else:
    reg_param = params["als"]["reg_param"]
    noise = reg_param * np.random.default_rng(1).random(plays.items.shape)
    write_factors(Path("data/factors"), plays.users, plays.items + noise)
    loss = [{"iteration": i, "loss": 100.5 / i + reg_param} for i in range(1, 5)]
    write_json("plots/train/loss.json", loss)
    settings = [
        {"method": method, "exact": recall == 1, "setting": f"search_k {nodes}", "recall": recall,
         "queries_per_second": speed + 10 * reg_param, "p99_milliseconds": 2.5,
         "build_seconds": 0.25, "index_megabytes": 1.5, "map": 0.1 * recall,
         "map_lost": 0.1 * (1 - recall)}
        for method, nodes, recall, speed in [
            ("exact", 0, 1.0, 900.0), ("annoy, n_trees 5", 10, 0.5, 9000.0),
            ("annoy, n_trees 5", 100, 0.875, 3000.0), ("annoy, n_trees 9", 10, 0.625, 6000.0),
        ]
    ]
    write_json("plots/ann_bench/tradeoff.json", settings)
    write_json("plots/ann_bench/machine.json", {"processor": "A processor", "cores": 2})
    write_json("metrics/ann_bench.json", {"ann_recall": 0.9 - reg_param})
"""

PARAMS = """
data: {seed: 0}
als: {reg_param: 0.0}
baselines: {neighbours: 20}
evaluate: {split: validation, k: [10, 100], bootstrap_samples: 200, seed: 1}
"""

DAG = f"""
stages:
  index:
    cmd: "'{sys.executable}' make.py index"
    deps: [make.py]
    params: [data.seed]
    outs: [data/indexed, data/ingested, plots/data]
    metrics: [{{metrics/data.json: {{cache: false}}}}]
  train:
    cmd: "'{sys.executable}' make.py train"
    deps: [make.py, data/indexed/train]
    params: [als.reg_param]
    outs: [data/factors, plots/train, plots/ann_bench]
    metrics: [{{metrics/ann_bench.json: {{cache: false}}}}]
  baselines:
    cmd: >-
      '{sys.executable}' '{ROOT}/stages/baselines.py' --params params.yaml --indexed data/indexed
      --output data/baselines --metrics metrics/baselines.json
    deps: [data/indexed]
    params: [baselines, evaluate]
    outs: [data/baselines]
    metrics: [{{metrics/baselines.json: {{cache: false}}}}]
  evaluate:
    cmd: >-
      '{sys.executable}' '{ROOT}/stages/evaluate.py' --params params.yaml --indexed data/indexed
      --factors data/factors --baselines data/baselines --per-user data/per_user.parquet
      --lists data/lists.parquet
      --metrics metrics/evaluate.json --plots plots/evaluate
    deps: [data/indexed, data/factors, data/baselines]
    params: [evaluate]
    outs: [data/per_user.parquet, data/lists.parquet, plots/evaluate]
    metrics: [{{metrics/evaluate.json: {{cache: false}}}}]
"""


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Branch `main`, an experiment `worse-exp`, its branch `noisy`, and a branch of other data.

    All tables are pushed to a remote.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    project = Project(tmp_path_factory.mktemp("scratch clone"), PYTHONPATH=path)
    project.init()
    project.dvc("init", "-q")
    shutil.copytree(ROOT / ".dvc", project.folder / ".dvc", dirs_exist_ok=True, ignore=UNTRACKED)
    project.dvc("remote", "add", "-q", "-d", "store", str(tmp_path_factory.mktemp("store")))
    for name, text in (("make.py", SCRIPT), ("params.yaml", PARAMS), ("dvc.yaml", DAG)):
        (project.folder / name).write_text(text)
    (project.folder / ".gitignore").write_text("/data\n/plots\n__pycache__/\n")
    project.dvc("repro", "-q")
    project.commit("main")
    project.dvc("exp", "run", "-q", "-n", "worse-exp", "-S", "als.reg_param=0.3")
    project.dvc("exp", "branch", "-q", "worse-exp", "noisy")
    project.git("checkout", "-q", "-b", "other-data", "main")
    project.set("seed: 0", "seed: 5")
    project.dvc("repro", "-q")
    project.commit("other plays")
    project.dvc("push", "-q", "--all-branches")
    project.git("checkout", "-q", "main")
    project.dvc("checkout", "-q")
    return project


@pytest.fixture
def without_remote(project, tmp_path, monkeypatch):
    """A clone that has neither the tables nor where they are; the working folder."""
    clone = project.clone_to(tmp_path / "clone")
    (clone.folder / ".dvc/config").unlink()
    monkeypatch.chdir(clone.folder)
    return clone
