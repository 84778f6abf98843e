"""Files that hold no table of plays, or one in a form that is not read: told by their content."""

from __future__ import annotations

import re

from musicrec.errors import MusicRecError

_CONVERT = "write the plays as Parquet or as UTF-8 text with the program it comes from"
# First bytes -> (what it is, what to do).
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"),
    (b"SQLite format 3\0", "an SQLite database", "export the table: sqlite3 -csv -header"),
    (b"ARROW1", "a Feather (Arrow) file", "write it as Parquet: pyarrow.feather, pyarrow.parquet"),
    (b"FEA1", "a Feather file of version 1", "write it as Parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _CONVERT),
    (b"\x93NUMPY", "a NumPy array (.npy)", _CONVERT),
    (b"ORC", "an ORC file", "write it as Parquet: pyarrow.orc, pyarrow.parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet"),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"%PDF", "a PDF document", _CONVERT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet (.xls)", "save it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x"),
    (b"Rar!", "a RAR archive", "unpack it: unrar x"),
    (b"\x1f\x9d", "data packed by compress (.Z)", "unpack it: gunzip"),
    (b"\x89PNG", "a picture", _CONVERT),
    (b"\xff\xd8\xff", "a picture", _CONVERT),
    (b"RDX", "an R workspace", "write the table: write.table(…, sep = '\\t', row.names = FALSE)"),
    (b"MATLAB", "a MATLAB file", _CONVERT),
    (b"%%MatrixMarket", "a MatrixMarket file", "write one line a user, track and count"),
    (b"<?xml", "an XML file", _CONVERT),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x8a-\x96cK(\]}X)q]")
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.I)
_MARKDOWN = re.compile(  # a line of cells, and below it the line that closes a table's head
    rb"\s*[^\n]*\|[^\n]*\n[ \t]*(\|[ \t]*[:-]{3,}|[:-]{3,}[ \t]*\|)[ \t|:-]*\r?(\n|$)"
)
_DVC = re.compile(rb"(outs:\n\s*- |md5: [0-9a-f]{32}\n)(.|\n)*?\bpath: ")


def refuse_foreign(head: bytes, name: str) -> None:
    """Stop at a file that is known by its first bytes and is not read.

    Parameters
    ----------
    head : bytes
        First bytes, unpacked.
    name : str
        The file, for messages.

    Raises
    ------
    MusicRecError
        The sentence says what the file is and what to do.
    """
    start = head.removeprefix(b"\xef\xbb\xbf")
    for magic, what, advice in _MAGIC:
        if start.startswith(magic):
            raise MusicRecError(f"{name}: this is {what}; {advice}")
    if head[257:262] == b"ustar":
        raise MusicRecError(
            f"{name}: this is a tar archive; unpack it (tar -xf) and name its files"
        )
    if head[8:12] == b"DUCK":
        raise MusicRecError(f"{name}: this is a DuckDB database; copy the table to Parquet")
    if _PICKLE.match(head):
        raise MusicRecError(
            f"{name}: this is a Python pickle, which can run code when it is read; write the table "
            "as Parquet: DataFrame.to_parquet"
        )
    if _HTML.match(start):
        raise MusicRecError(
            f"{name}: this is an HTML page, such as a login or an error in place of a download; "
            "download the file again"
        )
    if _MARKDOWN.match(start):
        raise MusicRecError(f"{name}: this is a Markdown table; write it as CSV or Parquet")
    if _DVC.match(start):
        raise MusicRecError(f"{name}: this is DVC's pointer, not the file itself; run dvc pull")
