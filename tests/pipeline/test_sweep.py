"""The life of a sweep, as docs/sweeps.md tells it: queue, failures, a choice, a commit, a push.

Of four experiments two go well, `broken` has parameters that do not fit each other, and `long`
would run for ever and is killed by `dvc queue kill`.
"""

import csv
import io
import subprocess
import time

import pytest
from dvc.repo import Repo

from .conftest import stages_run, with_cache_of

pytestmark = pytest.mark.pipeline
FAILED = {"long": "als.max_iter=100000000", "broken": "als.solver=cg"}


def status(clone):
    """State of each experiment by its name, as `dvc queue status` prints it."""
    with Repo(str(clone.folder)) as repo:
        return {row["name"]: row["status"] for row in repo.experiments.celery_queue.status()}


def training(clone, name):
    """Has a run come to its training?"""
    logs = [file.read_text() for file in (clone.folder / ".dvc/tmp/exps/run").glob("*/*.out")]
    return any(f"experiment '{name}'" in log and "stages/train.py" in log for log in logs)


def wait_for(wanted):
    """Ask until it is so; fail after ten minutes."""
    deadline = time.monotonic() + 600
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(1)  # to ask costs the queue a core


@pytest.fixture(scope="module")
def sweep(clone, tmp_path_factory):
    """A clone of the scratch clone, after all of its queue has been dealt with."""
    folder = tmp_path_factory.mktemp("sweep")
    other = with_cache_of(clone, folder)
    other.dvc("remote", "add", "--default", "storage", str(folder / "remote"))
    other.commit("DVC remote")
    other.dvc("checkout", "--allow-missing")
    for name, value in FAILED.items():
        other.dvc("exp", "run", "--queue", "--name", name, "-S", value, "evaluate")
    other.dvc("exp", "run", "--queue", "-S", "als.rank=7,8", "evaluate")
    # The workers live on, and would keep a pipe of its output open.
    where = {"cwd": other.folder, "env": other.environment, "check": True}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["dvc", "queue", "start", "--jobs", "2"], **where, **quiet)
    try:
        wait_for(lambda: training(other, "long"))
        wait_for(lambda: sorted(status(other).values())[:2] == ["Failed", "Running"])
        wait_for(lambda: [*status(other).values()].count("Success") == 2)
    finally:  # at the end: a worker that is left idle by it may lose the next run
        other.dvc("queue", "kill", "long")
    wait_for(lambda: "Running" not in status(other).values())
    return other


@pytest.fixture(scope="module")
def shown(sweep):
    """Rows of `dvc exp show`, the best first."""
    words = ["--csv", "--only-changed", "--sort-by", "validation.map@50", "--sort-order", "desc"]
    printed = sweep.run("dvc", "exp", "show", *words).stdout
    return list(csv.DictReader(io.StringIO(printed)))


def test_the_log_of_a_failed_run_says_why(sweep):
    for name, sentence in (
        ("broken", "error: als.solver = cg cannot keep factors nonnegative; "),
        ("long", "error: interrupted; no output is half written"),
    ):
        log = sweep.dvc("queue", "logs", name)
        assert sentence in log and "Traceback" not in log


def test_a_failed_run_shows_the_base_and_its_state(shown):
    (base,) = (row for row in shown if row["rev"] == "main")
    (broken,) = (row for row in shown if row["Experiment"] == "broken")
    assert broken["State"] == "Failed"
    assert broken["validation.map@50"] == base["validation.map@50"]


def test_the_best_is_compared_applied_committed_and_pushed(sweep, shown):
    good = [row for row in shown if row["State"] == "Success"]
    figures = [float(row["validation.map@50"]) for row in good]
    assert len(good) == 2 and figures == sorted(figures, reverse=True)
    best, second = (row["Experiment"] for row in good)
    assert f"{best} against {second}: " in sweep.run("musicrec", "compare", best, second).stdout

    sweep.dvc("exp", "apply", best)
    printed = sweep.dvc("repro")  # what a sweep that stopped at evaluate left out
    assert stages_run(printed) == ["sample", "export", "ann-bench"]  # and what no clone has
    sweep.git("commit", "-qam", "The best of the sweep")
    sweep.dvc("push")
    assert "in sync" in sweep.dvc("status", "--cloud")
    sweep.dvc("exp", "remove", "--all-commits")
    sweep.dvc("queue", "remove", "--all")
    assert status(sweep) == {}
    assert sweep.git("status", "--porcelain") == ""
