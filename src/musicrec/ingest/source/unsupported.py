"""Files and folders that are known and not read: told by their content or their names."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from musicrec.errors import MusicRecError

_BINARY = rb"(?=.*[\0-\x08])"  # behind a word with which a line of text may begin, too
# What a file begins with -> what it is, and what to do.
_KINDS: dict[bytes, str] = {
    rb"version https://git-lfs": "a Git LFS pointer, not the file itself; run git lfs pull",
    rb"(outs:\n\s*- |md5: [0-9a-f]{32}\n).*?\bpath: ": "DVC's pointer, not the file itself; run "
    "dvc pull",
    rb"(?i:\s*<(!doctype\s+html|html|head|body)\b)": "an HTML page, such as a login or an error in "
    "place of a download; download the file again",
    # a line of cells, and below it the line that closes a table's head
    rb"\s*[^\n]*\|[^\n]*\n[ \t]*(\|[ \t]*[:-]{3,}|[:-]{3,}[ \t]*\|)[ \t|:-]*\r?(\n|\Z)": "a "
    "Markdown table; write it as CSV or Parquet",
    rb"%%MatrixMarket": "a MatrixMarket file; write one line a user, track and count",
    rb"<\?xml": "an XML file; write it as CSV or Parquet",
    rb"SQLite format 3\0": "an SQLite database; export the table: sqlite3 -csv -header",
    rb"\x80[\x02-\x05][\x8a-\x96cK(\]}X)q]": "a Python pickle, which can run code when it is read; "
    "write the table as Parquet: DataFrame.to_parquet",
    rb"ARROW1|\xff\xff\xff\xff|FEA1" + _BINARY: "a Feather (Arrow) file; write it as Parquet: "
    "pyarrow.feather, pyarrow.parquet",
    rb"\x93NUMPY": "a NumPy array; write the plays as Parquet or as text",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a spreadsheet (.xls); save it as CSV",
    rb".{257}ustar" + _BINARY: "a tar archive; unpack it (tar -xf) and name its files",
    rb"07070[127][0-9A-Fa-f]{70}": "a cpio archive; unpack it: cpio -i",
}
# A path below (or beside) the data -> the format that keeps it there.
_LOGS = {
    r"(^|/)_delta_log/": "a Delta table",
    r"(^|/)\.hoodie/": "a Hudi table",
    r"(^|/)metadata/([^/]*\.metadata\.json|version-hint\.text|snap-[^/]*\.avro)(\.gz)?$": "an "
    "Iceberg table",
    r"(^|/)_versions/[^/]*\.manifest$": "a Lance table",
}


_ABOVE = ("_delta_log", ".hoodie")  # stand in the folder of a table, its parts below it


def refuse_unsupported(head: bytes, name: str) -> None:
    """Stop at a file that is known by its first bytes and is not read, and at what is no text.

    Parameters
    ----------
    head : bytes
        First bytes, unpacked.

    Raises
    ------
    MusicRecError
        The sentence says what the file is and what to do.
    """
    for pattern, what in _KINDS.items():
        if re.match(pattern, head, re.S):
            raise MusicRecError(f"{name}: this is {what}")
    if b"\0" in head or (re.search(rb"[\1-\x08\x0e-\x1a]", head) and not _is_utf8(head)):
        raise MusicRecError(
            f"{name}: not text: it begins with {head[:8]!r} and holds NUL or bytes that are no "
            "UTF-8, as databases, documents and packed data do; write the plays as Parquet or as "
            "UTF-8 text, unpack them, or set data.encoding (such as utf-16)"
        )


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def refuse_table_folders(source: str, relatives: list[str]) -> None:
    """Stop at a folder of a table format: its files hold rows that a later change replaced.

    Parameters
    ----------
    relatives : list of str
        Paths below the source, hidden ones too.

    Raises
    ------
    MusicRecError
        There is the log of a table in the source, or in a folder that the source lies in.
    """
    above = [parent / log for parent in list(Path(source).absolute().parents)[:4] for log in _ABOVE]
    relatives = [*relatives, *(f"{log.name}/" for log in above if log.is_dir())]
    for log, kind in _LOGS.items():
        if any(re.search(log, one) for one in relatives):
            raise MusicRecError(
                f"{source}: this is {kind}, whose log says which of its files still count; write "
                "the present rows to plain Parquet with the program that keeps it, and name that "
                "folder"
            )
