"""The files of a source, on this machine or through Arrow: named, listed, opened, or refused."""

from __future__ import annotations

import codecs
import fnmatch
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from musicrec.errors import MusicRecError

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")
_NO_TABLE = re.compile(  # files about a table: a README, a PDF, a picture
    r"(read_?me\w*|licen[cs]e|copying|notice|changelog|citation)(\.\w+)?"
    r"|.*\.(pdf|png|jpe?g|gif|svg|webp|html?|docx?)",
    re.I,
)

# What a file begins with, of those that might pass for a table -> what it is, and what to do.
_KINDS: dict[bytes, str] = {
    rb"version https://git-lfs": "a Git LFS pointer, not the file itself; run git lfs pull",
    rb"(outs:\n\s*- |md5: [0-9a-f]{32}\n).*?\bpath: ": "DVC's pointer, not the file itself; run "
    "dvc pull",
    rb"(?i:\s*<(!doctype\s+html|html|head|body)\b)": "an HTML page, such as a login or an error in "
    "place of a download; download the file again",
    rb"%%MatrixMarket": "a MatrixMarket file; write one line a user, track and count",
    rb"<\?xml": "an XML file; write it as CSV or Parquet",
    rb".{257}ustar(?=.*[\0-\x08])": "a tar archive; unpack it (tar -xf) and name its files",
}
# Paths below (or beside) the data of formats whose log says which files count.
_LOG = re.compile(
    r"(^|/)(_delta_log/|\.hoodie/|_versions/[^/]*\.manifest$"
    r"|metadata/([^/]*\.metadata\.json|version-hint\.text|snap-[^/]*\.avro)(\.gz)?$)"
)
_ABOVE = ("_delta_log", ".hoodie")  # stand in the folder of a table, its parts below it


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of a source."""

    relative: str  # path below the source, with `/`; its own name where the source is a file
    path: str  # what opens it: a local path, or a path of `system`
    size: int  # bytes
    shown: str  # what messages call it
    system: Any = None  # pyarrow.fs.FileSystem; None: local

    def open(self) -> BinaryIO:
        """Open the file's bytes as they are stored."""
        if self.system is None:
            return Path(self.path).open("rb")
        return self.system.open_input_file(self.path)  # type: ignore[no-any-return]


def _place(source: str) -> str:
    """A local path, or the URI of a place elsewhere.

    A local file whose name ends in `.uri` is a pointer: it holds the URI, so that DVC can follow (a
    version of) a place it cannot reach itself.
    """
    if not source.strip():
        raise MusicRecError("data.source is blank; name a file, a folder or a URI")
    match = _SCHEME.match(source)
    if match and match[1].lower() != "file":
        return source
    path = Path(unquote(re.sub("^file:/+", "/", source, flags=re.I)) if match else source)
    if not (match or path.exists()):
        path = path.expanduser()
    if not match and path.suffix == ".uri" and path.is_file():
        words = path.read_text("utf-8-sig", "replace").split()
        if len(words) != 1 or not _SCHEME.match(words[0]):
            raise MusicRecError(f"{source}: a pointer file holds one URI and nothing else")
        return _place(words[0])
    return str(path.absolute())


def list_files(source: str, pattern: str | None = None) -> tuple[list[SourceFile], list[str]]:
    """List a source's files in name order: itself, or all files below a folder, each once.

    Left out of a folder are names that start with `_` or `.` with all below them, a README and its
    like, PDFs, pictures and web pages, empty files, pointers of DVC beside what they point to, and
    files whose name or path `pattern` (`data.files`) does not match.

    Returns them, and the paths below the source of what `pattern` leaves out.

    Raises
    ------
    MusicRecError
        There is no such source, no file in it, or only empty ones; it is a table of a format whose
        log says which files count.
    """
    shown = _place(source)
    found = _remote(shown) if _SCHEME.match(shown) else _local(shown)
    if found is None:
        raise MusicRecError(f"{shown}: no such file or folder")
    names = {file.relative for file in found}
    refuse_table_folders(shown, sorted(names))
    single = [file.shown for file in found] == [shown.rstrip("/")]
    files = sorted(f for f in found if single or is_part_of_table(f.relative, names))
    if not files:
        hidden = ", ".join(sorted(names))[:100] or "none"
        raise MusicRecError(
            f"{shown}: the folder holds no file but those that are left out ({hidden}: see "
            "docs/data.md); set data.source"
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


def is_part_of_table(relative: str, names: Collection[str] = ()) -> bool:
    """Whether a file of a folder (or archive) of files `names` is a part of its table."""
    parts, target = relative.split("/"), relative.removesuffix(".dvc")
    pointer = target != relative and any(f"{other}/".startswith(f"{target}/") for other in names)
    hidden = any(part.startswith(("_", ".")) for part in parts)
    return not (hidden or pointer or _NO_TABLE.fullmatch(parts[-1]))


def _local(root: str) -> list[SourceFile] | None:
    """A local file, or all files below a folder, links followed, each once; None without any."""
    if not Path(root).is_dir():
        if Path(root).exists() and not Path(root).is_file():
            raise MusicRecError(
                f"{root}: this is a pipe or a device, which can be read only once; write the plays "
                "into a file"
            )
        return [_local_file(root, Path(root).name)] if Path(root).exists() else None
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
        for path in (Path(folder, name) for name in sorted(names)):
            relative = path.relative_to(root).as_posix()
            if not path.exists() and is_part_of_table(relative):
                raise MusicRecError(
                    f"{path}: the link leads nowhere; remove it or restore its target"
                )
            target = os.path.realpath(path)
            if path.is_file() and (target not in files or not path.is_symlink()):
                files[target] = _local_file(str(path), relative)
    return list(files.values())


def _local_file(path: str, relative: str) -> SourceFile:
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return SourceFile(relative, path, Path(path).stat().st_size, shown)


def _remote(uri: str) -> list[SourceFile] | None:
    """A file elsewhere, or all files below a folder, through Arrow's file systems."""
    try:
        system, root = fs.FileSystem.from_uri(re.sub("^s3[an]:", "s3:", uri))  # Hadoop's names
        info = system.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            return None
        single = info.type == fs.FileType.File
        infos = [info] if single else system.get_file_info(fs.FileSelector(root, recursive=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise MusicRecError(
            f"{uri}: cannot be listed ({reason}); check the address and the credentials (hdfs:// "
            "needs Hadoop's libhdfs, by HADOOP_HOME and CLASSPATH), or copy the files here"
        ) from None
    found = []
    for one in [one for one in infos if one.type == fs.FileType.File]:
        relative = one.base_name if single else one.path.removeprefix(root.rstrip("/") + "/")
        shown = uri.rstrip("/") + ("" if single else f"/{relative}")
        found.append(SourceFile(relative, one.path, one.size, shown, system))
    return found


def refuse_unsupported(head: bytes, name: str) -> None:
    """Stop at a file that its first bytes, unpacked, tell is not read, and at what is no text."""
    for pattern, what in _KINDS.items():
        if re.match(pattern, head, re.S):
            raise MusicRecError(f"{name}: this is {what}")
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(head)
    is_utf8 = not re.search("[\udc80-\udcff]", text)
    if b"\0" in head or (re.search(rb"[\1-\x08\x0e-\x1a]", head) and not is_utf8):
        raise MusicRecError(
            f"{name}: not text: it begins with {head[:8]!r} and holds NUL or bytes that are no "
            "UTF-8, as databases, spreadsheets, pickles, Arrow files and packed data do; write the "
            "plays as Parquet or as UTF-8 text, unpack them, or set data.encoding (such as utf-16)"
        )


def refuse_table_folders(source: str, relatives: list[str]) -> None:
    """Stop at a folder of a table format: its files hold rows that a later change replaced.

    `relatives` are paths below the source, hidden ones too; folders that it lies in count as well.
    """
    above = [parent / log for parent in list(Path(source).absolute().parents)[:4] for log in _ABOVE]
    for path in (*relatives, *(f"{log.name}/" for log in above if log.is_dir())):
        if _LOG.search(path):
            raise MusicRecError(
                f"{source}: this is a Delta, Hudi, Iceberg or Lance table ({path}), whose log says "
                "which of its files still count; write the present rows to plain Parquet with the "
                "program that keeps it, and name that folder"
            )
