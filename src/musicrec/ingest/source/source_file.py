"""One file of a source."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from musicrec.spark.failures import display_path

HEAD = 1 << 16  # bytes looked at to tell a text file's layout
PARQUET_MAGIC = b"PAR1"
_ABOUT = re.compile(r"(read_?me|licen[cs]e|copying|notice|changelog|citation)(\.\w+)?", re.I)


def is_hidden(relative: str) -> bool:
    """Tell files that are not part of a folder's table, by their path below it.

    Any name on the way that starts with `_` or `.`, as Spark does, and a file that is about the
    table, such as `README.md`.
    """
    names = relative.split("/")
    return any(name.startswith(("_", ".")) for name in names) or bool(_ABOUT.fullmatch(names[-1]))


def is_parquet(file: SourceFile, raw: bytes, choice: str) -> bool:
    """Whether a file is to be read as Parquet, by `data.format`, its name and its first bytes."""
    named = file.relative.endswith(".parquet") or raw.startswith(PARQUET_MAGIC)
    return choice == "parquet" or (choice == "auto" and named)


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of a source.

    Attributes
    ----------
    uri : str
        What Spark opens, as Hadoop names it: with scheme, not percent-encoded.
    relative : str
        Path below the source, with `/`; the file's own name where the source is a file.
    size : int
        Bytes.
    shown : str
        What messages call it; not `uri` where Spark reads an unpacked copy.
    hidden : bool
        Whether it is left out where the source is a folder: see `is_hidden`.
    """

    uri: str
    relative: str
    size: int
    shown: str = ""
    hidden: bool = False

    def __post_init__(self) -> None:
        """Call it by its path, unless told otherwise."""
        if not self.shown:
            object.__setattr__(self, "shown", display_path(self.uri))

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine; None where only Hadoop can reach it."""
        local = self.uri.startswith("file://")
        return Path(self.uri.removeprefix("file://")) if local else None

    def stands_for(self, path: Path) -> SourceFile:
        """Name a local copy or link of this file that Spark reads in its place."""
        return replace(self, uri=f"file://{path}", size=path.stat().st_size)
