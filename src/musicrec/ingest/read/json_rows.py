"""Rows of JSON: one object a line by Arrow, all else object by object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from musicrec.errors import MusicRecError
from musicrec.ingest.read.check import Raw
from musicrec.ingest.read.columns import Column, ColumnMapping, Fields, positions
from musicrec.ingest.read.layout import HEAD
from musicrec.ingest.read.text import Rows, read_block, read_each

_ENDINGS = (".json", ".jsonl", ".ndjson")
_LARGEST = 1 << 28  # bytes of a document
_EDGE = " \t\r\n\x1e\ufeff,"  # what may stand between values: commas, marks of joined files
_HALF = re.compile("[\ud800-\udfff]")
Paths = dict[Column, tuple[str, ...]]  # mapped column -> keys, from the outside in


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


# Numbers as they are written, so that 1.10 is not 1.1.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def json_form(head: bytes, name: str) -> str:
    """Whether a text is JSON: `lines` of one object each, a `document`, or `` where it is none.

    Its name says so, or its first line is an object or array.
    """
    text = head.decode("utf-8", "replace").lstrip(_EDGE)
    if text[:1] not in ("{", "["):
        return ""
    try:
        json.loads(text.split("\n", 1)[0].rstrip(_EDGE))
        whole = True
    except (ValueError, RecursionError):
        whole = len(head) >= HEAD and "\n" not in text and text[0] == "{"  # as far as is seen
    named = any(ending in name.lower() for ending in _ENDINGS)
    if not (named or whole or text[1:].lstrip()[:1] in ('"', "{")):
        return ""
    return "lines" if text[0] == "{" and whole else "document"


def first_records(head: bytes) -> list[Any]:
    """The values on the first lines."""
    found: list[Any] = []
    for line in head.decode("utf-8", "replace").split("\n")[:1000]:
        try:
            found += _values(line.strip(_EDGE), json.JSONDecoder())
        except (ValueError, RecursionError):
            continue
    return found


class JsonFields:
    """Reads the mapped fields of objects.

    Several objects on a line, with commas between them or in an array, are a row each. Whatever
    else stands there breaks the line, and so does an id that is no text or number.
    """

    def __init__(self, records: list[Any], mapping: ColumnMapping, name: str) -> None:
        """Find the fields in the first objects."""
        records = [record for record in records if isinstance(record, dict)]
        self._ids = mapping.ids
        self._paths = json_paths(records, mapping, name)
        self._kinds = _arrow_kinds(records, self._paths, mapping)

    def read_lines(self, data: bytes) -> Iterator[Raw]:
        """Rows of a block of lines."""
        return read_block(data, self._paths, self._by_arrow, self._by_line)

    def read_records(self, records: list[Any]) -> Iterator[Raw]:
        """Rows of objects."""
        yield read_each(records, self._paths, lambda record: self._rows([record]))

    def _by_line(self, line: str) -> Rows:
        try:
            return self._rows(_flat(list(_values(line.strip(_EDGE), _DECODER))))
        except (ValueError, RecursionError):
            return [], "broken_json"

    def _rows(self, records: list[Any]) -> Rows:
        rows = []
        for record in records:
            row: list[str | None] = []
            for column, keys in self._paths.items():
                value = _at(record, keys)
                wrong = isinstance(value, bool) and column in self._ids
                if wrong or isinstance(value, dict | list) or not isinstance(record, dict):
                    return [], "broken_json"
                if isinstance(value, bool):
                    value = "true" if value else "false"
                row.append(_HALF.sub("\ufffd", value) if value else value)
            rows.append(row)
        return rows, ""

    def _by_arrow(self, data: bytes) -> Fields | None:
        """Fields as Arrow reads them; None where that is not as they are written."""
        if self._kinds is None or b"-0" in data:  # -0 is no 0
            return None
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            arrow_json.ParseOptions(
                explicit_schema=self._kinds, unexpected_field_behavior="ignore"
            ),
        )
        found = {}
        for column, (key, *inner) in self._paths.items():
            found[column] = table.column(key).combine_chunks()
            for key in inner:
                found[column] = pc.struct_field(found[column], key)
            found[column].validate(full=True)
        return found


def _values(text: str, decoder: json.JSONDecoder) -> Iterator[Any]:
    """Values with commas between them, or none."""
    place = 0
    while place < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value
        while place < len(text) and text[place] in _EDGE:
            place += 1


def read_document(chunks: Iterable[bytes], path: str | None, name: str) -> list[Any]:
    """The objects of an array, or that stand one after the other, or of a list within.

    `path` is `data.records`. That it is large, damaged, or no JSON is a MusicRecError.
    """
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > _LARGEST:
            raise MusicRecError(
                f"{name}: one JSON value of over {_LARGEST >> 20} MB; write one object a line, "
                "such as with: jq -c '.[]'"
            )
    text = data.decode("utf-8", "replace").strip(_EDGE)
    try:
        values = list(_values(text, _DECODER))
    except (ValueError, RecursionError) as error:
        raise MusicRecError(
            f"{name}: JSON that is damaged, ends early or is nested too deeply, or something like "
            f"JSON, such as Python dicts ({error}); get the file again, or write it by json.dumps"
        ) from None
    return _flat(values) if path is None else list(_at_path(values, path.split("."), name, path))


def _flat(values: list[Any]) -> list[Any]:
    """The objects of arrays beside those that stand alone."""
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _at_path(value: Any, keys: list[str], name: str, path: str) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _at_path(one, keys, name, path)
    elif not keys:
        yield value
    elif isinstance(value, dict) and keys[0] in value:
        yield from _at_path(value[keys[0]], keys[1:], name, path)
    else:
        shown = ", ".join(value)[:200] if isinstance(value, dict) else repr(value)[:80]
        raise MusicRecError(
            f"{name}: data.records = {path!r}: there is no {keys[0]!r}; the object has: {shown}"
        )


def json_paths(records: list[dict[str, Any]], mapping: ColumnMapping, name: str) -> Paths:
    """Find the mapped fields in the first objects.

    A name is a key of the object or, dotted, of objects within: `track_metadata.track_name`.
    """
    names = tuple(dict.fromkeys(key for record in records for key in _names(record)))
    found: Paths = {}
    for column in mapping.wanted:
        parameter = mapping.parameter[column]
        if isinstance(column, int):
            raise MusicRecError(
                f"{name}: JSON has names and no positions; set {parameter} to one of: "
                f"{', '.join(names)[:300]}"
            )
        whole = any(column in record for record in records)
        found[column] = (column,) if whole else tuple(column.split("."))
        within = [one for one in names if f".{one}".replace("[]", "").endswith(f".{column}")]
        if within and column not in names and "[]" in within[0]:
            raise MusicRecError(
                f"{name}: no field {column!r} but in a list, {within[0]}; set data.records="
                + within[0].rpartition("[]")[0].replace("[]", "")
            )
        if any(isinstance(_at(record, found[column]), dict | list) for record in records):
            inner = ", ".join(key for key in names if key.startswith(f"{column}."))[:200]
            raise MusicRecError(
                f"{name}: field {column!r} ({parameter}) holds objects or lists; write an object a "
                f"play, or name a field within: {inner or 'there is none'}"
            )
    positions(mapping, names, name, named=True)
    return found


def _names(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of the fields of an object; `[]` stands behind that of a list of objects."""
    if isinstance(value, list):
        inner = (_names(one, f"{prefix[:-1]}[].") for one in value[:9] if isinstance(one, dict))
        yield from chain.from_iterable(inner)
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield prefix + key
        yield from _names(inner, f"{prefix}{key}.")


def _at(record: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _arrow_kinds(
    records: list[dict[str, Any]], paths: Paths, mapping: ColumnMapping
) -> pa.Schema | None:
    """The types by which Arrow reads fields as they are written; None where there are none.

    Texts are texts and numbers whole ones; but for ids and counts also true, false and fractions.
    """
    kinds = {}
    for column, keys in paths.items():
        try:
            kind = pa.array([_at(record, keys) for record in records]).type
        except (pa.ArrowException, OverflowError, UnicodeError):
            return None
        exact = column in mapping.ids or column == mapping.params.columns.count
        known = pa.types.is_string(kind) or pa.types.is_int64(kind)
        if not known and (exact or not (pa.types.is_boolean(kind) or pa.types.is_float64(kind))):
            return None
        kinds[keys] = kind
    return pa.schema(_fields(kinds))


def _fields(kinds: dict[tuple[str, ...], pa.DataType]) -> dict[str, pa.DataType]:
    found = {}
    for key in dict.fromkeys(keys[0] for keys in kinds):
        inner = {keys[1:]: kind for keys, kind in kinds.items() if keys[0] == key}
        found[key] = inner[()] if () in inner else pa.struct(_fields(inner))
    return found
