"""A scratch clone of this checkout, with small parameters, in which `dvc` really runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

ROOT = Path(__file__).resolve().parents[2]

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


class Clone:
    """A scratch clone and the commands typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self) -> dict[str, str]:
        """What commands see: this Python's programs come first on PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "MUSICREC_SPARK_MEMORY": "1g"}

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environment(), **env},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}\n{done.stdout}\n{done.stderr}")
        return done

    def with_author(self) -> Clone:
        self.git("config", "user.name", "A Tester")
        self.git("config", "user.email", "tester@example.org")
        return self

    def reset(self) -> None:
        self.git("checkout", "--quiet", "--", ".")
        self.git("clean", "-fdq")
        self.dvc("checkout")

    def git(self, *words: str) -> str:
        return self.run("git", *words).stdout

    def dvc(self, *words: str, **env: str) -> str:
        done = self.run("dvc", *words, **env)
        return done.stdout + done.stderr

    def start_workers(self, jobs: int) -> None:
        """Run `dvc queue start`; its workers live on, and would keep a pipe of its output open."""
        words = ("dvc", "queue", "start", "--jobs", str(jobs))
        quiet = subprocess.DEVNULL
        subprocess.run(
            words, cwd=self.folder, env=self.environment(), stdout=quiet, stderr=quiet, check=True
        )

    def set_params(self, changes: dict) -> None:
        """Change values in params.yaml, block by block."""
        with modify_yaml(str(self.folder / "params.yaml")) as content:  # in the form DVC writes
            for block, values in changes.items():
                content[block].update(values)

    def lock(self) -> dict:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)


def copy_checkout(folder: Path) -> Clone:
    """Copy what git tracks, or would, into a new repository: the work tree as it is."""
    kinds = ("--cached", "--others", "--exclude-standard")
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z", *kinds]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    clone = Clone(folder)
    clone.git("init", "--quiet", "--initial-branch=main")
    return clone.with_author()


def stages_run(printed: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in printed]


def clone_of(clone: Clone, folder: Path) -> Clone:
    """Clone a clone into a folder, with an author for its commits."""
    subprocess.run(["git", "clone", "-q", clone.folder, folder / "clone"], check=True)
    return Clone(folder / "clone").with_author()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A scratch clone, in a path with a space, after one `dvc repro` whose result is committed."""
    scratch = copy_checkout(tmp_path_factory.mktemp("scratch") / "a clone")
    (scratch.folder / "dvc.lock").unlink(missing_ok=True)
    # The original project's setting, which both engines have.
    shutil.copy(ROOT / "params.original.yaml", scratch.folder / "params.yaml")
    scratch.set_params(SMALL)
    scratch.commit("small parameters")
    scratch.dvc("repro")
    scratch.commit("dvc repro")
    return scratch
