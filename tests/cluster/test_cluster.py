"""MLlib and lists for everybody on executors, whatever dies in the middle.

`make cluster` runs this; a dozen starts of Spark are too slow for every run of the tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import objective
from musicrec.interactions.id_columns import read_sizes
from musicrec.interactions.matrix import read_interactions
from musicrec.params import ALSParams, FeedbackParams
from tests.cluster.standalone import Standalone, standalone

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FIRST_STAGES = ("ingest", "downsample", "index")
MLLIB = ALSParams(engine="mllib", rank=6, max_iter=4)
PARAMS = {"sample": {"scale": 0.001}, "als": MLLIB.model_dump(), "evaluate": {"k": [10]}}
PATIENCE = 120  # seconds for executors to appear


class Place:
    """A folder in which stages run, as dvc.yaml has them."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder, self.env = folder, env
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("src", "stages"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))

    def start(self, stage: str) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            STAGES[stage]["cmd"],
            shell=True,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "MUSICREC_SPARK_MEMORY": "1g", **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *stages: str) -> None:
        for stage in stages:
            finished(self.start(stage))


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"{out}\n{err}"
    return err


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("local") / "place")
    place.run("sample", *FIRST_STAGES, "train")
    return place


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with standalone(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A cluster's own configuration."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (tmp_path / "events").mkdir()
    (folder / "spark-defaults.conf").write_text(
        "spark.executor.memory 512m\n"
        "spark.executor.cores 1\n"
        "spark.eventLog.enabled true\n"
        f"spark.eventLog.dir {(tmp_path / 'events').as_uri()}\n"
        "spark.eventLog.rolling.enabled false\n"
        "spark.eventLog.compress false\n"
    )
    return folder


@pytest.fixture
def place(tmp_path: Path, local: Place, conf: Path) -> Place:
    """Another folder with the same source, for a cluster."""
    found = Place(tmp_path / "place", SPARK_CONF_DIR=str(conf), SPARK_LOCAL_IP="127.0.0.1")
    (found.folder / "data").mkdir()
    (found.folder / "data/sample").symlink_to(local.folder / "data/sample")
    return found


@pytest.mark.parametrize("what", ["local-cluster", "standalone", "executor", "worker"])
def test_mllib_trains_on_executors_and_leaves_nothing(
    what: str, place: Place, local: Place, tmp_path: Path
) -> None:
    """With two executors, or where one of them or a worker is killed in the middle."""
    (place.folder / "data/indexed").symlink_to(local.folder / "data/indexed")
    before = set(place.folder.iterdir())
    with standalone(tmp_path / "cluster") as cluster:
        local_cluster = "local-cluster[2,1,1024]"
        place.env["MUSICREC_SPARK_MASTER"] = (
            local_cluster if what == "local-cluster" else cluster.master
        )
        process = place.start("train")
        if what in ("executor", "worker"):
            wait_for(lambda: len(cluster.executors()) >= 2, process)
            if what == "executor":
                os.kill(cluster.executors()[0], signal.SIGKILL)
            else:
                cluster.kill_worker()
        finished(process)
    assert {path.name for path in set(place.folder.iterdir()) - before} <= {"metrics", "plots"}
    factors = place.folder / "data/factors"
    users, items = (np.load(factors / f"{name}_factors.npy") for name in ("user", "item"))
    sizes = read_sizes(local.folder / "data/indexed/sizes.json")
    plays = read_interactions(local.folder / "data/indexed/train", sizes.n_users, sizes.n_items)
    there = objective(training_ratings(plays, FeedbackParams()), users, items, MLLIB)
    here = json.loads((local.folder / "plots/train/loss.json").read_text())[-1]["loss"]
    assert there == pytest.approx(here, rel=1e-4)  # executors sum in the order they finish
    events = [
        json.loads(line)
        for path in (place.folder.parent / "events").iterdir()
        for line in path.read_text().splitlines()
    ]
    added = [e for e in events if e["Event"] == "SparkListenerExecutorAdded"]
    assert len(added) >= (1 if what == "worker" else 2)  # the cluster's configuration counts
    (memory,) = {
        e["Spark Properties"]["spark.executor.memory"]
        for e in events
        if e["Event"] == "SparkListenerEnvironmentUpdate"
    }
    assert memory == "512m"


def test_recommend_brings_its_package_and_its_python(
    place: Place, local: Place, cluster: Standalone, conf: Path, tmp_path: Path
) -> None:
    """Executors have another Python, in an archive that Spark unpacks, and no `musicrec` in it."""
    local.run("export")
    used = tmp_path / "used"
    archive = packed_python(tmp_path, used)
    with (conf / "spark-defaults.conf").open("a") as settings:
        settings.write(f"spark.archives {archive.as_uri()}#environment\n")
        settings.write("spark.pyspark.python ./environment/python\n")
    place.env["MUSICREC_SPARK_MASTER"] = cluster.master
    words = [sys.executable, "-m", "musicrec", "recommend", "--all", "--bundle"]
    lists = {}
    for engine, where in (("native", local), ("spark", place)):
        lists[engine] = where.folder / "lists.parquet"
        options = [local.folder / "data/bundle", "--engine", engine, "--output", lists[engine]]
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")} | where.env
        subprocess.run([*words, *options], cwd=where.folder, env=env, check=True)
    assert lists["spark"].read_bytes() == lists["native"].read_bytes()
    assert used.read_text().count("without musicrec") >= 1


def packed_python(folder: Path, used: Path) -> Path:
    """An archive of a Python with what an executor imports, but for Spark's package and ours.

    Each start of it adds a line to `used`.
    """
    imported = "import pandas, sys, musicrec.bundle.batch; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True)
    names = {name.split(".")[0] for name in found.stdout.split()} - {"musicrec", "pyspark"}
    site = Path(np.__file__).parents[1]
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        'here=$(cd "$(dirname "$0")" && pwd)\n'
        'export PYTHONPATH="$here/site:$PYTHONPATH"\n'
        f"base={Path(sys.base_prefix) / 'bin' / Path(sys.executable).resolve().name}\n"
        f'(cd / && "$base" -c "import musicrec") 2>/dev/null || echo without musicrec >> {used}\n'
        'exec "$base" "$@"\n'
    )
    python.chmod(0o755)
    archive = folder / "environment.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(python, "python")
        for entry in sorted(site.iterdir()):
            if {entry.stem, entry.name.split(".")[0]} & names or entry.suffix == ".libs":
                packed.add(entry, f"site/{entry.name}")
    return archive


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
