"""Two of DVC's commands at once in one clone: each ends well or says who holds the lock."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.pipeline.conftest import SMALL, Clone, copy_checkout

LOCKED = ("Unable to acquire lock", "is busy", "is locked", "already running", "lock")
QUEUE_SECONDS = 600


def clone_after_repro(folder: Path) -> Clone:
    """A scratch clone whose pipeline has run."""
    clone = copy_checkout(folder)
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone.set_params(SMALL)
    clone.commit("small parameters")
    clone.dvc("repro")
    clone.commit("dvc repro")
    return clone


def at_once(clone: Clone, *commands: list[str]) -> list[tuple[int, str]]:
    """Start commands together; status and what each printed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dvc", *words],
            cwd=clone.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in commands
    ]
    said = [process.communicate()[0] for process in running]
    return [(process.returncode, text) for process, text in zip(running, said, strict=True)]


def check(clone: Clone, ended: list[tuple[int, str]], lock: str) -> list[str]:
    """What is wrong with how commands ended together."""
    wrong = []
    for status, text in ended:
        if "Traceback (most recent call last)" in text:
            wrong.append(f"a trace: {text[-300:]}")
        if status and not any(word in text for word in LOCKED):
            wrong.append(f"status {status}: {text[-300:]}")
    if all(status for status, _ in ended):
        wrong.append("neither went on")
    again = clone.run("dvc", "repro", check=False)
    if again.returncode:
        wrong.append(f"the next dvc repro: {again.stdout[-200:]} {again.stderr[-200:]}")
    if (clone.folder / "dvc.lock").read_text() != lock:
        wrong.append("dvc.lock is not that of an undisturbed run")
    return wrong


def queue_of_two(clone: Clone) -> list[str]:
    """Two experiments, two workers."""
    clone.dvc("exp", "run", "--queue", "-S", "als.rank=4,5", "-S", "als.alpha=2")
    clone.dvc("queue", "start", "-j", "2")
    deadline = time.monotonic() + QUEUE_SECONDS
    while True:
        status = clone.dvc("queue", "status")
        if "Queued" not in status and "Running" not in status:
            break
        if time.monotonic() > deadline:
            return [f"the queue hangs: {status}"]
        time.sleep(1)
    return [] if status.count("Success") == 2 else [status]


def main() -> int:
    """Run the three, and print how they ended."""
    with tempfile.TemporaryDirectory(prefix="musicrec-together-") as folder:
        clone = clone_after_repro(Path(folder))
        lock = (clone.folder / "dvc.lock").read_text()
        stages = ["repro", "--force", "--single-item", "train", "export"]
        found = {"two dvc repro": check(clone, at_once(clone, stages, stages), lock)}
        clone.git("checkout", "--quiet", ".")
        runs = [
            ["exp", "run", "--temp", "--name", f"rank{rank}", "-S", f"als.rank={rank}"]
            for rank in (5, 6)
        ]
        found["two dvc exp run --temp"] = check(clone, at_once(clone, *runs), lock)
        found["a queue with two workers"] = queue_of_two(clone)
    for what, wrong in found.items():
        print(f"{what}: {'; '.join(wrong) or 'as it must be'}")
    return any(found.values())


if __name__ == "__main__":
    sys.exit(main())
