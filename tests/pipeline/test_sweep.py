"""The life of a sweep, as docs/sweeps.md tells it: queue, failures, a choice, a commit, a push.

Six experiments are queued. Two go well. `broken` has parameters that do not fit each other, and
`forgotten` names plays that nobody put under DVC. `long` would run for ever and is killed by
`dvc queue kill`; `lost` would too, and is killed together with its worker.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo

from .conftest import Clone

pytestmark = pytest.mark.pipeline

ENDLESS = "als.max_iter=100000000"
QUEUED = {
    "long": ENDLESS,
    "lost": ENDLESS,
    "forgotten": "data.source=data/mine/plays.csv",
    "broken": "als.solver=cg",
}
STATES = ("Queued", "Running", "Success", "Failed")


class Sweep:
    """A clone with a queue, and what was printed while it worked."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.stuck = ""  # state of a run whose worker is dead
        self.said = ""  # by `dvc queue kill` of that run
        self.shown: list[dict[str, str]] = []  # rows of `dvc exp show`

    def status(self) -> dict[str, str]:
        """State of each experiment by its name, as `dvc queue status` prints it."""
        with Repo(str(self.clone.folder)) as repo:
            return {row["name"]: row["status"] for row in repo.experiments.celery_queue.status()}

    def log(self, name: str) -> Path | None:
        """The file of what a run prints."""
        for file in (self.clone.folder / ".dvc/tmp/exps/run").glob("*/*.out"):
            if f"experiment '{name}'" in file.read_text():
                return file
        return None

    def training(self, name: str) -> bool:
        """Has a run come to its training?"""
        log = self.log(name)
        return log is not None and "> sh stages/python.sh stages/train.py" in log.read_text()

    def left(self, queued: int, running: int) -> bool:
        """Are at most so many experiments waiting, and so many at work?"""
        states = [*self.status().values()]
        return states.count("Queued") <= queued and states.count("Running") <= running

    def wait_for(self, wanted: Callable[[], bool]) -> None:
        """Ask until it is so; fail after three minutes."""
        deadline = time.monotonic() + 180
        while not wanted():
            assert time.monotonic() < deadline, self.clone.dvc("queue", "status")
            time.sleep(0.2)

    def kill_with_its_worker(self, name: str) -> None:
        """End all processes of a run as a full memory does, which tells none of them."""
        log = self.log(name)
        assert log is not None
        worker = psutil.Process(int(log.with_suffix(".pid").read_text())).parent()
        assert worker is not None and "queue-worker" in worker.cmdline()
        processes = [worker, *worker.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=60)


@pytest.fixture(scope="module")
def sweep(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A clone of the scratch clone, after all of its queue has been dealt with."""
    folder = tmp_path_factory.mktemp("sweep")
    subprocess.run(["git", "clone", "-q", clone.folder, folder / "clone"], check=True)
    other = Clone(folder / "clone")
    other.git("config", "user.name", "A Tester")
    other.git("config", "user.email", "tester@example.org")
    other.dvc("cache", "dir", "--local", str(clone.folder / ".dvc/cache"))
    other.dvc("remote", "add", "--default", "storage", str(folder / "remote"))
    other.commit("DVC remote")
    other.dvc("checkout")
    (other.folder / "data/mine").mkdir()
    (other.folder / "data/mine/plays.csv").write_text("user,track\na,b\n")

    sweep = Sweep(other)
    for name, value in QUEUED.items():
        other.dvc("exp", "run", "--queue", "--name", name, "-S", value, "evaluate")
    other.dvc("exp", "run", "--queue", "-S", "als.rank=7,8", "evaluate")
    other.start_workers(2)
    sweep.wait_for(lambda: sweep.training("long") and sweep.training("lost"))
    sweep.kill_with_its_worker("lost")
    other.start_workers(2)
    sweep.wait_for(lambda: sweep.left(queued=0, running=3))
    other.dvc("queue", "kill", "long")  # and its worker, which by now has nothing else to do
    sweep.wait_for(lambda: sweep.left(queued=0, running=1))
    sweep.stuck = sweep.status()["lost"]
    sweep.said = other.dvc("queue", "kill", "lost")
    words = ["--csv", "--only-changed", "--sort-by", "map@50", "--sort-order", "desc"]
    shown = other.run("dvc", "exp", "show", *words).stdout
    sweep.shown = list(csv.DictReader(io.StringIO(shown)))
    return sweep


def test_failures_leave_the_rest_running(sweep: Sweep) -> None:
    status = sweep.status()
    assert {name: status.pop(name) for name in QUEUED} == dict.fromkeys(QUEUED, "Failed")
    assert [*status.values()] == ["Success"] * 2


def test_a_run_whose_worker_was_killed_stays_running_until_it_is_killed(sweep: Sweep) -> None:
    assert sweep.stuck == "Running"
    assert "had already aborted unexpectedly" in sweep.said
    left = [path.name for path in (sweep.clone.folder / ".dvc/tmp/exps").glob("tmp*")]
    assert len(left) == 1  # its copy of the repository, to be removed by hand


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken", "error: als.solver = cg cannot keep factors nonnegative; "),
        ("long", "error: interrupted; no output was written"),
        ("forgotten", "data/mine/plays.csv"),
    ],
)
def test_the_log_of_a_failed_run_says_why(sweep: Sweep, name: str, sentence: str) -> None:
    log = sweep.clone.dvc("queue", "logs", name)
    assert sentence in log
    assert "Traceback" not in log


def test_a_failed_run_shows_figures_and_its_state(sweep: Sweep) -> None:
    (base,) = (row for row in sweep.shown if row["rev"] == "main")
    (broken,) = (row for row in sweep.shown if row["Experiment"] == "broken")
    assert broken["State"] == "Failed"
    assert broken["map@50"] == base["map@50"]


def test_the_best_is_compared_applied_committed_and_pushed(sweep: Sweep) -> None:
    clone = sweep.clone
    good = [row for row in sweep.shown if row["State"] == "Success"]
    figures = [float(row["map@50"]) for row in good]
    assert len(good) == 2 and figures == sorted(figures, reverse=True)
    best, second = (row["Experiment"] for row in good)
    assert f"{best} against {second}: " in clone.run("musicrec", "compare", best, second).stdout

    clone.dvc("exp", "apply", best)
    printed = clone.dvc("repro")  # what a sweep that stopped at evaluate left out
    run = re.findall("Running stage '(.*)'", printed)
    assert run == ["sample", "export", "ann-bench"]  # the sample, which this clone never had
    clone.git("commit", "-qam", "The best of the sweep")
    clone.dvc("push")
    assert "in sync" in clone.dvc("status", "--cloud")

    clone.dvc("exp", "remove", "--all-commits")
    clone.dvc("queue", "remove", "--all")
    assert sweep.status() == {}
    assert clone.dvc("exp", "list", "--all-commits").strip() == ""
    assert clone.git("status", "--porcelain") == ""
