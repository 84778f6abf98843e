"""Files of a source: named, listed and looked into, here or wherever Spark can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.source import far_files, local_files
from musicrec.ingest.source.source_file import SourceFile
from musicrec.ingest.source.table_folders import refuse_table_folders
from musicrec.ingest.source.unpack import text_encoding
from musicrec.spark.failures import display_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")


def source_uri(source: str) -> str:
    """Turn `data.source` into the URI that Hadoop opens.

    A plain path is local, even where the cluster's default file system is not; `~` is the user's
    home. `s3://`, DVC's name, is Hadoop's `s3a://`. A local file whose name ends in `.uri` is a
    pointer: it holds the URI, so that DVC can follow (a version of) a place it cannot reach itself.

    Raises
    ------
    MusicRecError
        The source is blank, or a pointer does not hold exactly one URI.
    """
    if not source.strip():
        raise MusicRecError("data.source is blank; name a file, a folder or a URI")
    match = _SCHEME.match(source)
    if match:
        if match[1].lower() == "file":
            return "file://" + _local_part(source)
        return re.sub("^s3://", "s3a://", source)
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
    """What stands in a pointer, whichever editor wrote it; nothing where it is no text."""
    raw = pointer.read_bytes()
    try:
        return raw.decode(text_encoding(raw, "utf-8")).replace("\ufeff", "").split()
    except UnicodeError:
        return []


def local_inputs(source: str) -> list[str] | None:
    """Name what `spark_session` may measure: the source if it is local, None if it is far away."""
    uri = source_uri(source)
    return [uri.removeprefix("file://")] if uri.startswith("file://") else None


def _local_part(uri: str) -> str:
    path = display_path(uri)
    return path if Path(path).exists() else uri.removeprefix("file://")


def list_files(spark: SparkSession | None, source: str) -> list[SourceFile]:
    """List a source's files in name order: itself, or all files below a folder, each once.

    Names that start with `_` or `.` are left out with all below them, as Spark does (`_SUCCESS`,
    `.part.crc`), and so are a README and its like and files without a byte beside files that have
    some.

    Raises
    ------
    MusicRecError
        There is no such source, no file in it, or only empty ones; it is a table of a format whose
        log says which files count.
    """
    root = source_uri(source)
    shown = display_path(root)
    if root.startswith("file://"):
        found = local_files.list_paths(root.removeprefix("file://"))
    else:
        found = far_files.list_paths(spark, root)
    if found is None:
        raise MusicRecError(f"{shown}: no such file or folder; set data.source")
    refuse_table_folders(shown, [file.relative for file in found])
    names = {file.relative for file in found}
    files = sorted(file for file in found if not (file.hidden or _is_pointer(file, names)))
    if not files:
        hidden = ", ".join(sorted(names))[:100]
        raise MusicRecError(
            f"{shown}: the folder holds no file"
            + (f" but those that are left out ({hidden}: see docs/data.md)" if hidden else "")
            + "; set data.source"
        )
    filled = [file for file in files if file.size > 0]
    if not filled:
        raise MusicRecError(f"{files[0].shown}: the file is empty")
    return filled


def _is_pointer(file: SourceFile, names: set[str]) -> bool:
    """Whether a file is DVC's pointer to one beside it, or to a folder of some."""
    target = file.relative.removesuffix(".dvc")
    if target == file.relative:
        return False
    return target in names or any(name.startswith(f"{target}/") for name in names)


def read_head(spark: SparkSession, file: SourceFile, size: int, *, unpack: bool) -> bytes:
    """Read a file's first bytes, unpacked by the codec its name stands for or as they lie."""
    if file.path is None:
        return far_files.read_head(spark, file, size, unpack=unpack)
    return local_files.read_head(file.path, size, unpack=unpack)
