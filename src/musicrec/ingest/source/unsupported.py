"""Files and folders that are known and not read: told by their content or their names."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from musicrec.errors import MusicRecError

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


def refuse_unsupported(head: bytes, name: str) -> None:
    """Stop at a file that its first bytes, unpacked, tell is not read, and at what is no text."""
    for pattern, what in _KINDS.items():
        if re.match(pattern, head, re.S):
            raise MusicRecError(f"{name}: this is {what}")
    if b"\0" in head or (re.search(rb"[\1-\x08\x0e-\x1a]", head) and not _is_utf8(head)):
        raise MusicRecError(
            f"{name}: not text: it begins with {head[:8]!r} and holds NUL or bytes that are no "
            "UTF-8, as databases, spreadsheets, pickles, Arrow files and packed data do; write the "
            "plays as Parquet or as UTF-8 text, unpack them, or set data.encoding (such as utf-16)"
        )


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


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
