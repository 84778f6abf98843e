"""Compiled kernels are found again from another folder, and not after an edit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from musicrec.jit import kernel as module
from musicrec.jit.kernel import SoundCacheFile, kernel, sources_hash

SOURCE = Path(__file__).resolve().parents[2] / "src" / "musicrec"
ANSWER = "from musicrec.jit.kernel import kernel\n\n\n@kernel()\ndef answer():\n    return {}\n"
# Functions of NumPy that numba writes in Python: compiled, they are of a module of numba's own.
SUMS = """import numpy as np
from musicrec.jit.kernel import kernel


@kernel()
def total(x):
    return np.sum(x)


@kernel()
def both(x):
    return total(x) + np.sum(-2 * x)
"""


def write_module(folder: Path, name: str, text: str) -> None:
    """Write `musicrec.name.run`, beside nothing of the package but `kernel` itself."""
    package = folder / "musicrec"
    for part in (package, package / "jit", package / name):
        part.mkdir(parents=True, exist_ok=True)
        (part / "__init__.py").touch()
    shutil.copy(SOURCE / "jit/kernel.py", package / "jit")
    (package / name / "run.py").write_text(text)


def run(code: str, folder: Path, cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder), "MUSICREC_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def answers(folder: Path, cache: Path) -> str:
    """What the kernels of two modules return in a new process, and how often they compile."""
    code = (
        "from musicrec.one.run import answer as one\n"
        "from musicrec.two.run import answer as two\n"
        "print(*((f(), sum(f.stats.cache_misses.values())) for f in (one, two)))\n"
    )
    return run(code, folder, cache)


def test_the_cache_follows_the_source_and_not_the_folder(tmp_path):
    """Two modules of the same stem, line and function name; copies of them; another body."""
    first, second, cache = (tmp_path / name for name in ("first", "second", "cache"))
    for folder in (first, second):
        write_module(folder, "one", ANSWER.format(1))
        write_module(folder, "two", ANSWER.format(2))
    assert answers(first, cache) == "(1, 1) (2, 1)"
    assert answers(second, cache) == "(1, 0) (2, 0)"
    write_module(second, "two", ANSWER.format(3))  # which the other might have compiled in
    assert answers(second, cache) == "(1, 1) (3, 1)"
    assert answers(first, cache) == "(1, 0) (2, 0)"


def test_an_edit_of_any_kernel_or_of_what_makes_them_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", Path(shutil.copytree(SOURCE, tmp_path / "musicrec")))
    hashes = {sources_hash.__wrapped__()}
    assert hashes == {sources_hash()}
    for number, edited in enumerate(("errors.py", "search/kernels.py", "als/lanes.py")):
        path = tmp_path / "musicrec" / edited
        path.write_text(path.read_text() + "\n# edited\n")
        hashes.add(sources_hash.__wrapped__())
        assert len(hashes) == 1 + number, edited


def test_a_kernel_from_the_cache_imports_nothing_of_what_compiles(tmp_path):
    """Not even where it is made of numba's own functions; and it can be compiled into another."""
    write_module(tmp_path, "sums", SUMS)
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from musicrec.sums.run import both, total\n"
        "x = np.arange(4.0)\n"
        "print(total(x), *sorted({'numba.np.arraymath', 'scipy.linalg'} & set(sys.modules)))\n"
        "print(sum(total.stats.cache_hits.values()))\n"
    )
    assert run(code, tmp_path, tmp_path / "cache") == "6.0 numba.np.arraymath scipy.linalg\n0"
    printed = run(code + "print(both(x))\n", tmp_path, tmp_path / "cache")
    assert printed == "6.0\n1\n-6.0"


def double(x):
    return 2 * x


def misses() -> int:
    """Use `double` as a new process would; how often was it compiled?"""
    compiled = kernel()(double)
    assert compiled(2) == 4
    return sum(compiled.stats.cache_misses.values())


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("name", ["*.nbi", "*.nbc"])
def test_a_damaged_entry_is_compiled_anew_and_replaced(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path))
    assert [misses(), misses()] == [1, 0]
    for damage in (lambda content: b"", lambda content: content[:-20], flipped):
        (path,) = tmp_path.rglob(name)
        path.write_bytes(damage(path.read_bytes()))
        assert [misses(), misses()] == [1, 0]


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, monkeypatch):
    def full(self: object, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(SoundCacheFile, "_open_for_write", full)
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path))
    assert misses() == 1
    assert not list(tmp_path.rglob("*.nb*"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path / "file"))
    assert kernel()(double)(2) == 4
