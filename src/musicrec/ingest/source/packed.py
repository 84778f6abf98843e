"""The bytes of a file: unpacked, and of text as UTF-8 with line feeds, whatever it is stored as."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.source.files import SourceFile, is_part_of_table

CHUNK = 1 << 24  # bytes read at a time
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_Opener = Callable[[Any, SourceFile], Any]


def _only_member(stream: Any, file: SourceFile) -> Any:
    """The file with the plays in a zip archive: neither hidden nor a README and its like."""
    archive = zipfile.ZipFile(stream if stream.seekable() else io.BytesIO(stream.read()))
    names = [one for one in archive.namelist() if not one.endswith("/")]
    members = [name for name in names if is_part_of_table(name)] or names
    if len(members) != 1:
        raise MusicRecError(
            f"{file.shown}: this is a zip archive of {len(members)} files "
            f"({', '.join(members)[:200]}), as a spreadsheet is one, too; unpack it and name the "
            "file with the plays, or a folder of such files"
        )
    return archive.open(members[0])


# First bytes -> what they are packed by, and what opens it.
_PACKED: dict[bytes, tuple[str, _Opener]] = {
    b"\x1f\x8b": ("gzip", lambda stream, file: gzip.GzipFile(fileobj=stream, mode="rb")),
    b"BZh": ("bzip2", lambda stream, file: bz2.BZ2File(stream)),
    b"\xfd7zXZ\0": ("xz", lambda stream, file: lzma.LZMAFile(stream)),  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": ("zstd", lambda stream, file: pa.CompressedInputStream(stream, "zstd")),
    b"\x04\x22\x4d\x18": ("lz4", lambda stream, file: pa.CompressedInputStream(stream, "lz4")),
    b"PK\x03\x04": ("zip", _only_member),
    b"PK\x05\x06": ("zip", _only_member),  # of no file
}
_DAMAGE = (
    EOFError, OSError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile,
    pa.ArrowInvalid,
)  # fmt: skip


@contextmanager
def open_plain(file: SourceFile) -> Iterator[io.BufferedReader]:
    """Open a file, unpacked whatever its name is (twice, such as a zip of a gzip file).

    That it is damaged may show as it is read, as a MusicRecError too.
    """
    packed = ""
    with ExitStack() as stack:
        try:
            stream: Any = stack.enter_context(io.BufferedReader(file.open(), 1 << 20))  # type: ignore[type-var]
            while magic := next((one for one in _PACKED if stream.peek(16).startswith(one)), b""):
                packed, opener = _PACKED[magic]
                stream = stack.enter_context(io.BufferedReader(opener(stream, file), 1 << 20))
            yield stream
        except _DAMAGE as error:
            if not packed or getattr(error, "errno", None) is not None:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise MusicRecError(
                f"{file.shown}: cannot unpack its {packed} data ({reason}); unpack it yourself, or "
                "get it again"
            ) from None


def known_encoding(name: str) -> str:
    """Python's name of `data.encoding`; `utf-8` for its subsets."""
    try:
        found = codecs.lookup(name).name
        "".encode(name)  # gzip, base64 and rot13 are codecs too, but not of text
    except (LookupError, ValueError):
        raise MusicRecError(
            f"data.encoding = {name!r} is not known; it must be an encoding such as utf-8, "
            "latin-1, windows-1252 or utf-16"
        ) from None
    return "utf-8" if found in ("utf-8", "utf-8-sig", "ascii") else found


def text_chunks(
    stream: io.BufferedReader, file: SourceFile, chosen: str, size: int = CHUNK
) -> Iterator[bytes]:
    """Yield a text as UTF-8 without byte order mark, with line feeds at the ends of lines.

    A byte order mark goes before `chosen`, Python's name of `data.encoding`. Bytes that are not
    UTF-8 in text said to be UTF-8 pass: where they matter, in an id, the row is a bad one.
    """
    start = stream.peek(4)
    mark = next((mark for mark in _BOMS if start.startswith(mark)), b"")
    encoding = _BOMS.get(mark, chosen)
    is_utf8 = encoding == "utf-8"  # whose bytes pass as they are, each as a character of Latin-1
    if is_utf8:
        stream.read(len(mark))
    decoder = codecs.getincrementaldecoder("latin-1" if is_utf8 else encoding)()
    lines = io.IncrementalNewlineDecoder(decoder, translate=True)
    done = 0
    for chunk in chain(iter(lambda: stream.read(size), b""), (b"",)):
        try:
            if is_utf8 and b"\r" not in chunk and not lines.getstate()[1]:
                yield chunk
            else:
                text = lines.decode(chunk, final=not chunk)
                yield text.encode("latin-1" if is_utf8 else "utf-8")
        except UnicodeError as error:
            place = done + getattr(error, "start", 0)
            raise MusicRecError(
                f"{file.shown}: not {encoding} text near byte {place:,}; set data.encoding to what "
                "it is (utf-16-le or utf-16-be where there is no byte order mark)"
            ) from None
        done += len(chunk)
