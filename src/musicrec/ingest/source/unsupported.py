"""Files and folders that are known and not read: told by their content or their names."""

from __future__ import annotations

import re
from pathlib import Path

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
    (b"\xff\xff\xff\xff", "an Arrow stream", "write it as Parquet: pyarrow.ipc, pyarrow.parquet"),
    (
        b"X\n\0\0\0",
        "an R object (.rds)",
        "write the table: write.csv(readRDS(…))",
    ),
    (b"<stata_dta>", "a Stata file", "write it as Parquet: pandas.read_stata"),
    (b"$FL2@(#)", "an SPSS file", "write it as Parquet: pandas.read_spss"),
    (b"$FL3@(#)", "an SPSS file", "write it as Parquet: pandas.read_spss"),
    (b"\0" * 12 + b"\xc2\xea\x81\x60", "a SAS file", "write it as Parquet: pandas.read_sas"),
    (b"{\\rtf", "an RTF document", _CONVERT),
    (b"\x5d\0\0", "data packed by lzma (.lzma)", "unpack it: unlzma"),
    (b"\x89LZO\0\r\n\x1a\n", "data packed by lzop (.lzo)", "unpack it: lzop -d"),
    (b"\xff\x06\0\0sNaPpY", "data packed by snappy", "unpack it: snzip -d"),
    (b"\x02\x21\x4c\x18", "data packed by an old lz4", "unpack it: unlz4"),
    (b"LRZI", "data packed by lrzip", "unpack it: lrunzip"),
    (b"MSCF", "a cabinet archive", "unpack it: cabextract"),
    (b"!<arch>", "an ar archive", "unpack it: ar x"),
)
_BINARY = re.compile(rb"[\0-\x08]")
_CPIO = re.compile(rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}")
_STATA = re.compile(rb"[\x69\x6c-\x73][\x01\x02]\x01\0")  # before version 13
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x8a-\x96cK(\]}X)q]")
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.I)
_MARKDOWN = re.compile(  # a line of cells, and below it the line that closes a table's head
    rb"\s*[^\n]*\|[^\n]*\n[ \t]*(\|[ \t]*[:-]{3,}|[:-]{3,}[ \t]*\|)[ \t|:-]*\r?(\n|$)"
)
_DVC = re.compile(rb"(outs:\n\s*- |md5: [0-9a-f]{32}\n)(.|\n)*?\bpath: ")


def refuse_unsupported(head: bytes, name: str) -> None:
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
        word = len(magic) <= 4 and magic.isalnum()  # with which a line of text may begin, too
        if start.startswith(magic) and not (word and not _BINARY.search(head)):
            raise MusicRecError(f"{name}: this is {what}; {advice}")
    if _CPIO.match(head):
        raise MusicRecError(f"{name}: this is a cpio archive; unpack it: cpio -i")
    if _STATA.match(head):
        raise MusicRecError(f"{name}: this is a Stata file; write it as Parquet: pandas.read_stata")
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
                raise MusicRecError(_about_table(source, kind))
    if Path(source).is_dir():
        for folder in list(Path(source).absolute().parents)[:4]:
            for name, kind in _FOLDERS.items():
                if (folder / name).is_dir():
                    raise MusicRecError(_about_table(source, f"a part of {folder}, {kind}"))


def _about_table(source: str, kind: str) -> str:
    return (
        f"{source}: this is {kind}, whose log says which of its files still count, so that reading "
        "them all would count replaced rows again; write the table's present rows to plain Parquet "
        "with the program that keeps it, and name that folder"
    )
