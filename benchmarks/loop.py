"""Time the loop of change, run and compare, stage by stage, against another revision.

    python benchmarks/loop.py --base main~20 --repeats 3 > loop.md
    python benchmarks/loop.py --base main~20 --whole           # what a person types, DVC and all

Both revisions are cloned to data folders of their own and run in turns with this environment, so
that a drift of the machine's speed falls on both, with the original project's setting. pandas,
which only `make setup-dev` brings and Arrow imports where it is, is hidden from both. `repro` runs
every stage by force; `experiment` runs those that als.rank=50 reruns. Commands come from each
revision's own dvc.yaml; what DVC itself takes is in `--whole` alone. Prints minimum and median
seconds as Markdown, and the minimum of CPU seconds, which other work on the machine changes least.
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
NO_PANDAS = """\
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ImportError("hidden")

sys.meta_path.insert(0, Hidden())
"""
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

    def run(self, command: str) -> Took:
        """Run a command there; returns the seconds it took."""
        since, used = time.perf_counter(), _used()
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=_environment(self.folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        took = Took(time.perf_counter() - since, _used() - used)
        if done.returncode:
            raise MusicRecError(f"{self.name}: {command} failed: {done.stderr.strip()[-500:]}")
        return took


def _environment(folder: Path) -> dict[str, str]:
    """This process's, with a `python` ahead of all others that has no pandas."""
    hidden = folder.parent / "bin"
    if not hidden.exists():
        hidden.mkdir(parents=True)
        (hidden / "sitecustomize.py").write_text(NO_PANDAS, encoding="utf-8")
        python = hidden / "python"  # stages/python.sh sets PYTHONPATH, so that it is added here
        python.write_text(
            f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{hidden}" exec "{sys.executable}" "$@"\n',
            encoding="utf-8",
        )
        python.chmod(0o755)
    path = f"{hidden}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "MUSICREC_PYTHON": str(hidden / "python")}


def _used() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


@contextmanager
def checkout(revision: str, name: str) -> Iterator[Checkout]:
    """Clone a revision into a temporary folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="musicrec-loop-") as scratch:
        folder = Path(scratch) / "checkout"
        _git(ROOT, "clone", "-q", "--shared", str(ROOT), str(folder))
        _git(folder, "checkout", "-q", "--detach", _git(ROOT, "rev-parse", revision))
        stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        if (folder / ORIGINAL).exists():
            shutil.copy(folder / ORIGINAL, folder / "params.yaml")
        yield Checkout(name, folder, {stage: stages[stage]["cmd"] for stage in in_order(stages)})


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


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise MusicRecError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def whole(checkouts: list[Checkout], repeats: int) -> Seconds:
    """Time `dvc repro --force`, and experiments of ranks that were not run before, in turns."""
    seconds: Seconds = {}
    first = "git add -A && git -c user.name=loop -c user.email=loop@localhost commit -qm loop"
    for one in checkouts:
        _git(one.folder, "checkout", "-q", "-B", "loop")
        one.run(f"dvc repro -q && {first}")
    for repeat in range(repeats):
        for one in checkouts:
            for title, command in (
                ("dvc repro --force", "dvc repro -q --force"),
                ("dvc exp run", f"dvc exp run -q -S als.rank={50 + repeat}"),
            ):
                took = one.run(command)
                progress(f"run {repeat + 1} of {repeats}: {one.name} {title} {took.wall:.1f} s")
                seconds.setdefault((title, one.name), []).append(took)
            one.run("git checkout -q --force loop && dvc checkout -q --force --allow-missing")
    return seconds


def time_in_turns(checkouts: list[Checkout], stages: list[str], repeats: int) -> Seconds:
    """Run each stage in one checkout after the other, all stages in order, `repeats` times."""
    seconds: Seconds = {}
    for repeat in range(repeats + 1):  # the first may compile kernels
        for stage in stages:
            for one in checkouts:
                if stage not in one.commands:
                    continue
                took = one.run(one.commands[stage])
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
        one.run(one.commands[stage])


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
    parser.add_argument("--whole", action="store_true", help="time what a person types, whole")
    parser.add_argument(
        "--stages", nargs="+", help="stages to time (default: all); those before run once"
    )
    args = parser.parse_args()
    if shutil.which("git") is None:
        raise MusicRecError("git is missing; install it")
    with checkout(args.base, "base") as base, checkout(args.head, "head") as head:
        both = [base, head]
        if args.whole:
            print(table(whole(both, args.repeats), ["base", "head"], "command"))
            return
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
