"""A small project whose stages are run by hand, and what they must leave behind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from musicrec.jit.kernel import cache_folder, sources_hash
from musicrec.storage.files import CHECKSUMS
from tests.support.indexed_data import make_plays, write_indexed

ROOT = Path(__file__).resolve().parents[2]
_DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {  # in the order of their inputs
    name: _DAG[name]
    for name in (
        *("sample", "ingest", "downsample", "index", "train"),
        *("baselines", "evaluate", "export", "ann-bench"),
    )
}
TIMED = ("ann_bench",)  # outputs that a clock says
OUTPUTS = ("--output", "--metrics", "--plots", "--per-user", "--lists")
SMALL = {
    "sample": {"scale": 0.0003},
    "data": {"source": "data/sample"},
    "downsample": {"fraction": 0.9},
    "als": {"rank": 4, "max_iter": 3},
    "baselines": {"neighbours": 5},
    "evaluate": {"k": [5, 20], "bootstrap_samples": 100},
    "ann_bench": {"k": 20, "n_trees": [1], "search_k": [50], "n_queries": 5},
}
TIMEOUT = 240  # seconds, after which a stage hangs


@dataclass
class Run:
    """How a stage ended: status as `subprocess` has it, and what it printed to standard error."""

    status: int
    said: str
    seconds: float
    left: list[str] = field(default_factory=list)


class World:
    """Inputs of every stage as an undisturbed run left them, and the outputs it gave."""

    def __init__(self, folder: Path, stages: Sequence[str], engine: str = "native") -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.stages = list(stages)
        self.good: dict[str, dict[str, bytes]] = {}
        self.seconds: dict[str, float] = {}
        self.cache.mkdir(parents=True)
        for kernels in cache_folder().glob(f"*-{sources_hash()}"):  # compiled already
            shutil.copytree(kernels, self.cache / "kernels" / kernels.name)
        for name in ("src", "stages"):
            (folder / name).symlink_to(ROOT / name)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        for block, values in SMALL.items():
            params[block].update(values)
        if engine == "mllib":
            params["als"].update(engine=engine, reg_exponent=1.0)
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        if "index" not in stages:
            write_indexed(folder / "data/indexed", make_plays())
        for stage in self.stages:
            kernels = set(self.cache.rglob("*"))
            run = self.run(stage, folder)
            assert run.status == 0, f"{stage}: {run.said}"
            if set(self.cache.rglob("*")) != kernels:
                run = self.run(stage, folder)  # with its kernels compiled
            self.good[stage], self.seconds[stage] = self.outputs(stage, folder), run.seconds

    def words(self, stage: str) -> list[str]:
        """The command of a stage, without the shell that finds Python."""
        words = STAGES[stage]["cmd"].split()
        return words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]

    def paths(self, stage: str) -> list[str]:
        """Outputs, relative to the project."""
        words = self.words(stage)
        return [words[words.index(flag) + 1] for flag in OUTPUTS if flag in words]

    def inputs(self, stage: str, folder: Path) -> list[Path]:
        """Files of the data that a stage reads."""
        words = self.words(stage)
        named = [
            words[i + 1]
            for i, word in enumerate(words[:-1])
            if word.startswith("--") and word not in (*OUTPUTS, "--params")
        ]
        if stage == "ingest":
            named = [SMALL["data"]["source"]]
        roots = [folder / name for name in named]
        return sorted(path for root in roots for path in root.rglob("*") if path.is_file())

    def outputs(self, stage: str, folder: Path) -> dict[str, bytes]:
        """Content of the stage's output files but for those that a clock says."""
        found = {}
        for name in self.paths(stage):
            root = folder / name
            files = [root] if root.is_file() else sorted(root.rglob("*"))
            for path in files:
                if path.is_file() and not any(part in TIMED for part in path.parent.parts):
                    found[str(path.relative_to(folder))] = path.read_bytes()
        return found

    def copy(self, folder: Path, stage: str) -> Path:
        """A project with the inputs of a stage and none of its outputs."""
        folder.mkdir(parents=True)
        for name in ("src", "stages"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copy2(self.folder / "params.yaml", folder)
        for path in self.inputs(stage, self.folder):
            copied = folder / path.relative_to(self.folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)
        return folder

    def run(
        self,
        stage: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        limit: tuple[int, int] | None = None,
        during: Callable[[subprocess.Popen[bytes]], None] = lambda process: None,
    ) -> Run:
        """Run a stage with temporary files of its own; `during` sees the process.

        `limit` is one of `resource`'s limits and its value.
        """
        scratch = folder / "tmp"
        scratch.mkdir(exist_ok=True)
        variables = {
            **os.environ,
            "PYTHONPATH": "src",
            "MUSICREC_CACHE": str(self.cache),
            "MUSICREC_SPARK_MEMORY": "600m",
            "MUSICREC_SPARK_MASTER": "",
            "TMPDIR": str(scratch),
            **(env or {}),
        }
        since = time.monotonic()
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, *self.words(stage)],
                cwd=folder,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
                preexec_fn=(lambda: resource.setrlimit(limit[0], (limit[1],) * 2))
                if limit
                else None,
            )
            during(process)
            try:
                status = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                status = 999
            seconds = time.monotonic() - since
            left = survivors(process.pid)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        text = (folder / "said").read_text(errors="replace")
        return Run(status, text, seconds, [f"process {pid}" for pid in left])


def survivors(session: int) -> list[int]:
    """Processes of a session that live on after a while."""
    deadline = time.monotonic() + 10
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry.name))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def leftovers(folder: Path) -> list[str]:
    """Temporary files of a project."""
    found = [str(path) for path in (folder / "tmp").iterdir()]
    for top in ("data", "metrics", "plots"):
        found += [str(path) for path in (folder / top).rglob(".*")]
    return [name for name in found if not name.endswith(CHECKSUMS)]
