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
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)
from numba.core.environment import Environment
from numba.core.runtime import rtsys

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
        Those of `numba.njit`. `forceinline` for what is called for each row: a tuple of arrays
        goes as up to a hundred arguments over the stack, which took two fifths of
        a fit by conjugate gradients at rank 20.
    """
    if not allocates:
        options["_nrt"] = False  # numba's runtime, which counts references

    def compile_cached(function: F) -> F:
        dispatcher = numba.njit(nogil=True, **options)(function)
        with suppress(OSError, RuntimeError):  # a read-only home: compile in each process
            dispatcher._cache = SoundCache(function)
        return dispatcher

    return compile_cached


class SourceHashLocator(_CacheLocator):
    """Find a kernel's compiled code by the text of the kernel modules, not by their path."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        """Take a function and the file that defines it."""
        self._line = function.__code__.co_firstlineno
        folder = f"{function.__module__}-{_hash_of(source)}-{sources_hash()}"
        self._path = cache_folder() / folder

    def get_cache_path(self) -> str:
        """Folder of the compiled code."""
        return str(self._path)

    def get_source_stamp(self) -> str:
        """The folder's name holds the hash already, so that branches do not evict each other."""
        return sources_hash()

    def get_disambiguator(self) -> str:
        """Tell apart functions of one name in one module."""
        return str(self._line)

    @classmethod
    def from_function(cls, function: Callable[..., Any], source: str) -> SourceHashLocator:
        """Make the locator numba asks for."""
        self = cls(function, source)
        self.ensure_cache_path()
        return self


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
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if any(word in text for word in KERNELS):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + text)
    return digest.hexdigest()[:16]


class SoundCacheFile(IndexDataCacheFile):  # type: ignore[misc]
    """The files of one kernel: an index, and compiled code for each signature."""

    @classmethod
    def instead_of(cls, file: IndexDataCacheFile) -> SoundCacheFile:
        """Take over the names of numba's own."""
        self = cls.__new__(cls)
        self.__dict__ = file.__dict__
        return self

    def load(self, key: Any) -> Any:
        """Read the code for a signature; None where there is none that is whole."""
        try:
            return super().load(key)
        except Exception:  # whatever numba makes of a damaged entry
            return None

    def save(self, key: Any, data: Any) -> None:
        """Write the code for a signature, if the disk takes it."""
        with suppress(OSError):
            super().save(key, data)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        """Add the checksum, which numba does not look at: it reads up to the end of its content."""
        content = io.BytesIO()
        with super()._open_for_write(filepath) as stream:
            yield content
            stream.write(content.getvalue() + _checksum(content.getvalue()))

    def _load_index(self) -> dict[Any, str]:
        return super()._load_index() if _sound(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        return super()._load_data(name) if _sound(self._data_path(name)) else None


class LightImpl(CompileResultCacheImpl):  # type: ignore[misc]
    """Writes compiled code so that reading it imports no module of numba."""

    _locator_classes = (SourceHashLocator,)

    def reduce(self, compiled: Any) -> tuple[Any, ...]:
        """Take apart what was compiled.

        With a kernel go the environments of numba's own functions in it, and reading one imports
        the function's module for its globals, which compiled code never looks at. That of NumPy's
        functions imports SciPy's linear algebra. So they name numba itself.
        """
        *parts, environments = super().reduce(compiled)
        return (*parts, tuple(map(_light, environments)))


class SoundCache(FunctionCache):  # type: ignore[misc]
    """The cache of one kernel."""

    _impl_class = LightImpl

    def __init__(self, function: Any) -> None:
        """Find the folder, as numba's configuration says.

        Raises
        ------
        RuntimeError
            There is none that can be written.
        """
        super().__init__(function)
        self._cache_file: Any = SoundCacheFile.instead_of(self._cache_file)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code for a signature without what only a compilation needs.

        Numba's own first imports and registers all of Python and NumPy that it can compile, SciPy's
        linear algebra with it: half a second of each process. Code that is compiled needs numba's
        runtime alone, and a compilation registers what it needs itself.
        """
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


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


def _sound(path: str) -> bool:
    """Whether a file is there and ends with its own checksum."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    return content[-CHECKSUM_BYTES:] == _checksum(content[:-CHECKSUM_BYTES])


STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: what a stream's state grows by


@kernel(allocates=False)
def mix(z: np.uint64) -> np.uint64:
    """Scramble 64 bits of a stream's state: numbers that depend on their place in it alone.

    The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16).
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel(allocates=False)
def fnv1a(text: np.ndarray, start: int, stop: int) -> np.uint64:
    """Hash the bytes `text[start:stop]` by FNV-1a (Fowler, Noll and Vo): uint64."""
    value = np.uint64(0xCBF29CE484222325)
    for place in range(start, stop):
        value = (value ^ np.uint64(text[place])) * np.uint64(0x100000001B3)
    return value
