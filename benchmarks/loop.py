"""Time the loop of change, run and compare, stage by stage, against another revision.

python benchmarks/loop.py --base main~20 --repeats 3 > loop.md

The other revision is checked out beside this one (`git worktree`) with data folders of its own, and
both run the same stages in turns with this environment, so that a drift of the machine's speed
falls on both, with the original project's setting. `repro` runs every stage by force; `experiment`
runs those that als.rank=50 reruns. Commands come from each revision's own dvc.yaml. Prints minimum
and median seconds as Markdown, and the minimum of CPU seconds, which other work on the machine
changes least. What DVC itself takes is not among them.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from musicrec.errors import MusicRecError
from musicrec.runtime import progress

ROOT = Path(__file__).resolve().parents[1]
RANK = (r"(?m)^  rank: \d+$", "  rank: 50")
ORIGINAL = "params.original.yaml"  # the setting of both revisions, older ones ship no other
AFTER_RANK = ("train", "evaluate", "export", "ann-bench")  # what als.rank reruns


class Took(NamedTuple):
    """Seconds of a run: by the clock, and of the processor."""

    wall: float
    cpu: float


Seconds = dict[tuple[str, str], list[Took]]  # (stage, revision) -> a figure a run


@dataclass(frozen=True)
class Checkout:
    """A revision's files, and the commands of its stages, each after those it depends on."""

    name: str
    folder: Path
    commands: dict[str, str]

    def run(self, stage: str) -> Took:
        """Run a stage's command there; returns the seconds it took."""
        since, used = time.perf_counter(), _used()
        done = subprocess.run(
            self.commands[stage],
            shell=True,
            cwd=self.folder,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        took = Took(time.perf_counter() - since, _used() - used)
        if done.returncode:
            raise MusicRecError(f"{self.name}: stage {stage} failed: {done.stderr.strip()[-500:]}")
        return took


def _used() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


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
            yield Checkout(
                name, folder, {stage: stages[stage]["cmd"] for stage in in_order(stages)}
            )
        finally:
            _git("worktree", "remove", "--force", str(folder))


def in_order(stages: dict[str, Any]) -> list[str]:
    """Names of stages, each after those whose outputs it depends on."""
    wrote = {
        path if isinstance(path, str) else next(iter(path)): stage
        for stage, text in stages.items()
        for kind in ("outs", "metrics", "plots")
        for path in text.get(kind, [])
    }
    needs = {
        stage: [wrote[path] for path in text.get("deps", []) if path in wrote]
        for stage, text in stages.items()
    }
    return list(TopologicalSorter(needs).static_order())


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
                progress(f"run {repeat} of {repeats}: {one.name} {stage} {took.wall:.1f} s")
                if repeat:
                    seconds.setdefault((stage, one.name), []).append(took)
    return seconds


def table(seconds: Seconds, names: list[str], title: str) -> str:
    """A Markdown table of a loop: minimum, median and CPU seconds of each stage, and of all."""
    stages = list(dict.fromkeys(stage for stage, _ in seconds))
    lines = [
        f"| {title} | {' | '.join(f'{name}: min | median | CPU' for name in names)} |",
        f"|---|{'---:|' * 3 * len(names)}",
    ]
    rows = [(stage, [seconds.get((stage, name), []) for name in names]) for stage in stages]
    totals = []
    for name in names:
        runs = [seconds[stage, name] for stage in stages if (stage, name) in seconds]
        totals.append([Took(*map(sum, zip(*run, strict=True))) for run in zip(*runs, strict=True)])
    for label, figures in [*rows, ("**together**", totals)]:
        lines.append(f"| {label} | {' | '.join(map(_cells, figures))} |")
    return "\n".join(lines)


def _cells(runs: list[Took]) -> str:
    if not runs:
        return "- | - | -"
    walls, cpus = zip(*runs, strict=True)
    return f"{min(walls):.1f} | {statistics.median(walls):.1f} | {min(cpus):.1f}"


def prepare(one: Checkout, stages: list[str]) -> None:
    """Run all that comes before the last of `stages` once, unless all of it is timed anyway."""
    known = list(one.commands)
    last = max((known.index(stage) for stage in stages if stage in known), default=0)
    if set(known[:last]) <= set(stages):
        return
    for stage in known[:last]:
        progress(f"{one.name} {stage}, not timed")
        one.run(stage)


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
    parser.add_argument(
        "--stages", nargs="+", help="stages to time (default: all); those before run once"
    )
    args = parser.parse_args()
    if shutil.which("git") is None:
        raise MusicRecError("git is missing; install it")
    with checkout(args.base, "base") as base, checkout(args.head, "head") as head:
        both = [base, head]
        stages = args.stages or list(dict.fromkeys([*head.commands, *base.commands]))
        names = [one.name for one in both]
        for one in both:
            prepare(one, stages)
        seconds = time_in_turns(both, stages, args.repeats)
        print(table(seconds, names, "`dvc repro --force`"))
        again = [stage for stage in stages if stage in AFTER_RANK]
        if again:
            for one in both:
                set_rank(one)
            seconds = time_in_turns(both, again, args.repeats)
            print("\n" + table(seconds, names, "`dvc exp run -S als.rank=50`"))


if __name__ == "__main__":
    from musicrec.runtime import command

    sys.exit(command(main)())
