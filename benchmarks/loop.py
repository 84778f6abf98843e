"""Time the loop of change, run and compare, stage by stage, against another revision.

python benchmarks/loop.py --base main~20 --repeats 3 > loop.md

The other revision is checked out beside this one (`git worktree`) with data folders of its own, and
both run the same stages in turns with this environment, so that a drift of the machine's speed
falls on both, with the original project's setting. `repro` runs every stage by force; `experiment`
runs those that als.rank=50 reruns. Commands come from each revision's own dvc.yaml. Prints minimum
and median seconds as Markdown.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from musicrec.errors import MusicRecError
from musicrec.process.progress import progress

ROOT = Path(__file__).resolve().parents[1]
RANK = (r"(?m)^  rank: \d+$", "  rank: 50")
ORIGINAL = "params.original.yaml"  # the setting of both revisions, older ones ship no other
AFTER_RANK = ("train", "evaluate", "export", "ann-bench")  # what als.rank reruns

Seconds = dict[tuple[str, str], list[float]]  # (stage, revision) -> a figure a run


@dataclass(frozen=True)
class Checkout:
    """A revision's files, and the commands of its stages in the order of its dvc.yaml."""

    name: str
    folder: Path
    commands: dict[str, str]

    def run(self, stage: str) -> float:
        """Run a stage's command there; returns the seconds it took."""
        since = time.perf_counter()
        done = subprocess.run(
            self.commands[stage],
            shell=True,
            cwd=self.folder,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - since
        if done.returncode:
            raise MusicRecError(f"{self.name}: stage {stage} failed: {done.stderr.strip()[-500:]}")
        return seconds


@contextmanager
def checkout(revision: str, name: str) -> Iterator[Checkout]:
    """Check a revision out into a temporary folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="musicrec-loop-") as scratch:
        folder = Path(scratch) / "checkout"
        _git("worktree", "add", "--detach", str(folder), revision)
        try:
            stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
            if (folder / ORIGINAL).exists():
                shutil.copy(folder / ORIGINAL, folder / "params.yaml")
            yield Checkout(name, folder, {stage: text["cmd"] for stage, text in stages.items()})
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*words: str) -> None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise MusicRecError(f"git {' '.join(words)}: {done.stderr.strip()}")


def time_in_turns(checkouts: list[Checkout], stages: list[str], repeats: int) -> Seconds:
    """Run each stage in one checkout after the other, all stages in order, `repeats` times."""
    seconds: Seconds = {}
    for repeat in range(repeats + 1):  # the first may compile kernels
        for stage in stages:
            for one in checkouts:
                if stage not in one.commands:
                    continue
                took = one.run(stage)
                progress(f"run {repeat} of {repeats}: {one.name} {stage} {took:.1f} s")
                if repeat:
                    seconds.setdefault((stage, one.name), []).append(took)
    return seconds


def table(seconds: Seconds, names: list[str], title: str) -> str:
    """A Markdown table of a loop: minimum and median of each stage, and of all of them."""
    stages = list(dict.fromkeys(stage for stage, _ in seconds))
    lines = [
        f"| {title} | {' | '.join(f'{name}: min | median' for name in names)} |",
        f"|---|{'---:|' * 2 * len(names)}",
    ]
    rows = [(stage, [seconds.get((stage, name), []) for name in names]) for stage in stages]
    totals = []
    for name in names:
        runs = [seconds[stage, name] for stage in stages if (stage, name) in seconds]
        totals.append([sum(run) for run in zip(*runs, strict=True)])
    for label, figures in [*rows, ("**together**", totals)]:
        cells = [
            f"{min(runs):.1f} | {statistics.median(runs):.1f}" if runs else "- | -"
            for runs in figures
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def set_rank(one: Checkout) -> None:
    """Change als.rank in a checkout as `dvc exp run -S als.rank=50` does."""
    path = one.folder / "params.yaml"
    text, changed = re.subn(*RANK, path.read_text(encoding="utf-8"))
    if changed != 1:
        raise MusicRecError(f"{one.name}: params.yaml does not hold als.rank once")
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Time both loops in both revisions and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, help="revision to compare with")
    parser.add_argument("--head", default="HEAD", help="revision that is judged")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="+", help="stages to time (default: all)")
    args = parser.parse_args()
    if shutil.which("git") is None:
        raise MusicRecError("git is missing; install it")
    with checkout(args.base, "base") as base, checkout(args.head, "head") as head:
        both = [base, head]
        stages = args.stages or list(dict.fromkeys([*head.commands, *base.commands]))
        names = [one.name for one in both]
        seconds = time_in_turns(both, stages, args.repeats)
        print(table(seconds, names, "`dvc repro --force`"))
        again = [stage for stage in stages if stage in AFTER_RANK]
        if again:
            for one in both:
                set_rank(one)
            seconds = time_in_turns(both, again, args.repeats)
            print("\n" + table(seconds, names, "`dvc exp run -S als.rank=50`"))


if __name__ == "__main__":
    from musicrec.command import command

    sys.exit(command(main)())
