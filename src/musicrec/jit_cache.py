"""Numba's cache of compiled kernels, made to survive damage and full disks.

Numba stops with a stack trace at an entry that is cut, and would run machine code in which a bit
has flipped. Here each entry begins with its CRC-32: one that does not fit is as good as absent and
is written anew, and one that cannot be written is not missed.
"""

from __future__ import annotations

import pickle
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


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
        except Exception:  # whatever a damaged pickle raises
            return None

    def save(self, key: Any, data: Any) -> None:
        """Write the code for a signature, if the disk takes it."""
        with suppress(OSError):
            super().save(key, data)

    def _dump(self, obj: Any) -> bytes:
        content: bytes = super()._dump(obj)
        return zlib.crc32(content).to_bytes(4, "big") + content

    def _load_index(self) -> dict[Any, str]:
        try:
            with Path(self._index_path).open("rb") as stream:
                version = pickle.load(stream)
                stamp, overloads = _checked(stream.read())
        except Exception:  # absent or damaged
            return {}
        fresh = (version, stamp) == (self._version, self._source_stamp)
        return overloads if fresh else {}

    def _load_data(self, name: str) -> Any:
        return _checked(Path(self._data_path(name)).read_bytes())


class SoundCache(FunctionCache):  # type: ignore[misc]
    """The cache of one kernel."""

    def __init__(self, function: Any) -> None:
        """Find the folder, as numba's configuration says.

        Raises
        ------
        RuntimeError
            There is none that can be written.
        """
        super().__init__(function)
        self._cache_file: Any = SoundCacheFile.instead_of(self._cache_file)


def _checked(content: bytes) -> Any:
    if zlib.crc32(content[4:]).to_bytes(4, "big") != content[:4]:
        raise ValueError("damaged")
    return pickle.loads(content[4:])
