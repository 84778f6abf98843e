"""Two of DVC's commands at once in one clone: each ends well or says who holds the lock.

A queue with two workers: tests/pipeline/test_sweep.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.pipeline.conftest import after_repro
from tests.support.project import Project

LOCKED = ("Unable to acquire lock", "is busy", "is locked", "already running", "lock")


def at_once(clone: Project, *commands: list[str]) -> list[tuple[int, str]]:
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


def check(clone: Project, ended: list[tuple[int, str]], lock: str) -> list[str]:
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


def main() -> int:
    """Run both pairs, and print how they ended."""
    with tempfile.TemporaryDirectory(prefix="musicrec-together-") as folder:
        clone = after_repro(Path(folder))
        lock = (clone.folder / "dvc.lock").read_text()
        stages = ["repro", "--force", "--single-item", "train", "export"]
        found = {"two dvc repro": check(clone, at_once(clone, stages, stages), lock)}
        clone.git("checkout", "--quiet", ".")
        runs = [
            ["exp", "run", "--temp", "--name", f"rank{rank}", "-S", f"als.rank={rank}"]
            for rank in (5, 6)
        ]
        found["two dvc exp run --temp"] = check(clone, at_once(clone, *runs), lock)
    for what, wrong in found.items():
        print(f"{what}: {'; '.join(wrong) or 'as it must be'}")
    return any(found.values())


if __name__ == "__main__":
    sys.exit(main())
