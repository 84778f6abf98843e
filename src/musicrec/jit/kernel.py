"""`kernel`: numba's `njit` with a cache that follows the source, wherever the checkout lies.

Numba keys its cache by the path of a source file. A queued experiment runs in a temporary
copy of the repository, so it would compile every kernel anew; and a kernel that calls one of
another module would keep the old one compiled in after an edit. Here the key is a hash of the
text of all kernel modules: a second experiment, in whatever folder, compiles nothing.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config
from numba.core.caching import _CacheLocator

from musicrec.jit.kernel_cache import SoundCache
from musicrec.storage.cache import cache_root

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
        before = config.CACHE_LOCATOR_CLASSES
        config.CACHE_LOCATOR_CLASSES = f"{__name__}.SourceHashLocator"
        try:
            dispatcher = numba.njit(nogil=True, **options)(function)
            with suppress(OSError, RuntimeError):  # a read-only home: compile in each process
                dispatcher._cache = SoundCache(function)
            return dispatcher
        finally:
            config.CACHE_LOCATOR_CLASSES = before

    return compile_cached


class SourceHashLocator(_CacheLocator):
    """Find a kernel's compiled code by the text of the kernel modules, not by their path."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        """Take a function and the file that defines it."""
        self._line = function.__code__.co_firstlineno
        name = _module_name(Path(source).resolve())
        self._path = cache_folder() / f"{name}-{sources_hash()}"

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
    """Folder for compiled kernels: below MUSICREC_CACHE, XDG_CACHE_HOME or ~/.cache."""
    return cache_root() / "kernels"


def _module_name(source: Path) -> str:
    """Dotted name of a module below this package, so that no two files share a cache folder.

    A file from elsewhere (a test's, a notebook's) is named by a hash of its path.
    """
    if source.is_relative_to(PACKAGE):
        return ".".join(source.relative_to(PACKAGE).with_suffix("").parts)
    return f"{source.stem}-{hashlib.sha256(str(source).encode()).hexdigest()[:16]}"


@functools.cache
def sources_hash() -> str:
    """Hash of the text of all kernel modules, which ends the name of each folder of kernels."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if any(word in text for word in KERNELS):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + text)
    return digest.hexdigest()[:16]
