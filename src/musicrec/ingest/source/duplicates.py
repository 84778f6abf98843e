"""Files of a folder that hold the same plays twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator

import pyarrow as pa
from pyarrow import parquet

from musicrec.errors import MusicRecError, warn
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import CHUNK, open_plain, text_chunks

_HEAD = 1 << 12  # bytes that must agree before two files are read whole
# Names that programs and people give a copy: said in a warning, and counted.
_COPY_NAME = re.compile(
    r"(~|\.(bak|backup|orig|old|tmp|swp|part|crdownload))$|\(\d{1,2}\)"
    r"|(^|[\W_])(copy|kopie|kopia|copie|copia|backup)([\W_]|$)",
    re.I,
)


def refuse_duplicates(files: list[SourceFile], mapped: Collection[object]) -> None:
    """Stop where two files have equal content, whose plays would count twice.

    Content is compared unpacked, whatever line ends and byte order marks are. Files without rows
    are not, nor small ones of different folders `day=1`, as two quiet days may be equal; and the
    same plays in folders that name one of the columns `mapped`, `user=1` and `user=2`, are two.
    """
    alike: dict[tuple[bytes, ...], list[SourceFile]] = {}
    for file in files if len(files) > 1 else ():
        head = next(_content(file, 2 * _HEAD), b"")[:_HEAD]
        small = len(head) < _HEAD
        folders = [one for one in file.relative.split("/")[:-1] if "=" in one]
        values = [one.encode() for one in folders if small or one.split("=")[0] in mapped]
        one_line = small and head.count(b"\n") < 2
        if _has_rows(file) if head.startswith(b"PAR1") else not one_line:
            alike.setdefault((head, *values), []).append(file)
    for members in alike.values():
        seen: dict[bytes, SourceFile] = {}
        for file in members if len(members) > 1 else ():
            digest = hashlib.blake2b()
            for part in _content(file):
                digest.update(part)
            other = seen.setdefault(digest.digest(), file)
            if other is not file:
                raise MusicRecError(
                    f"{other.shown} and {file.relative} have equal content, so that every play "
                    "would be counted twice; remove one, or set data.duplicates: ignore"
                )
    named = [file for file in files if _COPY_NAME.search(file.relative.split("/")[-1])]
    if named and len(files) > len(named):
        warn(
            f"{named[0].shown}: by its name this may be a copy; its plays are counted; if it is "
            "one, leave it out by data.files"
        )


def _has_rows(file: SourceFile) -> bool:
    try:
        with file.open() as stream:
            return bool(parquet.read_metadata(stream).num_rows)
    except (pa.ArrowException, OSError):
        return False  # reported where it is read


def _content(file: SourceFile, size: int = CHUNK) -> Iterator[bytes]:
    """A file's bytes as they are compared, without the last line end."""
    held = b""
    try:
        with open_plain(file) as stream:
            for chunk in text_chunks(stream, file, "utf-8", size):
                kept = (held + chunk).rstrip(b"\n")
                held = (held + chunk)[len(kept) :]
                yield kept
    except (MusicRecError, OSError):
        yield file.relative.encode()  # damaged, which is reported where it is read
