"""Compare the hashes of every stage's outputs as processors of several kinds compute them.

    python benchmarks/cpus.py                    # a minute for each; nehalem, without FMA, five

One machine plays the others: numba and LLVM compile for another processor, and OpenBLAS, NumPy,
Arrow and the C library are told to leave out vector units that it lacks. Each run is a fresh clone
of the last commit in which `dvc repro --force` runs; hashes are those that DVC writes to dvc.lock.
`plots/ann_bench` holds readings of a clock and is left out. Prints a table a setting, and ends with
exit code 1 if an output differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

from musicrec.errors import MusicRecError
from musicrec.runtime import command

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("params.yaml", "params.original.yaml")
TIMED = {"plots/ann_bench"}
NO_AVX512 = "-AVX512F,-AVX512BW,-AVX512CD,-AVX512DQ,-AVX512VL"


def without(units: str, at_most: str, glibc: str) -> dict[str, str]:
    """Vector units that NumPy (those after `units`), Arrow and the C library are to leave out.

    Numba takes those of the processor that NUMBA_CPU_NAME names, not those of this one.
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    here = [unit for unit in found if unit >= units or unit.startswith("AVX512")]
    return {
        "NUMBA_CPU_FEATURES": "",
        "NPY_DISABLE_CPU_FEATURES": " ".join(here),
        "ARROW_USER_SIMD_LEVEL": at_most,
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={glibc}",
    }


def processors() -> dict[str, dict[str, str]]:
    """Name -> environment in which this x86-64 machine computes as that processor does."""
    avx2 = without("X86_V4", "AVX2", NO_AVX512)
    sse4 = without("X86_V3", "SSE4_2", f"{NO_AVX512},-AVX2,-AVX,-FMA")
    return {
        "this one": {},
        "skylake-avx512": {
            "NUMBA_CPU_NAME": "skylake-avx512", "OPENBLAS_CORETYPE": "SkylakeX"
        },
        "haswell": {"NUMBA_CPU_NAME": "haswell", "OPENBLAS_CORETYPE": "Haswell", **avx2},
        "znver3": {"NUMBA_CPU_NAME": "znver3", "OPENBLAS_CORETYPE": "Zen", **avx2},
        "nehalem": {"NUMBA_CPU_NAME": "nehalem", "OPENBLAS_CORETYPE": "Nehalem", **sse4},
    }  # fmt: skip


def hashes(lock: Path) -> dict[str, str]:
    """Hash of every output that a dvc.lock names, but for readings of a clock."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage["outs"]
        if out["path"] not in TIMED
    }


def run(folder: Path, setting: str, environment: dict[str, str]) -> dict[str, str]:
    """Run every stage in a fresh clone; returns the hashes of the outputs."""
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    shutil.copy(ROOT / setting, folder / "params.yaml")
    done = subprocess.run(
        ["dvc", "repro", "--force"],
        cwd=folder,
        env={**os.environ, "MUSICREC_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise MusicRecError(f"dvc repro failed: {done.stderr.strip().splitlines()[-1]}")
    found = hashes(folder / "dvc.lock")
    shutil.rmtree(folder)
    return found


@command
def main() -> None:
    """Run the comparison."""
    known = processors()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="parameter files")
    parser.add_argument("--processors", nargs="+", choices=known, default=list(known))
    args = parser.parse_args()
    differing: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for setting in args.settings:
            columns = {}
            for processor in args.processors:
                print(f"{setting}, {processor}", file=sys.stderr, flush=True)
                columns[processor] = run(Path(name) / "clone", setting, known[processor])
            print(f"\n| {setting} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
            for path in next(iter(columns.values())):
                cells = [column[path][:8] for column in columns.values()]
                print(f"| {path} | {' | '.join(cells)} |", flush=True)
                if len(set(cells)) > 1:
                    differing.append(f"{path} ({setting})")
    if differing:
        raise MusicRecError(f"other bytes on another processor: {', '.join(differing)}")


if __name__ == "__main__":
    sys.exit(main())
