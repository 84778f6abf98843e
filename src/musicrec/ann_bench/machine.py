"""The machine that a speed was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from musicrec.jit.parallel import thread_count

MEASURED = ("numpy", "numba", "annoy", "faiss-cpu", "hnswlib")


def describe_machine() -> dict[str, str | int]:
    """Name the processor, the cores allowed and the versions of what was measured."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": thread_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in MEASURED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
