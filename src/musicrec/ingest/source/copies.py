"""Files of a folder that are there twice, so that every play would be counted twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from musicrec.errors import MusicRecError
from musicrec.ingest.source.source_file import PARQUET_MAGIC, SourceFile
from musicrec.ingest.source.unpack import open_packed, packing

# What programs and people call a file that they keep beside the one in use.
_WORDS = "copy|kopie|kopia|kopio|kopi|copie|copia|cópia|копия|backup|bak|sauvegarde|autosave"
_COPY = re.compile(
    r"(~|^#.*#|\.(bak|backup|orig|old|tmp|swp|save|filepart|download|crdownload|opdownload|!ut|aria2))$"
    rf"|^({_WORDS})\d*[\W_]|[\W_]({_WORDS})[\W_\d]*(\.[a-z]\w*)*$"
    r"|副本|コピー|복사본",
    re.I,
)
_PARTIAL = re.compile(r"\.(part|partial)$", re.I)  # of downloads, unless all files end so
# Marks of a copy where the name without them is there too: a second download, a former state.
_MARKS = re.compile(
    r"[ _-]*(\(\d{1,2}\)|\[\d\])"
    r"|[ ._-]+(old|orig|original|prev|previous|tmp|temp|fixed|v\d{1,2})(?=\.|$)",
    re.I,
)
# Endings that say how a file is packed or written, and nothing of what is in it.
_ENDINGS = re.compile(
    r"\.(gz|gzip|bz2|xz|zip|zst|zstd|lz4|lzma|snappy|deflate|br|csv|tsv|tab|txt|dat|data|json|jsonl|ndjson"
    r"|parquet|pq|xlsx?|feather|arrow|pkl)$",
    re.I,
)
_HEAD = 1 << 12  # bytes that must agree before two files are read whole
_SURE = 512  # bytes that two files do not share by chance
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"


def refuse_copies(files: list[SourceFile], mapped: Sequence[str] = ()) -> None:
    """Stop where a folder holds a file and a copy of it, whose plays would count twice.

    Parameters
    ----------
    files : list of SourceFile
        On this machine.
    mapped : sequence of str
        Columns that folders may name: the same plays in `user=1` and `user=2` are two.

    Raises
    ------
    MusicRecError
        A file has the name of a backup, or the name of another one but for packing and format; two
        files are equal, once unpacked and whatever their line ends and byte order marks are.
    """
    if len(files) < 2:
        return
    names: dict[str, SourceFile] = {}
    shards = all(_PARTIAL.search(file.relative) for file in files)
    for file in files:
        name = file.relative.split("/")[-1]
        if _COPY.search(name) or (_PARTIAL.search(name) and not shards):
            raise MusicRecError(
                f"{file.shown}: looks like a backup copy, whose plays would be counted twice; move "
                "it out of the folder, or rename it if it is none"
            )
        bare = _bare(file.relative)
        if bare in names:
            _refuse(names[bare], file, "have one name but for packing and format")
        names[bare] = file
    for file in files:
        plain = _bare(_unmarked(file.relative))
        if plain in names and names[plain] is not file:
            _refuse(names[plain], file, "look like two states of one file by their names")
    _refuse_equal(files, mapped)


def _refuse(file: SourceFile, other: SourceFile, why: str) -> None:
    raise MusicRecError(
        f"{file.shown} and {other.relative} {why}, so that every play would be counted twice; move "
        "one out of the folder"
    )


def _bare(relative: str) -> str:
    """A path without the endings for packing and format."""
    while _ENDINGS.search(relative):
        relative = _ENDINGS.sub("", relative)
    return relative


def _unmarked(relative: str) -> str:
    folder, slash, name = relative.rpartition("/")
    former = re.sub(r"\.\d{1,2}$", "", name)  # plays.csv.1, but not events.log.1
    name = former if _ENDINGS.search(former) else name
    return folder + slash + _MARKS.sub("", name)


def _refuse_equal(files: list[SourceFile], mapped: Sequence[str]) -> None:
    """Read whole what begins alike and may be equal by its size."""
    alike: dict[tuple[bytes, str], list[SourceFile]] = {}
    for file in files:
        head = _head(file)
        few = len(head) < _HEAD  # two quiet days may be equal: day=1/plays.csv, day=2/plays.csv
        alike.setdefault((head, _values(file.relative, mapped, every=few)), []).append(file)
    for (head, _), members in alike.items():
        if len(members) == 1 or not _has_rows(members[0], head):
            continue
        forms = [_form(file) for file in members]
        seen: dict[bytes, SourceFile] = {}
        for place, file in enumerate(members):
            others = forms[:place] + forms[place + 1 :]
            if not any(_may_be_equal(forms[place], other) for other in others):
                continue
            digest = _digest(file)
            if digest in seen:
                other = seen[digest]
                same = other.size == file.size and forms[place][0]
                why = "byte for byte" if same else "but for packing and line ends"
                _refuse(other, file, f"are equal {why}")
            seen[digest] = file


def _form(file: SourceFile) -> tuple[bool, bool, int]:
    """Whether a file is not packed, whether its size is that of its rows alone, and the size."""
    with _path(file).open("rb") as stream:
        raw = stream.read(_HEAD)
    binary = raw.startswith(PARQUET_MAGIC)
    return packing(raw) is None, binary or b"\r" not in raw, file.size


def _may_be_equal(one: tuple[bool, bool, int], other: tuple[bool, bool, int]) -> bool:
    if one[:2] == other[:2] == (True, True):
        return abs(one[2] - other[2]) <= len(_BOM) + 1  # and the last line end
    return True


def _values(relative: str, mapped: Sequence[str], *, every: bool) -> str:
    """What the folders on the way say of mapped columns, or of every column."""
    parts = [part for part in relative.split("/")[:-1] if "=" in part]
    return "/".join(part for part in parts if every or part.split("=")[0] in mapped)


def _has_rows(file: SourceFile, head: bytes) -> bool:
    """Whether a file is more than the header that empty ones share."""
    if head.startswith(PARQUET_MAGIC):
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return bool(parquet.read_metadata(file.path).num_rows)
        except (pa.ArrowException, OSError):
            return False  # said where it is read
    long = len(head) >= _SURE and (b"\n" in head or head.startswith((b"{", b"[")))
    return long or head.count(b"\n") > 1


def _head(file: SourceFile) -> bytes:
    found = b""
    for part in _content(file, 2 * _HEAD):
        found += part
        if len(found) >= _HEAD:
            break
    return found[:_HEAD]


def _digest(file: SourceFile) -> bytes:
    found = hashlib.blake2b()
    for part in _content(file, _CHUNK):
        found.update(part)
    return found.digest()


def _path(file: SourceFile) -> Path:
    assert file.path is not None
    return file.path


def _content(file: SourceFile, size: int) -> Iterator[bytes]:
    """A file's bytes, unpacked, without byte order mark, carriage returns and the last line end."""
    try:
        with _path(file).open("rb") as stream:
            packed = packing(stream.read(16))
        with open_packed(file, packed) if packed else _path(file).open("rb") as stream:
            held, first = b"", True
            while part := stream.read(size):
                part = held + (part.removeprefix(_BOM) if first else part).replace(b"\r", b"")
                kept = part.rstrip(b"\n")
                held, first = part[len(kept) :], False
                yield kept
    except Exception:
        yield file.relative.encode()
