"""Measure how time and memory of every stage grow with the plays, Java's memory included.

    python benchmarks/growth.py --scales 0.02 0.2 1.0 > growth.md

At each scale (1.0: about 50 M plays) every stage of dvc.yaml runs once, in a copy of this checkout,
with the shipped parameters but for `sample.scale` and `downsample.fraction`. Memory is the peak of
the sum over a stage's processes of their proportional set size (Linux; pages that several share
count once), looked at ten times a second. Prints Markdown: a table a scale, and how every stage
grows between the two largest scales, with what that makes of 1 and 10 billion plays.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from dvc.utils.hydra import apply_overrides

from musicrec.errors import MusicRecError
from musicrec.runtime import progress

ROOT = Path(__file__).resolve().parents[1]
CODE = ("stages", "src", "params.yaml", "dvc.yaml")
MEGABYTE = 1e6
LOOK = 0.1  # seconds between two looks at the memory
BILLIONS = (1e9, 1e10)


@dataclass(frozen=True)
class Used:
    """What a stage took: seconds; peaks in MB of all processes, of Java's and of Python's."""

    seconds: float
    whole: float
    java: float
    python: float


class Watch(threading.Thread):
    """Looks at the memory of a process and of all below it."""

    def __init__(self, pid: int) -> None:
        """Take the number of the first process."""
        super().__init__(daemon=True)
        self.pid = pid
        self.peaks = {"whole": 0.0, "java": 0.0, "python": 0.0}
        self.done = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.done.wait(LOOK):
            now = {"java": 0.0, "python": 0.0}
            for pid in descendants(self.pid):
                name, megabytes = _memory(pid)
                now["java" if "java" in name else "python"] += megabytes
            for key, value in {**now, "whole": sum(now.values())}.items():
                self.peaks[key] = max(self.peaks[key], value)


def descendants(pid: int) -> list[int]:
    """A process and all that it or they have started."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        with suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return found


def _memory(pid: int) -> tuple[str, float]:
    """Name of a process and its proportional set size in MB; 0 if it is gone."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("Pss:"))
        return name, int(kilobytes) * 1024 / MEGABYTE
    except (OSError, ValueError):
        return "", 0.0


def run_stage(command: str, folder: Path) -> Used:
    """Run a stage's command and watch it.

    Raises
    ------
    MusicRecError
        It failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    since = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=folder,
            env=os.environ | {"PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        watch = Watch(process.pid)
        watch.start()
        status = process.wait()
        seconds = time.perf_counter() - since
        watch.done.set()
        watch.join()
        errors.seek(0)
        if status:
            raise MusicRecError(f"{command.split()[2]} failed: {errors.read().strip()[-500:]}")
    return Used(seconds, **watch.peaks)


def measure(scale: float, fraction: float, scratch: Path) -> tuple[int, dict[str, Used]]:
    """Run every stage once at a scale; returns the plays that were read, and what stages took."""
    for name in CODE:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, scratch / name)
    apply_overrides(
        str(scratch / "params.yaml"),
        [f"sample.scale={scale}", f"downsample.fraction={fraction}"],
    )
    stages = yaml.safe_load((scratch / "dvc.yaml").read_text())["stages"]
    used = {}
    for stage, text in stages.items():
        used[stage] = run_stage(text["cmd"], scratch)
        one = used[stage]
        progress(f"scale {scale:g}: {stage} {one.seconds:.1f} s, {one.whole:,.0f} MB")
    figures = json.loads((scratch / "metrics/data.json").read_text())
    plays = figures["rows_read"] - figures["rows_merged"]
    return plays, used


def table(plays: int, fraction: float, used: dict[str, Used]) -> str:
    """Markdown of one scale."""
    lines = [
        f"| {plays:,} plays, fraction {fraction:g} | seconds | peak MB | Java's | Python's |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage, one in used.items():
        figures = f"{one.seconds:.1f} | {one.whole:,.0f} | {one.java:,.0f} | {one.python:,.0f}"
        lines.append(f"| {stage} | {figures} |")
    total, most = sum(o.seconds for o in used.values()), max(o.whole for o in used.values())
    return "\n".join([*lines, f"| **all** | {total:.1f} | {most:,.0f} | | |"])


def growth(runs: Sequence[tuple[int, dict[str, Used]]]) -> str:
    """Markdown of how stages grow, and of what that makes of a billion plays.

    Beyond the largest run a straight line through the two largest goes on; an exponent above 1
    says that this is too little.
    """
    (few, small), (many, large) = runs[-2:]
    lines = [
        "| stage | seconds ~ plays^ | memory ~ plays^ "
        "| at 1 billion: s, GB | at 10 billion: s, GB |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage, last in large.items():
        first = small[stage]
        cells = [
            f"{math.log(new / old) / math.log(many / few):.2f}" if min(new, old) > 0 else "-"
            for old, new in ((first.seconds, last.seconds), (first.whole, last.whole))
        ]
        for plays in BILLIONS:
            along = (plays - many) / (many - few)
            seconds = last.seconds + max(0.0, last.seconds - first.seconds) * along
            memory = last.whole + max(0.0, last.whole - first.whole) * along
            cells.append(f"{seconds:,.0f}, {memory / 1e3:,.1f}")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scales", nargs="+", type=float, default=[0.02, 0.2, 1.0])
    parser.add_argument("--fraction", type=float, default=0.2, help="downsample.fraction")
    args = parser.parse_args()
    runs = []
    for scale in sorted(args.scales):
        with tempfile.TemporaryDirectory(prefix="musicrec-growth-", dir=ROOT.parent) as scratch:
            runs.append(measure(scale, args.fraction, Path(scratch)))
        print(table(runs[-1][0], args.fraction, runs[-1][1]) + "\n", flush=True)
    if len(runs) > 1:
        print(growth(runs))


if __name__ == "__main__":
    from musicrec.runtime import command

    sys.exit(command(main)())
