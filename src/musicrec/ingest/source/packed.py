"""Packed files and text of other encodings, read as streams of UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import sys
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.source.files import SourceFile, is_about

CHUNK = 1 << 20
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # of no file
}
_PROMISED = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".xz": "xz"}
_DAMAGED = (EOFError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError, OSError)
# A name within a zip archive -> what the archive is, and what to do.
_ARCHIVES = {
    r"^\[Content_Types\]\.xml$": "a spreadsheet (.xlsx) or another document; save it as CSV",
    r"^META-INF/manifest\.xml$": "a spreadsheet (.ods) or another document; save it as CSV",
    r"\.npy$": "a NumPy archive (.npz); write the plays as Parquet or as text",
    r"(^|/)data\.pkl$": "a PyTorch file (.pt), which can run code when it is read; write the plays "
    "as Parquet or as text",
}


class _Unpacking(io.RawIOBase):
    """A packed stream, whose damage is one sentence."""

    def __init__(self, inner: Any, file: SourceFile, packed: str) -> None:
        self._inner, self._file, self._packed = inner, file, packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._inner.read(len(buffer))
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _damaged(self._file, self._packed, error) from None
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


def _damaged(file: SourceFile, packed: str, error: BaseException) -> MusicRecError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return MusicRecError(
        f"{file.shown}: cannot unpack its {packed} data ({reason}); get the file again"
    )


def packing(raw: bytes) -> str | None:
    """Tell by a file's first bytes how it is packed, if it is."""
    return next((name for magic, name in _PACKED.items() if raw.startswith(magic)), None)


def open_plain(file: SourceFile) -> io.BufferedReader[Any]:
    """Open a file, unpacked whatever its name is (twice, such as a zip of a gzip file).

    Raises
    ------
    MusicRecError
        It is damaged; a zip archive does not hold one file alone.
    """
    stream: io.BufferedReader[Any] = io.BufferedReader(file.open(), CHUNK)  # type: ignore[type-var]
    for depth in range(3):
        packed = packing(stream.peek(16)[:16])
        promised = next((p for e, p in _PROMISED.items() if file.relative.endswith(e)), None)
        if packed is None:
            if promised and not depth:
                raise MusicRecError(
                    f"{file.shown}: its name promises {promised} data, which it is not; rename it "
                    "or pack it again"
                )
            break
        try:
            inner = _OPENERS[packed](stream) if packed != "zip" else _only_member(stream, file)
        except _DAMAGED as error:
            raise _damaged(file, packed, error) from None
        stream = io.BufferedReader(_Unpacking(inner, file, packed), CHUNK)
        stream.peek(16)
    return stream


def _arrow(codec: str) -> Callable[[BinaryIO], Any]:
    return lambda stream: pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec)


_OPENERS: dict[str, Callable[[Any], Any]] = {
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _arrow("zstd"),
    "lz4": _arrow("lz4"),
}


def _only_member(stream: Any, file: SourceFile) -> Any:
    """The file with the plays in a zip archive: neither hidden nor a README and its like."""
    seekable = stream if stream.seekable() else io.BytesIO(stream.read())
    archive = zipfile.ZipFile(seekable)
    every = [member for member in archive.infolist() if not member.is_dir()]
    for mark, what in _ARCHIVES.items():
        if any(re.search(mark, member.filename) for member in every):
            raise MusicRecError(f"{file.shown}: this is {what}")
    visible = [m for m in every if not m.filename.startswith("__MACOSX/")]
    members = [m for m in visible if not _is_beside(m.filename)] or visible
    if len(members) != 1:
        shown = ", ".join(member.filename for member in members)[:200] or "nothing"
        raise MusicRecError(
            f"{file.shown}: this is a zip archive of {len(members)} files ({shown}); unpack it and "
            "name the one with the plays, or a folder of such files"
        )
    if members[0].flag_bits & 1:
        raise MusicRecError(
            f"{file.shown}: this zip archive asks for a password; unpack it (unzip) and name the "
            "file with the plays"
        )
    return archive.open(members[0])


def _is_beside(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(("_", ".")) for part in parts) or is_about(parts[-1])


def known_encoding(name: str) -> str:
    """Python's name of `data.encoding`; `utf-8` for its subsets.

    Raises
    ------
    MusicRecError
        There is no such encoding.
    """
    try:
        found = codecs.lookup(name).name
        "".encode(name)  # gzip, base64 and rot13 are codecs too, but not of text
    except (LookupError, ValueError):
        raise MusicRecError(
            f"data.encoding = {name!r} is not known; it must be an encoding such as utf-8, "
            "latin-1, windows-1252 or utf-16"
        ) from None
    return "utf-8" if found in ("utf-8", "utf-8-sig", "ascii") else found


def as_utf8(stream: io.BufferedReader, file: SourceFile, chosen: str) -> io.BufferedReader:
    """A text as UTF-8 without a byte order mark.

    A byte order mark goes before `chosen`, Python's name of `data.encoding`. Bytes that are not
    UTF-8 in text said to be UTF-8 pass: where they matter, in an id, the row is a bad one.
    """
    head = stream.peek(4)[:4]
    encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), chosen)
    if encoding == "utf-8":
        if head.startswith(codecs.BOM_UTF8):
            stream.read(3)
        return stream
    return io.BufferedReader(_Recoding(stream, file, encoding), CHUNK)


class _Recoding(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, inner: io.BufferedReader, file: SourceFile, encoding: str) -> None:
        self._inner, self._file, self._encoding = inner, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._utf8: Any = codecs.getincrementaldecoder("utf-8")()  # None once it is surely not
        self._beyond = False  # ASCII
        self._held, self._done, self._ended = b"", 0, False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._inner.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._held and not self._ended:
            chunk = self._inner.read(CHUNK)
            self._ended = not chunk
            first = self._done == 0
            text = self._decoded(chunk)
            self._held = (text.removeprefix("\ufeff") if first else text).encode()
            self._look_for_utf8(chunk)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def _decoded(self, chunk: bytes) -> str:
        try:
            text = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise MusicRecError(
                f"{self._file.shown}: not {self._encoding} text near byte "
                f"{self._done + error.start:,}; set data.encoding to what it is"
            ) from None
        except UnicodeError:
            raise MusicRecError(
                f"{self._file.shown}: {self._encoding} text without a byte order mark; set "
                f"data.encoding to {self._encoding}-le or {self._encoding}-be"
            ) from None
        self._done += len(chunk)
        return text

    def _look_for_utf8(self, chunk: bytes) -> None:
        """Warn of text that is UTF-8, which text of another encoding hardly ever is."""
        if self._utf8 is not None:
            try:
                self._utf8.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                self._utf8 = None
        self._beyond = self._beyond or not chunk.isascii()
        if self._ended and self._utf8 is not None and self._beyond:
            self._utf8 = None
            if not self._encoding.startswith("utf"):
                print(
                    f"warning: {self._file.shown}: read as {self._encoding}, as data.encoding "
                    "says, but it is valid UTF-8, so that letters with accents become two "
                    "characters; check the ids",
                    file=sys.stderr,
                )
