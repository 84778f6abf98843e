"""Folders that are more than their files: tables whose log says which files count."""

from __future__ import annotations

import re
from pathlib import Path

from musicrec.errors import MusicRecError

# A path below (or beside) the data -> the format that keeps it there.
_LOGS = {
    r"(^|/)_delta_log/": "a Delta table",
    r"(^|/)\.hoodie/": "a Hudi table",
    r"(^|/)metadata/([^/]*\.metadata\.json|version-hint\.text|snap-[^/]*\.avro)(\.gz)?$": (
        "an Iceberg table"
    ),
    r"(^|/)_versions/[^/]*\.manifest$": "a Lance table",
}
_FOLDERS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}


def refuse_table_folders(source: str, relatives: list[str]) -> None:
    """Stop at a folder of a table format: its files hold rows that a later change replaced.

    Parameters
    ----------
    source : str
        The source, for messages and, where it is local, to look at the folders around it.
    relatives : list of str
        Paths below it, hidden ones too.

    Raises
    ------
    MusicRecError
        There is the log of a table in the source, or the source lies inside such a table.
    """
    for relative in relatives:
        for pattern, kind in _LOGS.items():
            if re.search(pattern, relative):
                raise MusicRecError(_sentence(source, kind))
    if Path(source).is_dir():
        for folder in list(Path(source).absolute().parents)[:4]:
            for name, kind in _FOLDERS.items():
                if (folder / name).is_dir():
                    raise MusicRecError(_sentence(source, f"a part of {folder}, {kind}"))


def _sentence(source: str, kind: str) -> str:
    return (
        f"{source}: this is {kind}, whose log says which of its files still count, so that reading "
        "them all would count replaced rows again; write the table's present rows to plain Parquet "
        "with the program that keeps it, and name that folder"
    )
