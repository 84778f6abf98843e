"""Files of JSON: one object a line, as listening services export, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicrec.errors import MusicRecError
from musicrec.ingest.formats.header import column_position
from musicrec.ingest.source.local_files import open_unpacked
from musicrec.ingest.source.source_file import SourceFile
from musicrec.ingest.source.unpack import new_path
from musicrec.params.data import ROLES, ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ENDINGS = (".json", ".jsonl", ".ndjson", ".geojson")
_LARGEST = 1 << 30  # bytes of an array, which is read whole
Keys = tuple[str, ...]  # from the outside in


@dataclass(frozen=True)
class JsonLayout:
    """What JSON files must share to be read as one frame: role -> keys."""

    paths: tuple[tuple[str, Keys], ...]


def looks_json(head: bytes, name: str) -> bool:
    """Whether a text is JSON: its name says so, or its first line is an object or array."""
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return False
    if any(ending in name.lower() for ending in _ENDINGS):
        return True
    return _is_json(text.split("\n", 1)[0]) or text[1:].lstrip()[:1] in ('"', "{")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_lines(head: bytes) -> bool:
    """Whether JSON has one object a line, which Spark reads; else `rewritten` makes it so."""
    line = head.decode("utf-8-sig", "replace").lstrip().split("\n", 1)[0]
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
            raise MusicRecError(
                f"{file.shown}: this is JSON of {_kind(value)} where an object a play is expected; "
                f"{advice}"
            )
    copy = new_path(scratch, "plays.json")
    lines = (json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    copy.write_text("".join(lines), encoding="utf-8")
    return file.stands_for(copy)


def _values(text: str, file: SourceFile) -> list[Any]:
    """An array's values, or values that stand one after the other; fractions as text."""
    decoder = json.JSONDecoder(parse_float=str)
    values: list[Any] = []
    place = 0
    try:
        while text[place:].lstrip():
            place += len(text[place:]) - len(text[place:].lstrip())
            value, place = decoder.raw_decode(text, place)
            values += value if isinstance(value, list) else [value]
    except ValueError as error:
        raise MusicRecError(
            f"{file.shown}: JSON that is damaged or ends early ({error}); get the file again"
        ) from None
    return values


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
    records = [json.loads(line) for line in _first_lines(head) if _is_json(line)]
    records = [record for record in records if isinstance(record, dict)]
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
            column_position(column, role, names, named=True, file=name)
            keys = tuple(column.split("."))
        values = [_at(record, keys) for record in records]
        if any(isinstance(value, dict | list) for value in values):
            inner = ", ".join(key for key in names if key.startswith(f"{column}."))
            raise MusicRecError(
                f"{name}: field {column!r} (data.columns.{role}) holds "
                + (f"objects; name a field within: {inner[:300]}" if inner else "lists")
            )
        if keys in paths.values():
            other = next(key for key, value in paths.items() if value == keys)
            raise MusicRecError(
                f"{name}: data.columns.{other} and data.columns.{role} are the same column, "
                f"{column!r}"
            )
        paths[role] = keys
    return JsonLayout(tuple(paths.items()))


def _first_lines(head: bytes) -> list[str]:
    return head.decode("utf-8-sig", "replace").split("\n")[:1000]


def _names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in record.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def _at(record: Any, keys: Keys) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def read_json(spark: SparkSession, layout: JsonLayout, uris: list[str]) -> DataFrame:
    """Read lines of JSON: the mapped fields as text, and `broken`, a line that is no object."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType, StructField, StructType

    tree: dict[str, Any] = {}
    for _, keys in layout.paths:
        inner = tree
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = None

    def schema(tree: dict[str, Any]) -> StructType:
        kinds = {
            key: StringType() if below is None else schema(below) for key, below in tree.items()
        }
        return StructType([StructField(key, kind) for key, kind in kinds.items()])

    broken = "broken" + "_" * (1 + max(len(key) for key in tree))  # no key of the objects
    frame = (
        spark.read.schema(schema(tree).add(broken, StringType()))
        .option("columnNameOfCorruptRecord", broken)
        .json(uris)
    )
    picked = [
        F.col(".".join("`" + key.replace("`", "``") + "`" for key in keys)).alias(role)
        for role, keys in layout.paths
    ]
    return frame.select(*picked, F.col(f"`{broken}`").alias("broken"), "_metadata")
