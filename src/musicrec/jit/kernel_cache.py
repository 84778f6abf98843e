"""Numba's cache of compiled kernels, made to survive damage and full disks.

Numba stops with a stack trace at an entry that is cut, and would run machine code in which a bit
has flipped. Here each file ends with its CRC-32: one that does not fit is as good as absent and is
written anew, and one that cannot be written is not missed.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.environment import Environment
from numba.core.runtime import rtsys

BYTES = 4  # of a CRC-32


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
    return zlib.crc32(content).to_bytes(BYTES, "big")


def _sound(path: str) -> bool:
    """Whether a file is there and ends with its own checksum."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    return content[-BYTES:] == _checksum(content[:-BYTES])
