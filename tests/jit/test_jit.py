"""Compiled kernels are found again from another folder, and not after an edit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from musicrec.jit.kernel import SoundCacheFile, kernel

SOURCE = Path(__file__).resolve().parents[2] / "src" / "musicrec"
CALL = (
    "import numpy as np\n"
    "from musicrec.interactions import matrix as m\n"
    "one = np.zeros(1, np.int32)\n"
    "m.from_triples(one, one, one, 1, 1)\n"
    "print(sum(m._place.stats.cache_hits.values()), sum(m._place.stats.cache_misses.values()))\n"
)


def run(code: str, package_parent: Path, cache: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(package_parent), "MUSICREC_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def hits_and_misses(package_parent: Path, cache: Path) -> str:
    return run(CALL, package_parent, cache)


def test_the_cache_follows_the_source_and_not_the_folder(tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(SOURCE, tmp_path / name / "musicrec")
    cache = tmp_path / "cache"
    assert hits_and_misses(tmp_path / "first", cache) == "0 1"
    assert hits_and_misses(tmp_path / "second", cache) == "1 0"

    for other in ("search/kernels.py", "als/lanes.py"):  # kernels and what they are made of
        edited = tmp_path / "second" / "musicrec" / other
        edited.write_text(edited.read_text() + "\n# edited\n")
        assert hits_and_misses(tmp_path / "second", cache) == "0 1"
        assert hits_and_misses(tmp_path / "first", cache) == "1 0"


def test_a_kernel_from_the_cache_imports_nothing_of_what_compiles(tmp_path: Path) -> None:
    """Not even where it is made of numba's own functions: here of `argsort` and indexing."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from musicrec.interactions import matrix as m\n"
        "one = np.zeros(2, np.int32)\n"
        "print(m.from_triples(one, one[:2] + [1, 0], one + 1, 1, 2).indices.tolist(), end=' ')\n"
        "print(*sorted({'numba.np.arraymath', 'scipy.linalg', 'pandas'} & set(sys.modules)))\n"
        "print(sum(m._sort_rows.stats.cache_hits.values()))\n"
    )
    printed = [run(code, SOURCE.parent, tmp_path).splitlines() for _ in range(2)]
    assert printed == [["[0, 1] numba.np.arraymath scipy.linalg", "0"], ["[0, 1] ", "1"]]


def test_a_kernel_from_the_cache_can_be_compiled_into_another(tmp_path: Path) -> None:
    """Loaded first, by itself; then a kernel that calls it, and NumPy, is compiled."""
    package = tmp_path / "musicrec"
    shutil.copytree(SOURCE, package)
    (package / "one").mkdir()
    (package / "one" / "__init__.py").touch()
    (package / "one" / "run.py").write_text(
        "import numpy as np\n"
        "from musicrec.jit.kernel import kernel\n\n\n"
        "@kernel()\ndef order(x):\n    return np.argsort(x)\n\n\n"
        "@kernel()\ndef both(x):\n    return order(x) + np.argsort(-x) + int(np.median(x))\n"
    )
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from musicrec.one.run import both, order\n"
        "x = np.array([3.0, 1.0, 2.0])\n"
        "print(order(x).tolist(), sum(order.stats.cache_hits.values()))\n"
        "if sys.argv[1:]:\n"
        "    print(both(x).tolist(), sum(both.stats.cache_misses.values()))\n"
    )
    printed = [run(code, tmp_path, tmp_path / "cache", *more) for more in ([], ["both"])]
    assert printed == ["[1, 2, 0] 0", "[1, 2, 0] 1\n[3, 6, 3] 1"]


@pytest.mark.parametrize("name", ["*.nbi", "*.nbc"])
def test_a_damaged_entry_is_compiled_anew_and_replaced(tmp_path: Path, name: str) -> None:
    assert hits_and_misses(SOURCE.parent, tmp_path) == "0 1"
    for damage in (lambda content: b"", lambda content: content[:-20], flipped):
        for path in tmp_path.rglob(name):
            path.write_bytes(damage(path.read_bytes()))
        assert hits_and_misses(SOURCE.parent, tmp_path) == "0 1"
        assert hits_and_misses(SOURCE.parent, tmp_path) == "1 0"


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


def test_a_cache_that_takes_no_more_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(SoundCacheFile, "_open_for_write", full)
    monkeypatch.setenv("MUSICREC_CACHE", str(tmp_path))

    @kernel()
    def double(x):  # type: ignore[no-untyped-def]
        return 2 * x

    assert double(2) == 4
    assert not list(tmp_path.rglob("*.nb*"))


def test_a_home_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert hits_and_misses(SOURCE.parent, blocked) == "0 1"


def answer(package_parent: Path, module: str, cache: Path) -> tuple[int, int]:
    """What a module's kernel returns in a new process, and how often it had to be compiled."""
    code = (
        f"from musicrec.{module} import answer\n"
        "print(answer(), sum(answer.stats.cache_misses.values()))\n"
    )
    returned, misses = run(code, package_parent, cache).split()
    return int(returned), int(misses)


def write_kernel(package: Path, folder: str, returned: int) -> None:
    (package / folder).mkdir(exist_ok=True)
    (package / folder / "__init__.py").touch()
    (package / folder / "run.py").write_text(
        "from musicrec.jit.kernel import kernel\n\n\n"
        f"@kernel()\ndef answer():\n    return {returned}\n"
    )


def test_modules_of_one_name_share_no_cache_and_an_edit_below_a_folder_recompiles(
    tmp_path: Path,
) -> None:
    """The same stem, line and function name in two folders, and then another body."""
    package = tmp_path / "musicrec"
    shutil.copytree(SOURCE, package)
    write_kernel(package, "one", 1)
    write_kernel(package, "two", 2)
    cache = tmp_path / "cache"
    assert answer(tmp_path, "one.run", cache) == (1, 1)
    assert answer(tmp_path, "two.run", cache) == (2, 1)
    assert answer(tmp_path, "one.run", cache) == (1, 0)
    write_kernel(package, "one", 3)
    assert answer(tmp_path, "one.run", cache) == (3, 1)


def test_a_kernel_that_allocates_must_say_so() -> None:
    @kernel(allocates=False)
    def make():  # type: ignore[no-untyped-def]
        return np.empty(1)

    with pytest.raises(numba.core.errors.TypingError, match="empty"):
        make()
