"""Java's class-data archive: Spark's classes, parsed and checked once and not at every start.

Recorded by `python -m musicrec.prepare`, which `make setup` runs. Where there is none, or where
Java finds that it does not fit, Java reads the classes as ever: it only starts more slowly.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from musicrec.storage.cache import cache_root

SILENT = "-Xlog:disable -Xlog:all=error:stderr"  # an archive that does not fit is no one's worry


def archive_path(java: Path) -> Path:
    """Name the archive of this Java and these jars; it need not exist.

    The name holds what Java compares before it takes an archive: its own build, and path, size and
    time of every jar.
    """
    digest = hashlib.sha256(_build(java))
    for jar in sorted(_jars().glob("*.jar")):
        found = jar.stat()
        digest.update(f"\0{jar}\0{found.st_size}\0{found.st_mtime_ns}".encode())
    return cache_root() / "java" / f"{digest.hexdigest()[:16]}.jsa"


def archive_options(java: Path, record: Path | None) -> str:
    """Java's options to use the archive there is, or to record one when Java ends."""
    if record is not None:
        return f"{SILENT} -XX:ArchiveClassesAtExit={quoted(record)}"
    archive = archive_path(java)
    return f"{SILENT} -XX:SharedArchiveFile={quoted(archive)}" if archive.is_file() else ""


def quoted(path: Path) -> str:
    """Write a path as one word of Spark's `extraJavaOptions`."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _build(java: Path) -> bytes:
    """Version and build of a Java: the text of its `release` file, else its binary's own stamp."""
    binary = java.resolve()
    release = binary.parent.parent / "release"
    if release.is_file():
        return f"{binary}\0".encode() + release.read_bytes()
    found = binary.stat()
    return f"{binary}\0{found.st_size}\0{found.st_mtime_ns}".encode()


def _jars() -> Path:
    """Folder of Spark's jars: that of SPARK_HOME, else of the installed PySpark."""
    home = os.environ.get("SPARK_HOME")
    if home:
        return Path(home) / "jars"
    spec = importlib.util.find_spec("pyspark")
    return Path(spec.origin).parent / "jars" if spec and spec.origin else Path("jars")
