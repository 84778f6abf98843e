"""How a text file is laid out: separator, header and fields, seen from its first line."""

from __future__ import annotations

import codecs
import csv
import re

from musicrec.errors import MusicRecError
from musicrec.params.data import ColumnParams, DataParams

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive or spreadsheet",
    b"\x1f\x8b": "gzip data without the ending .gz",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def first_fields(head: bytes, params: DataParams, name: str) -> tuple[str, bool, tuple[str, ...]]:
    """Find separator, header and fields of a text file.

    Parameters
    ----------
    head : bytes
        The file's first bytes, unpacked.
    name : str
        The file, for messages.

    Returns
    -------
    separator : str
        One character.
    header : bool
        Whether the first line names the columns.
    fields : tuple of str
        The first line's fields.

    Raises
    ------
    MusicRecError
        The file is not UTF-8 text, has no line, one column only, or not the columns asked for.
    """
    line = _first_line(head, name)
    separator, fields = _split(line, params.separator, name)
    return separator, _has_header(fields, params, name), fields


def _first_line(head: bytes, name: str) -> str:
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise MusicRecError(f"{name}: this is {what}; convert it to UTF-8 text or Parquet")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError as error:
        raise MusicRecError(
            f"{name}: not UTF-8 text: byte {error.start} is 0x{head[error.start]:02x}; convert it "
            "to UTF-8"
        ) from None
    if "\0" in text:
        raise MusicRecError(f"{name}: not text: it holds NUL bytes; set data.format or convert it")
    for line in text.splitlines():
        if line.strip():
            return line
    raise MusicRecError(f"{name}: the file holds no line of text")


def _split(line: str, choice: str, name: str) -> tuple[str, tuple[str, ...]]:
    if choice == "auto":
        candidates = list(SEPARATORS.values())
    else:
        candidates = [SEPARATORS.get(choice, choice.replace("\\t", "\t"))]
        if len(candidates[0]) != 1:
            raise MusicRecError(
                f"data.separator = {choice!r} is not allowed; it must be auto, "
                f"{', '.join(SEPARATORS)} or one character"
            )
    for separator in candidates:
        fields = next(csv.reader([line], delimiter=separator))
        if len(fields) > 1:
            return separator, tuple(field.strip() for field in fields)
    raise MusicRecError(
        f"{name}: only one column found with data.separator: {choice}; the first line is "
        f"{line[:80]!r}"
    )


def _has_header(fields: tuple[str, ...], params: DataParams, name: str) -> bool:
    columns = params.columns
    if params.header != "auto":
        return bool(params.header)
    mapped = [columns.user, columns.track, columns.count]
    named = [column for column in mapped if isinstance(column, str)]
    if named:
        missing = [column for column in named if column not in fields]
        if missing and not any(column in fields for column in named):
            raise MusicRecError(
                f"{name}: no column {', '.join(map(repr, missing))} in the first line, which is "
                f"{' | '.join(fields)[:200]!r}; name the columns in data.columns, by position from "
                "0 where there is no header"
            )
        return True
    return _looks_like_names(fields, columns)


def _looks_like_names(fields: tuple[str, ...], columns: ColumnParams) -> bool:
    """With positions alone: a first line whose count (or time) holds letters and no number."""
    if isinstance(columns.count, int):
        where = columns.count
        number = where < len(fields) and _NUMBER.fullmatch(fields[where])
        return where < len(fields) and not number and bool(re.search("[A-Za-z]", fields[where]))
    if isinstance(columns.timestamp, int) and columns.timestamp < len(fields):
        return not re.search(r"\d", fields[columns.timestamp])
    return False


def column_position(
    column: str | int, role: str, names: tuple[str, ...], *, named: bool, file: str
) -> int:
    """Find a mapped column among a file's columns.

    Raises
    ------
    MusicRecError
        It is missing, there twice, or asked for by name in a file without a header.
    """
    found = ", ".join(names) if named else f"{len(names)} columns and no header"
    if isinstance(column, int):
        if column < len(names):
            return column
        raise MusicRecError(
            f"{file}: no column {column} (data.columns.{role}, counted from 0); the file has: "
            f"{found[:300]}"
        )
    places = [i for i, name in enumerate(names) if name == column] if named else []
    if len(places) != 1:
        what = "no column" if not places else f"{len(places)} columns named"
        raise MusicRecError(
            f"{file}: {what} {column!r}; the file has: {found[:300]}; set data.columns.{role}"
        )
    return places[0]
