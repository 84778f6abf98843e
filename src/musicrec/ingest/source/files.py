"""The files of a source: named, listed and opened, on this machine or through Arrow."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from musicrec.errors import MusicRecError
from musicrec.ingest.source.unsupported import refuse_table_folders

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")
_ABOUT = re.compile(r"(read_?me\w*|licen[cs]e|copying|notice|changelog|citation)(\.\w+)?", re.I)
_NO_TABLE = re.compile(r"\.(pdf|png|jpe?g|gif|svg|webp|html?|docx?)$", re.I)
_S3_SCHEMES = ("s3a", "s3n")  # Hadoop's names


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of a source.

    Attributes
    ----------
    relative : str
        Path below the source, with `/`; the file's own name where the source is a file.
    path : str
        What opens it: a local path, or a path of `system`.
    size : int
        Bytes.
    shown : str
        What messages call it.
    system : pyarrow.fs.FileSystem, optional
        None for a local file.
    """

    relative: str
    path: str
    size: int
    shown: str
    system: Any = None

    def open(self) -> BinaryIO:
        """Open the file's bytes as they are stored."""
        if self.system is None:
            return Path(self.path).open("rb")
        return self.system.open_input_file(self.path)  # type: ignore[no-any-return]


def source_uri(source: str) -> str:
    """Turn `data.source` into a URI; a plain path becomes `file://…`.

    A local file whose name ends in `.uri` is a pointer: it holds the URI, so that DVC can follow (a
    version of) a place it cannot reach itself.

    Raises
    ------
    MusicRecError
        The source is blank, or a pointer does not hold exactly one URI.
    """
    if not source.strip():
        raise MusicRecError("data.source is blank; name a file, a folder or a URI")
    match = _SCHEME.match(source)
    if match:
        if match[1].lower() != "file":
            return source
        plain = re.sub("^file:/+", "/", source)
        return "file://" + (unquote(plain) if Path(unquote(plain)).exists() else plain)
    path = Path(source)
    if source.startswith("~") and not path.exists():
        path = path.expanduser()
    if path.suffix == ".uri" and path.is_file():
        words = _words(path)
        if len(words) != 1 or not _SCHEME.match(words[0]):
            raise MusicRecError(f"{source}: a pointer file holds one URI and nothing else")
        return source_uri(words[0])
    return f"file://{path.absolute()}"


def _words(pointer: Path) -> list[str]:
    """What a pointer holds, whichever editor wrote it; nothing where it is no text."""
    raw = pointer.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding).split()
    except UnicodeError:
        return []


def list_files(source: str, pattern: str | None = None) -> tuple[list[SourceFile], list[str]]:
    """List a source's files in name order: itself, or all files below a folder, each once.

    Left out of a folder are names that start with `_` or `.` with all below them, a README and its
    like, PDFs, pictures and web pages, empty files, pointers of DVC beside what they point to, and
    files whose name or path `pattern` (`data.files`) does not match.

    Returns
    -------
    files : list of SourceFile
    left_out : list of str
        Paths below the source of what `pattern` leaves out.

    Raises
    ------
    MusicRecError
        There is no such source, no file in it, or only empty ones; it is a table of a format whose
        log says which files count.
    """
    uri = source_uri(source)
    local = uri.startswith("file://")
    shown = uri.removeprefix("file://")
    found = _local(shown) if local else _remote(uri)
    if found is None:
        raise MusicRecError(f"{shown}: no such file or folder; set data.source")
    refuse_table_folders(shown, [file.relative for file in found])
    single = len(found) == 1 and shown.rstrip("/").endswith("/" + found[0].relative)
    single = single and not (local and Path(shown).is_dir())
    names = {file.relative for file in found}
    files = sorted(f for f in found if single or not _left_out(f.relative, names))
    if not files:
        hidden = ", ".join(sorted(names))[:100]
        raise MusicRecError(
            f"{shown}: the folder holds no file"
            + (f" but those that are left out ({hidden}: see docs/data.md)" if hidden else "")
            + "; set data.source"
        )
    matched = [file for file in files if pattern is None or _matches(file.relative, pattern)]
    if not matched:
        raise MusicRecError(
            f"{shown}: data.files = {pattern!r} matches none of its files: "
            f"{', '.join(file.relative for file in files)[:200]}"
        )
    filled = [file for file in matched if file.size > 0]
    if not filled:
        raise MusicRecError(f"{files[0].shown}: the file is empty")
    return filled, [file.relative for file in files if file not in matched]


def _matches(relative: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (relative, relative.split("/")[-1]))


def _left_out(relative: str, names: set[str]) -> bool:
    """Whether a file of a folder is not part of its table."""
    *folders, name = relative.split("/")
    hidden = any(part.startswith(("_", ".")) for part in (*folders, name))
    target = relative.removesuffix(".dvc")
    pointer = target != relative and any(
        other == target or other.startswith(f"{target}/") for other in names
    )
    return hidden or pointer or is_about(name)


def is_about(name: str) -> bool:
    """Whether a file is about a table, and no table: a README, a PDF, a picture."""
    return bool(_ABOUT.fullmatch(name) or _NO_TABLE.search(name))


def _local(root: str) -> list[SourceFile] | None:
    """A local file, or all files below a folder; None if there is no such place.

    Links are followed; a folder or file that is reached twice counts once, under the name without
    a link where there is one.
    """
    if not Path(root).is_dir():
        if Path(root).is_file():
            return [_local_file(root, Path(root).name)]
        if Path(root).exists():
            raise MusicRecError(
                f"{root}: this is a pipe or a device, which can be read only once; write the plays "
                "into a file"
            )
        return None
    files: dict[str, SourceFile] = {}
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Folders that are no links come first, so that a link to one of them is the second way.
        folders.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        for name in sorted(names):
            path = f"{folder.rstrip('/')}/{name}"
            relative = path[len(root.rstrip("/")) + 1 :]
            if not Path(path).exists() and not _left_out(relative, set()):
                raise MusicRecError(
                    f"{path}: the link leads nowhere; remove it or restore its target"
                )
            if not Path(path).is_file():
                continue
            target = os.path.realpath(path)
            if target not in files or not Path(path).is_symlink():
                files[target] = _local_file(path, relative)
    return list(files.values())


def _local_file(path: str, relative: str) -> SourceFile:
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return SourceFile(relative, path, Path(path).stat().st_size, shown)


def _remote(uri: str) -> list[SourceFile] | None:
    """A file elsewhere, or all files below a folder, through Arrow's file systems."""
    scheme, _, rest = uri.partition("://")
    known = f"s3://{rest}" if scheme in _S3_SCHEMES else uri
    try:
        system, root = fs.FileSystem.from_uri(known)
        info = system.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            return None
        infos: Sequence[Any] = [info]
        if info.type == fs.FileType.Directory:
            infos = system.get_file_info(fs.FileSelector(root, recursive=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise MusicRecError(f"{uri}: cannot be listed ({reason})" + _advice(scheme)) from None
    prefix = root.rstrip("/") + "/"
    top = uri.rstrip("/")
    single = info.type == fs.FileType.File
    return [
        SourceFile(
            one.base_name if single else one.path.removeprefix(prefix),
            one.path,
            one.size,
            top if single else f"{top}/{one.path.removeprefix(prefix)}",
            system,
        )
        for one in infos
        if one.type == fs.FileType.File
    ]


def _advice(scheme: str) -> str:
    if scheme in ("hdfs", "viewfs"):
        return "; Arrow needs Hadoop's libhdfs (HADOOP_HOME, CLASSPATH), or copy the files here"
    return "; check the address and the credentials, or copy the files here and name them"
