"""Faults: what is done to a stage, and what must be true afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.world import Run, World, leftovers

Fault = Callable[[World, str, Path, random.Random], "str | None"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Loading a library into too little memory ends the process before anything can be caught.
BY_A_LIBRARY = (
    "cannot allocate memory for thread-local data: ABORT",
    "OpenBLAS error: Memory allocation still failed",
    "LLVM ERROR: out of memory",
)
TRACES = ("Traceback (most recent call last)", "\tat ", "Fatal Python error", "Exception ignored")


def judge(world: World, stage: str, folder: Path, run: Run) -> str | None:
    """Say what is wrong with how a stage ended; None where it is as it must be.

    It finished and its outputs are those of an undisturbed run; or it failed with one sentence,
    and of each output there is nothing or the right thing. Either way nothing runs or lies about.
    """
    if run.left:
        return f"left {run.left}"
    if run.status == 999:
        return "hangs"
    for trace in TRACES:
        if trace in run.said:
            return f"prints {trace!r}: {run.said[-300:]}"
    found, good = world.outputs(stage, folder), world.good[stage]
    if run.status == 0:
        if found != good:
            wrong = sorted(name for name in {*found, *good} if found.get(name) != good.get(name))
            return f"finished with other outputs: {wrong[:3]}"
    else:
        if any(words in run.said for words in BY_A_LIBRARY):
            return f"left {left[:3]}" if (left := leftovers(folder)) else None
        if run.status < 0:
            return f"crashed with status {run.status}: {run.said[-300:]}"
        sentences = [line for line in run.said.splitlines() if line.startswith("error: ")]
        if len(sentences) != 1 or not run.said.rstrip().splitlines()[-1].startswith("error: "):
            return f"no sentence at its end (status {run.status}): {run.said[-300:]!r}"
        half = [name for name, content in found.items() if good.get(name) != content]
        if half:
            return f"failed and left {half[:3]}"
    if left := leftovers(folder):
        return f"left {left[:3]}"
    return None


def signalled(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
    """A signal at a random time, on half of the runs amid outputs; then a run without any."""
    sent = draw.choice(SIGNALS)
    for name, content in world.good[stage].items() if draw.random() < 0.5 else ():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    delay = draw.uniform(0.15, 1.1 * world.seconds[stage] + 0.1)

    def during(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        if process.poll() is None:
            if sent == signal.SIGKILL:
                os.killpg(process.pid, sent)
            else:
                process.send_signal(sent)

    run = world.run(stage, folder, during=during)
    if run.status == -signal.SIGKILL:
        if run.left:
            return f"left {run.left}"
    elif problem := judge(world, stage, folder, run):
        return f"{sent.name} after {delay:.2f} s: {problem}"
    again = world.run(stage, folder)
    if again.status:
        return f"{sent.name} after {delay:.2f} s, and then: {again.said[-300:]}"
    problem = judge(world, stage, folder, again)
    return problem and f"{sent.name} after {delay:.2f} s, and then: {problem}"


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def foreign(path: Path, draw: random.Random) -> None:
    others = [other for other in path.parent.iterdir() if other.is_file() and other != path]
    if others:
        shutil.copy(draw.choice(sorted(others)), path)
    else:
        path.write_bytes(b"\x80\x04K\x01." * 20)


def extra(path: Path, draw: random.Random) -> None:
    shutil.copy(path, path.with_name(f"part-00099{path.suffix}"))


DAMAGE: dict[str, Callable[[Path, random.Random], object]] = {
    "cut": cut,
    "flipped": flip,
    "emptied": lambda path, draw: path.write_bytes(b""),
    "missing": lambda path, draw: path.unlink(),
    "foreign": foreign,
    "extra": extra,
}


def damaged(how: str) -> Fault:
    """One file of the inputs is damaged."""

    def fault(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
        files = world.inputs(stage, folder)
        if not files or (stage == "ingest" and how in ("foreign", "extra")):
            return signalled(world, stage, folder, draw)  # a user's source: nothing to tell by
        path = draw.choice(files)
        DAMAGE[how](path, draw)
        problem = judge(world, stage, folder, world.run(stage, folder))
        return problem and f"{path.relative_to(folder)} {how}: {problem}"

    return fault


def limited(limit: int, low: float, high: float) -> Fault:
    """A limit of the system, drawn evenly on a scale of powers."""

    def fault(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
        value = int(low * (high / low) ** draw.random())
        problem = judge(world, stage, folder, world.run(stage, folder, limit=(limit, value)))
        return problem and f"limit {limit} of {value}: {problem}"

    return fault


def variable(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
    """A variable of the environment that cannot be meant, or one that is empty."""
    name, value = draw.choice(
        [
            *[("MUSICREC_THREADS", text) for text in ("0", "-1", "many", "", "1", "3")],
            *[("MUSICREC_SPARK_MEMORY", text) for text in ("300m", "lots", "")],
            *[("MUSICREC_SPARK_MASTER", text) for text in ("", "spark://127.0.0.1:9", "moon")],
            *[("MUSICREC_CACHE", text) for text in ("", "/dev/null/cache")],
        ]
    )
    problem = judge(world, stage, folder, world.run(stage, folder, {name: value}))
    return problem and f"{name}={value}: {problem}"


def stale_cache(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
    """Entries of the kernel cache are damaged: they are compiled anew."""
    cache = folder / "cache"
    shutil.copytree(world.cache / "kernels", cache / "kernels")
    entries = sorted(cache.rglob("*.nb[ic]"))
    for path in draw.sample(entries, min(20, len(entries))):
        draw.choice([cut, flip])(path, draw)
    run = world.run(stage, folder, {"MUSICREC_CACHE": str(cache)})
    return f"stops: {run.said[-300:]}" if run.status else judge(world, stage, folder, run)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in a folder; needs root."""
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    try:
        with mounted(folder, "size=64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextlib.contextmanager
def on_own_disk(folder: Path, free: int) -> Iterator[None]:
    """Lay a file system over a folder that holds what was there, and has so many bytes free."""
    folder.mkdir(exist_ok=True)
    kept = Path(shutil.copytree(folder, folder.parent / "kept"))
    needed = sum(path.stat().st_size + 8192 for path in kept.rglob("*"))
    with mounted(folder, f"size={needed + free}"):
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield


def full_disk(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
    """Outputs, or temporary files and cache, on a disk with too little room."""
    where = draw.choice(["data", "metrics", "plots", "tmp"])
    size = sum(len(content) for content in world.good[stage].values())
    free = max(4096, int(draw.uniform(0.0, 1.0) * size))
    with on_own_disk(folder / where, free):
        problem = judge(world, stage, folder, world.run(stage, folder))
    return problem and f"{where} with {free} bytes free: {problem}"


def read_only(world: World, stage: str, folder: Path, draw: random.Random) -> str | None:
    """Outputs on a disk that is read-only."""
    name = draw.choice(world.paths(stage)).split("/")[0]
    target = folder / name
    with on_own_disk(target, free=1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", str(target)], check=True)
        run = world.run(stage, folder)
        if run.status == 0:
            return "finished on a read-only disk"
        problem = judge(world, stage, folder, run)
    return problem and f"{name} read-only: {problem}"


KINDS: dict[str, tuple[int, Fault]] = {  # how many in a hundred faults, and what is done
    "signal": (36, signalled),
    "cut": (6, damaged("cut")),
    "flipped": (12, damaged("flipped")),
    "emptied": (4, damaged("emptied")),
    "missing": (5, damaged("missing")),
    "foreign": (5, damaged("foreign")),
    "extra": (4, damaged("extra")),
    "memory": (5, limited(resource.RLIMIT_AS, 700e6, 6e9)),
    "open files": (4, limited(resource.RLIMIT_NOFILE, 10, 100)),
    "file size": (4, limited(resource.RLIMIT_FSIZE, 100, 200_000)),
    "variable": (4, variable),
    "kernel cache": (3, stale_cache),
    "full disk": (5, full_disk),
    "read-only": (3, read_only),
}
NEEDS_MOUNT = ("full disk", "read-only")


def plan(seed: int, number: int, stages: list[str]) -> list[tuple[str, str]]:
    """Kinds of faults and the stages they befall."""
    draw = random.Random(seed)
    kinds = draw.choices(list(KINDS), [share for share, _ in KINDS.values()], k=number)
    return [(kind, draw.choice(stages)) for kind in kinds]


def befall(world: World, place: int, kind: str, stage: str, seed: int) -> str | None:
    """Do a fault to a stage in a project of its own; say what is wrong, or None."""
    folder = world.copy(world.folder / f"fault-{place}", stage)
    draw = random.Random(f"{seed} {place}")
    try:
        return KINDS[kind][1](world, stage, folder, draw)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
