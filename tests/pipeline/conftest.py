"""A scratch clone of this checkout, with small parameters, in which `dvc` really runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.utils.serialize import modify_yaml

from tests.support.project import Project
from tests.support.scripts import ROOT

STAGES = [
    *("sample", "ingest", "downsample", "index", "train"),
    *("baselines", "evaluate", "export", "ann-bench"),
]
SMALL = {
    "sample": {"scale": 0.001},
    "als": {"rank": 4, "max_iter": 3},
    "baselines": {"neighbours": 10},
    "evaluate": {"k": [10, 50], "bootstrap_samples": 100},
    "ann_bench": {
        "k": 50,
        "n_trees": [1, 5],
        "search_k": [100, 1000],
        "n_queries": 20,
        "repeats": 1,
    },
}


def stages_run(printed: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in printed]


def after_repro(folder: Path) -> Project:
    """A copy of what Git tracks here, or would, after one `dvc repro` that is committed."""
    kinds = ("--cached", "--others", "--exclude-standard")
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z", *kinds]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # The original project's setting, which both engines have.
    shutil.copy(ROOT / "params.original.yaml", folder / "params.yaml")
    with modify_yaml(str(folder / "params.yaml")) as content:  # in the form DVC writes
        for block, values in SMALL.items():
            content[block].update(values)
    scratch = Project(folder, MUSICREC_SPARK_MEMORY="1g")
    scratch.init()
    scratch.commit("small parameters")
    scratch.dvc("repro")
    scratch.commit("dvc repro")
    return scratch


def reset(clone: Project) -> None:
    clone.git("checkout", "--quiet", "--", ".")
    clone.git("clean", "-fdq")
    clone.dvc("checkout")


def with_cache_of(clone: Project, folder: Path) -> Project:
    """Clone a clone into a folder; the new one reads and fills the cache of the old one."""
    other = clone.clone_to(folder / "clone")
    other.dvc("cache", "dir", "--local", str(clone.folder / ".dvc/cache"))
    return other


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A scratch clone in a path with a space."""
    return after_repro(tmp_path_factory.mktemp("scratch") / "a clone")
