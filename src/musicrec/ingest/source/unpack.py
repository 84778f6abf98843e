"""Local files in a form that Spark does not read, written anew as one that it does."""

from __future__ import annotations

import codecs
import lzma
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.source.local_files import OPENERS, open_unpacked
from musicrec.ingest.source.source_file import SourceFile, is_hidden

_CHUNK = 1 << 20
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# First bytes -> (what it is, the command that unpacks it).
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"PK\x05\x06": ("zip", "unzip"),  # of no file
}
_ONLY_HADOOPS = (".deflate", ".lz4", ".snappy")  # packings of its own under these endings
_ENDINGS = {"gzip": ".gz", "bzip2": ".bz2", "zstd": ".zst"}  # by which Hadoop knows the codec


def warning(sentence: str) -> None:
    """Say what may be meant otherwise."""
    print(f"warning: {sentence}", file=sys.stderr)


# A name within a zip archive -> what the archive is, and what to do.
_ARCHIVES = {
    r"^\[Content_Types\]\.xml$": "a spreadsheet (.xlsx) or another document; save it as CSV",
    r"^META-INF/manifest\.xml$": "a spreadsheet (.ods) or another document; save it as CSV",
    r"\.npy$": "a NumPy archive (.npz); write the plays as Parquet or as text",
    r"(^|/)data\.pkl$": "a PyTorch file (.pt), which can run code when it is read; write the plays "
    "as Parquet or as text",
}


def packing(raw: bytes) -> str | None:
    """Tell by a file's first bytes how it is packed, if it is."""
    return next((name for magic, (name, _) in _PACKED.items() if raw.startswith(magic)), None)


def spark_unpacks(file: SourceFile, packed: str) -> bool:
    """Whether Spark unpacks such a file by itself: it goes by the ending of the name."""
    return Path(file.uri).suffix == _ENDINGS.get(packed)


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


def text_encoding(head: bytes, chosen: str) -> str:
    """Name a text's encoding: the one chosen, unless a byte order mark says which it is."""
    return next((name for bom, name in _BOMS.items() if head.startswith(bom)), chosen)


def unpacked(file: SourceFile, packed: str, scratch: Path) -> SourceFile:
    """Unpack a file into `scratch`.

    Raises
    ------
    MusicRecError
        It lies where only Hadoop can reach it; it is damaged; a zip archive does not hold one file
        alone.
    """
    command = next(command for name, command in _PACKED.values() if name == packed)
    if file.path is None:
        raise MusicRecError(
            f"{file.shown}: this is {packed} data, which is read from local files alone; unpack it "
            f"({command})"
        )
    copy = new_path(scratch, _inner_name(file.relative))
    with _one_sentence(file, packed), open_packed(file, packed) as stream, copy.open("wb") as out:
        shutil.copyfileobj(stream, out, _CHUNK)
    return file.stands_for(copy)


def _inner_name(name: str) -> str:
    stem = Path(name).name
    return re.sub(r"\.(gz|gzip|bz2|xz|zip|zst|zstd|lz4)$", "", stem, flags=re.I) or stem


def open_packed(file: SourceFile, packed: str) -> BinaryIO:
    """Open a local file that is packed, unpacked."""
    path = file.path
    assert path is not None
    if packed == "zip":
        archive = zipfile.ZipFile(path)
        return archive.open(_only_member(archive, file))  # type: ignore[return-value]
    if packed == "xz":
        return lzma.open(path, "rb")  # type: ignore[return-value]
    if packed == "lz4":
        return pa.CompressedInputStream(pa.OSFile(str(path)), "lz4")
    return OPENERS[_ENDINGS[packed]](path)


def _only_member(archive: zipfile.ZipFile, file: SourceFile) -> zipfile.ZipInfo:
    """The file with the plays: the one that is neither hidden nor a README and its like."""
    every = [member for member in archive.infolist() if not member.is_dir()]
    names = [member.filename for member in every]
    for mark, what in _ARCHIVES.items():
        if any(re.search(mark, name) for name in names):
            raise MusicRecError(f"{file.shown}: this is {what}")
    seen = [member for member in every if not is_hidden(member.filename)]
    members = seen or [one for one in every if not one.filename.startswith("__MACOSX/")]
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
    return members[0]


@contextmanager
def _one_sentence(file: SourceFile, packed: str) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        EOFError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk is not the file's fault
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MusicRecError(
            f"{file.shown}: cannot unpack its {packed} data ({reason}); get the file again"
        ) from None


def recoded(
    file: SourceFile, encoding: str, scratch: Path, warn: Callable[[str], None] = warning
) -> SourceFile:
    """Write a text file (packed or not) into `scratch` as UTF-8.

    Parameters
    ----------
    warn : callable
        Told where the text is UTF-8 already, so that every letter with an accent becomes two.

    Raises
    ------
    MusicRecError
        It lies where only Hadoop can reach it, or is no text of this encoding; the sentence names
        the first byte that is not.
    """
    if file.path is None:
        raise MusicRecError(
            f"{file.shown}: {encoding} text is read from local files alone; convert it: iconv -f "
            f"{encoding} -t UTF-8"
        )
    copy = new_path(scratch, _inner_name(file.relative))
    decoder, done, as_utf8 = codecs.getincrementaldecoder(encoding)(), 0, _Utf8()
    with open_unpacked(file.path) as stream, copy.open("w", encoding="utf-8", newline="") as out:
        chunk = b"?"
        while chunk:
            chunk = stream.read(_CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise MusicRecError(
                    f"{file.shown}: not {encoding} text near byte {done + error.start:,}; set "
                    "data.encoding to what it is"
                ) from None
            except UnicodeError:
                raise MusicRecError(
                    f"{file.shown}: {encoding} text without a byte order mark; set data.encoding "
                    f"to {encoding}-le or {encoding}-be"
                ) from None
            as_utf8.read(chunk)
            out.write(text if done else text.removeprefix("\ufeff"))
            done += len(chunk)
    if as_utf8.sure and not encoding.startswith("utf"):
        warn(
            f"{file.shown}: read as {encoding}, as data.encoding says, but it is valid UTF-8, so "
            "that letters with accents become two signs; check the ids"
        )
    return file.stands_for(copy)


class _Utf8:
    """Whether bytes are UTF-8 beyond ASCII, which text of another encoding hardly ever is."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._beyond = False

    @property
    def sure(self) -> bool:
        return self._decoder is not None and self._beyond

    def read(self, chunk: bytes) -> None:
        if self._decoder is None:
            return
        try:
            self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            self._decoder = None
        self._beyond = self._beyond or not chunk.isascii()


def linked(file: SourceFile, scratch: Path) -> SourceFile:
    """Link a local file whose name Spark would leave out or not understand to a plain name."""
    path = file.path
    if path is None:
        return file
    name = path.name
    odd = name.startswith(("_", ".")) or ":" in str(path) or "\udc80" <= max(str(path)) <= "\udcff"
    if path.suffix in _ONLY_HADOOPS:  # which would unpack what it holds
        name, odd = f"{path.stem}.txt", True
    if not odd:
        return file
    link = new_path(scratch, name)
    link.symlink_to(path.absolute())
    return file.stands_for(link)


def new_path(scratch: Path, name: str) -> Path:
    """Make up a plain file name in a folder, with the ending of `name`."""
    scratch.mkdir(parents=True, exist_ok=True)
    ending = re.search(r"(\.[A-Za-z0-9]{1,8}){0,2}$", name)
    return scratch / f"{len(list(scratch.iterdir())):06d}{ending[0] if ending else ''}"
