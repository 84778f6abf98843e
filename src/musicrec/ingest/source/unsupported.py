"""Files and folders that are known and not read: told by their content or their names."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from musicrec.errors import MusicRecError

_PLAIN = "write the plays as Parquet or as UTF-8 text with the program it comes from"
_PARQUET = "write it as Parquet"
_NOT_TEXT = rb"(?=.*[\0-\x08])"  # behind a word with which a line of text may begin, too
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
    rb"SQLite format 3\0": "an SQLite database; export the table: sqlite3 -csv -header",
    rb".{8}DUCK" + _NOT_TEXT: "a DuckDB database; copy the table to Parquet",
    rb"\x80[\x02-\x05][\x8a-\x96cK(\]}X)q]": "a Python pickle, which can run code when it is read; "
    "write the table as Parquet: DataFrame.to_parquet",
    rb"ARROW1": f"a Feather (Arrow) file; {_PARQUET}: pyarrow.feather, pyarrow.parquet",
    rb"\xff\xff\xff\xff": f"an Arrow stream; {_PARQUET}: pyarrow.ipc, pyarrow.parquet",
    rb"FEA1" + _NOT_TEXT: f"a Feather file of version 1; {_PARQUET}",
    rb"ORC" + _NOT_TEXT: f"an ORC file; {_PARQUET}: pyarrow.orc, pyarrow.parquet",
    rb"PARE" + _NOT_TEXT: "an encrypted Parquet file; write it without encryption",
    rb"Obj\x01": f"an Avro file; {_PARQUET}",
    rb"\x89HDF\r?\n\x1a\n": f"an HDF5 file; {_PLAIN}",
    rb"\x93NUMPY": f"a NumPy array (.npy); {_PLAIN}",
    rb"%%MatrixMarket": "a MatrixMarket file; write one line a user, track and count",
    rb"MATLAB": f"a MATLAB file; {_PLAIN}",
    rb"X\n\0\0\0": "an R object (.rds); write the table: write.csv(readRDS(…))",
    rb"RDX" + _NOT_TEXT: "an R workspace; write the table: write.csv",
    rb"<stata_dta>|[\x69\x6c-\x73][\x01\x02]\x01\0": f"a Stata file; {_PARQUET}: pandas.read_stata",
    rb"\$FL[23]@\(#\)": f"an SPSS file; {_PARQUET}: pandas.read_spss",
    rb"\0{12}\xc2\xea\x81\x60": f"a SAS file; {_PARQUET}: pandas.read_sas",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a spreadsheet (.xls); save it as CSV",
    rb"%PDF": f"a PDF document; {_PLAIN}",
    rb"\{\\rtf": f"an RTF document; {_PLAIN}",
    rb"<\?xml": f"an XML file; {_PLAIN}",
    rb"\x89PNG|\xff\xd8\xff": f"a picture; {_PLAIN}",
    rb".{257}ustar" + _NOT_TEXT: "a tar archive; unpack it (tar -xf) and name its files",
    rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}": "a cpio archive; unpack it: cpio -i",
    rb"!<arch>": "an ar archive; unpack it: ar x",
    rb"MSCF" + _NOT_TEXT: "a cabinet archive; unpack it: cabextract",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it: 7z x",
    rb"Rar!": "a RAR archive; unpack it: unrar x",
    rb"\x1f\x9d": "data packed by compress (.Z); unpack it: gunzip",
    rb"\x5d\0\0": "data packed by lzma (.lzma); unpack it: unlzma",
    rb"\x89LZO\0\r?\n\x1a\n": "data packed by lzop (.lzo); unpack it: lzop -d",
    rb"\xff\x06\0\0sNaPpY": "data packed by snappy; unpack it: snzip -d",
    rb"\x02\x21\x4c\x18": "data packed by an old lz4; unpack it: unlz4",
    rb"LRZI" + _NOT_TEXT: "data packed by lrzip; unpack it: lrunzip",
}
# A path below (or beside) the data -> the format that keeps it there.
_LOGS = {
    r"(^|/)_delta_log/": "a Delta table",
    r"(^|/)\.hoodie/": "a Hudi table",
    r"(^|/)metadata/([^/]*\.metadata\.json|version-hint\.text|snap-[^/]*\.avro)(\.gz)?$": "an "
    "Iceberg table",
    r"(^|/)_versions/[^/]*\.manifest$": "a Lance table",
}


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
    if re.search(rb"[\0-\x08\x0e-\x1a]", head) and not _is_utf8(head):
        raise MusicRecError(
            f"{name}: not text: it holds bytes that are no UTF-8 and control characters, as data "
            "packed by Brotli or another program does; unpack it, or set data.encoding (such as "
            "utf-16)"
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
    source : str
        The source, for messages and, where it is local, to look at the folders around it.
    relatives : list of str
        Paths below it, hidden ones too.

    Raises
    ------
    MusicRecError
        There is the log of a table in the source, or the source lies inside such a table.
    """
    logs = (kind for one in relatives for log, kind in _LOGS.items() if re.search(log, one))
    kind = next(logs, None)
    if kind is None and Path(source).is_dir():
        for folder in list(Path(source).absolute().parents)[:4]:
            for log, name in (("_delta_log", "a Delta table"), (".hoodie", "a Hudi table")):
                if (folder / log).is_dir():
                    kind = f"a part of {folder}, {name}"
    if kind is not None:
        raise MusicRecError(
            f"{source}: this is {kind}, whose log says which of its files still count, so that "
            "reading them all would count replaced rows again; write the table's present rows to "
            "plain Parquet with the program that keeps it, and name that folder"
        )
