"""`kernel`: numba's `njit` with a cache that follows the source, wherever the checkout lies.

Numba keys its cache by the path of a source file. A queued experiment runs in a temporary
copy of the repository, so it would compile every kernel anew; and a kernel that calls one of
another module would keep the old one compiled in after an edit. Here the key is a hash of the
text of all kernel modules: a second experiment, in whatever folder, compiles nothing.

Numba stops with a stack trace at an entry that is cut, and would run machine code in which a bit
has flipped. Here each file ends with its CRC-32: one that does not fit is as good as absent and is
written anew, and one that cannot be written is not missed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.environment import Environment
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

CHECKSUM_BYTES = 4  # of a CRC-32
F = TypeVar("F", bound=Callable[..., Any])

PACKAGE = Path(__file__).resolve().parents[1]
# In the text of every kernel module.
KERNELS = (b"musicrec.jit.kernel", b"import numba", b"from numba")


def kernel(*, allocates: bool = True, **options: Any) -> Callable[[F], F]:
    """Compile a function with `numba.njit`, free of the GIL and cached on disk.

    Threads are the caller's (`musicrec.jit.parallel`), so that what a kernel returns cannot depend
    on their number.

    Parameters
    ----------
    allocates : bool
        False: the kernel makes and returns no array, so that it need not count references to
        those it is given. Numba counts with atomic instructions each time it reads an array from
        a tuple or hands one on: a seventh of a fit by conjugate gradients at rank 20.
    **options
        Those of `numba.njit`.
    """
    if not allocates:
        options["_nrt"] = False  # numba's runtime, which counts references

    def compile_cached(function: F) -> F:
        dispatcher = numba.njit(nogil=True, **options)(function)
        with suppress(OSError, RuntimeError):  # no source, no home: compile in each process
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return compile_cached


class KernelCache:
    """Compiled code of one kernel, a file a signature, in place of numba's `FunctionCache`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Name the folder by the text of the function's file and of the kernel modules.

        Branches do not evict each other.
        """
        code = function.__code__
        folder = f"{function.__module__}-{_hash_of(code.co_filename)}-{sources_hash()}"
        self.cache_path = cache_folder() / folder
        self._name = f"{function.__name__}-{code.co_firstlineno}"

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """Load the code for a signature; None where there is none that is whole.

        Numba's own first imports and registers all of Python and NumPy that it can compile, SciPy's
        linear algebra with it: half a second of each process. Code that is compiled needs numba's
        runtime alone, and a compilation registers what it needs itself.
        """
        rtsys.initialize(target_context)
        with suppress(Exception):  # whatever comes of a file that is missing or damaged
            content = self._file(sig, target_context.codegen()).read_bytes()
            if content[-CHECKSUM_BYTES:] == _checksum(content[:-CHECKSUM_BYTES]):
                return CompileResult._rebuild(target_context, *pickle.loads(content))
        return None

    def save_overload(self, sig: Any, compiled: CompileResult) -> None:
        """Write the code for a signature, if the disk takes it.

        With a kernel go the environments of numba's own functions in it, and reading one imports
        the function's module for its globals, which compiled code never looks at. That of NumPy's
        functions imports SciPy's linear algebra. So they name numba itself.
        """
        if compiled.library.has_dynamic_globals:  # addresses of this process
            return
        *parts, environments = compiled._reduce()
        content = dumps((*parts, tuple(map(_light, environments))))
        path = self._file(sig, compiled.codegen)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            try:
                new.write_bytes(content + _checksum(content))
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)

    def _file(self, sig: Any, codegen: Any) -> Path:
        key = hashlib.sha256(repr((str(sig), codegen.magic_tuple())).encode()).hexdigest()[:16]
        return self.cache_path / f"{self._name}-{key}"


def cache_folder() -> Path:
    """Folder for compiled kernels, which may be deleted at any time and may not exist.

    Below MUSICREC_CACHE, or `musicrec` below XDG_CACHE_HOME or ~/.cache.
    """
    chosen, base = os.environ.get("MUSICREC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen) / "kernels"
    return (Path(base) if base else Path.home() / ".cache") / "musicrec" / "kernels"


@functools.cache
def _hash_of(source: str) -> str:
    """Hash of a file's text, which may lie outside the package: a test's, a notebook's."""
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]


@functools.cache
def sources_hash() -> str:
    """Hash of the text of all kernel modules, which ends the name of each folder of kernels."""
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {numba.__version__}".encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if any(word in text for word in KERNELS):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def _light(environment: Any) -> Any:
    """An environment as it is, or one of the same constants that is of the package numba."""
    if not environment.globals["__name__"].startswith("numba."):
        return environment
    light = Environment({"__name__": "numba"})
    light.consts[:] = environment.consts
    light.env_name = environment.env_name
    return light


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "big")


STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: what a stream's state grows by


@kernel(allocates=False)
def mix(z: np.uint64) -> np.uint64:
    """Scramble 64 bits of a stream's state: numbers that depend on their place in it alone.

    The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16).
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
