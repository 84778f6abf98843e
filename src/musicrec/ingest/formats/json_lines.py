"""Files of JSON: one object a line, as listening services export, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import column_position
from musicrec.ingest.source.listing import read_head
from musicrec.ingest.source.local_files import open_unpacked
from musicrec.ingest.source.source_file import HEAD, SourceFile
from musicrec.ingest.source.unpack import new_path
from musicrec.params import ROLES, ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ENDINGS = (".json", ".jsonl", ".ndjson", ".geojson")
_LARGEST = 1 << 30  # bytes of an array, which is read whole
_LONGEST = 1 << 26  # bytes of a line, of which the first is looked into
_BETWEEN = re.compile(r"[\s,]*")  # what may stand between values: commas, and RS, which is a blank
_FLAT = "write an object for each element of the list, such as with jq"
_HALF = re.compile("[\ud800-\udfff]")
_OTHER_NOTATION = re.compile(r"\[?\s*\{\s*('|[A-Za-z_$])")
Keys = tuple[str, ...]  # from the outside in


@dataclass(frozen=True)
class JsonLayout:
    """What JSON files must share to be read as one frame: role -> keys."""

    paths: tuple[tuple[str, Keys], ...]  # none where a file holds no object at all


def looks_json(head: bytes, name: str) -> bool:
    """Whether a text is JSON: its name says so, or its first line is an object or array."""
    text = _text(head)
    if text[:1] not in ("{", "["):
        return False
    if any(ending in name.lower() for ending in _ENDINGS):
        return True
    return _is_json(text.split("\n", 1)[0]) or text[1:].lstrip()[:1] in ('"', "{")


def _text(head: bytes) -> str:
    return head.decode("utf-8-sig", "replace").lstrip()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def as_lines(
    spark: SparkSession, file: SourceFile, head: bytes, scratch: Path
) -> tuple[SourceFile, bytes]:
    """A file of one object a line, and its first bytes, with a whole line at least.

    Raises
    ------
    MusicRecError
        As `rewritten`.
    """
    size = len(head)
    while _text(head).startswith("{") and len(head) >= size < _LONGEST:
        if size < HEAD or b"\n" in head.strip():
            break
        size *= 8
        head = read_head(spark, file, size, unpack=True)
    if is_lines(head):
        return file, head
    file = rewritten(file, scratch)
    with open_unpacked(_here(file)) as stream:
        line = stream.readline()
        return file, line + stream.read(HEAD)


def is_lines(head: bytes) -> bool:
    """Whether JSON has one object a line, which Spark reads; else `rewritten` makes it so."""
    line = _text(head).split("\n", 1)[0].rstrip(" \t\r,")
    return line.startswith("{") and _is_json(line)


def rewritten(file: SourceFile, scratch: Path) -> SourceFile:
    """Write an array of objects, or objects over several lines, as one object a line.

    Raises
    ------
    MusicRecError
        The file lies where only Hadoop can reach it, is too large for memory, or is no JSON of
        objects, one a play.
    """
    advice = "write one object a line (jq -c '.[]')"
    if file.path is None:
        raise MusicRecError(f"{file.shown}: a JSON array is read from local files alone; {advice}")
    with open_unpacked(file.path) as stream:
        text = stream.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise MusicRecError(f"{file.shown}: a JSON array of over {_LARGEST >> 20} MB; {advice}")
    values = _values(text.decode("utf-8-sig", "replace"), file)
    for value in values:
        if not isinstance(value, dict) or (len(values) == 1 and _wraps(value)):
            refuse_columns(values[0], file.shown)
            raise MusicRecError(
                f"{file.shown}: this is JSON of {_kind(value)} where an object a play is expected; "
                f"{advice}"
            )
    copy = new_path(scratch, "plays.json")
    with copy.open("w", encoding="utf-8") as out:
        for value in values:
            # A half of a surrogate pair is no text: checked with the ids.
            out.write(_HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)) + "\n")
    return file.stands_for(copy)


def _values(text: str, file: SourceFile) -> list[Any]:
    """An array's values, or values that stand one after the other; numbers as text."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str)
    values: list[Any] = []
    place = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            values += value if isinstance(value, list) else [value]
            place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
    except RecursionError:
        raise MusicRecError(
            f"{file.shown}: its JSON is nested too deeply to be read; write one flat object a play"
        ) from None
    except ValueError as error:
        start = text[place : place + 80]
        if _OTHER_NOTATION.match(start):
            raise MusicRecError(
                f"{file.shown}: this is no JSON but something like it, such as a Python dict or "
                f"JSON5, whose names are not in double quotes ({start[:40]!r}); write JSON: "
                "json.dumps, a line for each ast.literal_eval(line)"
            ) from None
        raise MusicRecError(
            f"{file.shown}: JSON that is damaged or ends early ({error}); get the file again"
        ) from None
    return values


def refuse_columns(record: Any, name: str) -> None:
    """Stop at what pandas writes where it is not told otherwise: an object of columns or rows.

    Raises
    ------
    MusicRecError
        The sentence says how to write an object a play.
    """
    if not isinstance(record, dict) or not record:
        return
    inner = list(record.values())
    tables = all(isinstance(value, dict) for value in inner)
    numbered = tables and (
        all(key.isdigit() for value in inner for key in value) or all(map(str.isdigit, record))
    )
    lists = len(inner) > 1 and all(isinstance(value, list) for value in inner)
    if numbered or lists or {"columns", "data"} <= record.keys() <= {"columns", "index", "data"}:
        raise MusicRecError(
            f"{name}: one object holds the table by its columns or rows, as pandas writes it; "
            'write an object a play: DataFrame.to_json(path, orient="records", lines=True)'
        )


def _here(file: SourceFile) -> Path:
    assert file.path is not None
    return file.path


def _wraps(value: dict[str, Any]) -> bool:
    """Whether a single object is no play but holds a list of them."""
    return any(isinstance(inner, list | dict) for inner in value.values())


def _kind(value: Any) -> str:
    names = {dict: "one object around the plays", list: "lists", str: "text", type(None): "nulls"}
    return names.get(type(value), "numbers")


def json_layout(head: bytes, columns: ColumnParams, name: str) -> JsonLayout:
    """Find the mapped fields in the first objects.

    A name is a key of the object or, dotted, of objects within: `track_metadata.track_name`.

    Raises
    ------
    MusicRecError
        A column is mapped by position, no object has a field, or it holds an object or list; two
        roles have one field.
    """
    if not head.strip():
        return JsonLayout(())
    records = [json.loads(line) for line in _first_lines(head) if _is_json(line)]
    records = [record for record in records if isinstance(record, dict)]
    if len(records) == 1:
        refuse_columns(records[0], name)
    names = tuple(dict.fromkeys(key for record in records for key in _names(record)))
    paths: dict[str, Keys] = {}
    for role in ROLES:
        column = getattr(columns, role)
        if column is None:
            continue
        if isinstance(column, int):
            raise MusicRecError(
                f"{name}: JSON has names and no positions; set data.columns.{role} to one of: "
                f"{', '.join(names)[:300]}"
            )
        if any(column in record for record in records):
            keys: Keys = (column,)
        else:
            _refuse_list_around(column, records, f"{name}: no field {column!r}")
            column_position(column, role, names, named=True, file=name)
            keys = tuple(column.split("."))
        values = [_at(record, keys) for record in records]
        if any(isinstance(value, dict | list) for value in values):
            inner = ", ".join(key for key in names if key.startswith(f"{column}."))
            raise MusicRecError(
                f"{name}: field {column!r} (data.columns.{role}) holds "
                + (f"objects; name a field within: {inner[:300]}" if inner else f"lists; {_FLAT}")
            )
        if keys in paths.values():
            other = next(key for key, value in paths.items() if value == keys)
            raise MusicRecError(
                f"{name}: data.columns.{other} and data.columns.{role} are the same column, "
                f"{column!r}"
            )
        paths[role] = keys
    return JsonLayout(tuple(paths.items()))


def _refuse_list_around(column: str, records: list[dict[str, Any]], title: str) -> None:
    """Stop where a list holds the field, so that an object is more than one play."""
    for record in records[:100]:
        value: Any = record
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, list):
                raise MusicRecError(f"{title} can be named, since {key!r} is a list; {_FLAT}")
        for key, value in record.items():
            if isinstance(value, list) and any(isinstance(v, dict) and column in v for v in value):
                raise MusicRecError(f"{title} but in the list {key!r}; {_FLAT}")


def _first_lines(head: bytes) -> list[str]:
    lines = head.decode("utf-8-sig", "replace").split("\n")[:1000]
    return [line.strip().rstrip(",") for line in lines]


def _names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in record.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def _at(record: Any, keys: Keys) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record
