"""Rows of JSON: one object a line by Arrow, all else object by object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Column, Mapping, positions
from musicrec.ingest.read.judge import Raw

_ENDINGS = (".json", ".jsonl", ".ndjson")
_SMALL = 256  # lines that are read one by one where Arrow cannot
_PART = 1 << 22  # characters of an array read at a time
_ROWS = 1 << 17  # objects of an array judged at a time
_LARGEST = 1 << 30  # characters of one value
_EDGE = " \t\r\n\x1e\ufeff,"  # what may stand between values: commas, marks of joined files
_HALF = re.compile("[\ud800-\udfff]")
_OTHER_NOTATION = re.compile(r"\[?\s*\{\s*('|[A-Za-z_$])")
Keys = tuple[str, ...]  # from the outside in


class Paths(NamedTuple):
    """Where the mapped fields are in an object, and which of them are ids."""

    keys: dict[Column, Keys]
    ids: frozenset[Column]


def looks_json(head: bytes, name: str) -> bool:
    """Whether a text is JSON: its name says so, or its first line is an object or array."""
    text = _text(head)
    if text[:1] not in ("{", "["):
        return False
    if any(ending in name.lower() for ending in _ENDINGS):
        return True
    return _is_json(text.split("\n", 1)[0]) or text[1:].lstrip()[:1] in ('"', "{")


def is_lines(head: bytes) -> bool:
    """Whether JSON has one object a line, as far as the first line shows."""
    line = _text(head).split("\n", 1)[0].rstrip(_EDGE)
    return line.startswith("{") and _is_json(line)


def _text(head: bytes) -> str:
    return head.decode("utf-8", "replace").lstrip(_EDGE)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


# Numbers as they are written, so that 1.10 is not 1.1.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def read_lines(data: bytes, paths: Paths, kinds: pa.Schema | None) -> Raw:
    """The mapped fields of lines that hold an object each.

    Several objects on a line, with commas between them or in an array, are a row each. Whatever
    else stands on the line breaks it, and so does an id that is no text or number.

    Parameters
    ----------
    kinds : pyarrow.Schema, optional
        What Arrow is to read; None where Arrow would change what the fields hold.
    """
    lines = data.split(b"\n")
    tables: list[tuple[dict[Column, pa.Array], np.ndarray]] = []
    broken: list[tuple[int, str, str]] = []
    waiting = [(0, len(lines) - 1)]
    while waiting:
        start, stop = waiting.pop()
        table = _by_arrow(lines[start:stop], paths, kinds)
        if table is not None:
            filled = [i + 1 for i in range(start, stop) if lines[i]]
            tables.append((table, np.array(filled, np.int64)))
        elif stop - start > _SMALL and kinds is not None:
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
        else:
            rows = _Rows(paths)
            for i in range(start, stop):
                rows.add_line(lines[i].decode("utf-8", "replace"), i + 1)
            tables.append((rows.fields(), np.array(rows.numbers, np.int64)))
            broken += rows.broken
    fields = {
        column: _concatenated([table[column] for table, _ in tables]) for column in paths.keys
    }
    numbers = np.concatenate([found for _, found in tables] or [np.zeros(0, np.int64)])
    return Raw(fields, lambda row: int(numbers[row]), len(lines) - 1, broken)


def _concatenated(parts: list[pa.Array]) -> pa.Array:
    if len({part.type for part in parts}) > 1:
        parts = [part.cast(pa.string()) for part in parts]
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def _by_arrow(
    lines: list[bytes], paths: Paths, kinds: pa.Schema | None
) -> dict[Column, pa.Array] | None:
    """Fields as Arrow reads them; None where that is not one row a line, each as it is written."""
    if kinds is None:
        return None
    rows = sum(1 for line in lines if line)
    data = b"\n".join(lines) + b"\n"
    if not rows or b"-0" in data:  # -0 is no 0
        return None if rows else {c: pa.array([], pa.string()) for c in paths.keys}
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            arrow_json.ParseOptions(
                explicit_schema=kinds, unexpected_field_behavior="ignore", newlines_in_values=False
            ),
        )
        if table.num_rows != rows:
            return None
        found = {column: _inner(table, keys) for column, keys in paths.keys.items()}
        for column in found.values():
            column.validate(full=True)
    except (pa.ArrowException, UnicodeError):
        return None
    return found


def _inner(table: pa.Table, keys: Keys) -> pa.Array:
    column = table.column(keys[0]).combine_chunks()
    for key in keys[1:]:
        column = pc.struct_field(column, key)
    return column


class _Rows:
    """Objects turned into fields, one by one."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._values: dict[Column, list[str | None]] = {column: [] for column in paths.keys}
        self.numbers: list[int] = []
        self.broken: list[tuple[int, str, str]] = []

    def add_line(self, line: str, number: int) -> None:
        text = line.strip(_EDGE)
        if not text:
            return
        try:
            values = list(_values(text, _DECODER))
            objects = [one for value in values
                       for one in (value if isinstance(value, list) else [value])]  # fmt: skip
            rows = [self._row(one) for one in objects]
        except (ValueError, RecursionError):
            self.broken.append((number, line, "broken_json"))
            return
        for row in rows:
            self._append(row, number)

    def add(self, value: Any, number: int) -> None:
        """Add one object of an array."""
        try:
            row = self._row(value)
        except ValueError:
            self.broken.append((number, json.dumps(value)[:80], "broken_json"))
        else:
            self._append(row, number)

    def _append(self, row: list[str | None], number: int) -> None:
        for values, value in zip(self._values.values(), row, strict=True):
            values.append(value)
        self.numbers.append(number)

    def _row(self, record: Any) -> list[str | None]:
        if not isinstance(record, dict):
            raise ValueError("no object")
        row = []
        for column, keys in self._paths.keys.items():
            value: Any = record
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, dict | list) or (
                value in (True, False) and column in self._paths.ids
            ):
                raise ValueError("no text or number")
            if isinstance(value, bool):
                value = "true" if value else "false"
            row.append(_HALF.sub("\ufffd", value) if value else value)
        return row

    def fields(self) -> dict[Column, pa.Array]:
        return {column: pa.array(values, pa.string()) for column, values in self._values.items()}


def _values(text: str, decoder: json.JSONDecoder) -> Iterator[Any]:
    """Values with commas between them."""
    place = 0
    while place < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value
        rest = text[place:].lstrip()
        if not rest:
            return
        if not rest.startswith(","):
            raise ValueError("something behind an object")
        place = len(text) - len(rest[1:].lstrip())


def read_document(head: bytes, stream: BinaryIO, mapping: Mapping, name: str) -> Iterator[Raw]:
    """The mapped fields of an array of objects, or of objects one after the other.

    Parameters
    ----------
    head : bytes
        What has been read from the stream already.

    Raises
    ------
    MusicRecError
        It is damaged, or no JSON of objects, one a play.
    """
    paths: Paths | None = None
    records = _records(_document_values(head, stream, name), mapping.params.records, name)
    while batch := [record for _, record in zip(range(_ROWS), records, strict=False)]:
        if paths is None:
            paths = json_paths(batch[:1000], mapping, name)
        rows = _Rows(paths)
        for place, record in enumerate(batch, 1):
            rows.add(record, place)
        numbers, total = rows.numbers, len(batch)
        yield Raw(rows.fields(), numbers.__getitem__, total, rows.broken)


def _records(values: Iterator[Any], path: str | None, name: str) -> Iterator[Any]:
    """The objects that stand for plays; with `path` (`data.records`) those of lists within."""
    single: list[Any] = []
    for place, value in enumerate(values):
        if path is not None:
            yield from _at_path(value, path.split("."), name, path)
        elif place == 0 and isinstance(value, dict):
            single.append(value)  # an object around the plays, or the first play
        else:
            yield from single
            single = []
            yield value
    for value in single:
        refuse_columns(value, name)
        inner = [key for key, one in value.items() if isinstance(one, list)]
        if inner:
            raise MusicRecError(
                f"{name}: this is one object around the plays, with a list in "
                f"{', '.join(map(repr, inner))[:200]}; set data.records to the list of plays, such "
                f"as data.records={inner[0]}"
            )
        yield value


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


def _document_values(head: bytes, stream: BinaryIO, name: str) -> Iterator[Any]:
    """Values of an array, or that stand one after the other, as they are read."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, place, ended, inside = decoder.decode(head), 0, False, None
    while True:
        while place < len(text) and text[place] in _EDGE:
            place += 1
        if inside is None and place < len(text):
            inside = text[place] == "["
            place += inside
            continue
        if inside and text[place : place + 1] == "]":
            inside, place = None, place + 1
            continue
        try:
            if place == len(text):
                raise json.JSONDecodeError("it ends early", text, place)
            value, end = _DECODER.raw_decode(text, place)
            if end == len(text) and not ended:
                raise json.JSONDecodeError("it may go on", text, end)
        except RecursionError:
            raise MusicRecError(
                f"{name}: its JSON is nested too deeply to be read; write one flat object a play"
            ) from None
        except ValueError as error:
            if ended:
                if place == len(text) and not inside:
                    return
                raise _damaged(text[place : place + 80], error, name) from None
            if len(text) - place > _LARGEST:
                raise MusicRecError(
                    f"{name}: a JSON value of over {_LARGEST >> 20} MB; write one object a line"
                ) from None
            part = stream.read(max(_PART, len(text) - place))
            ended = not part
            text, place = text[place:] + decoder.decode(part, final=ended), 0
            continue
        place = end
        yield value


def _damaged(start: str, error: ValueError, name: str) -> MusicRecError:
    if _OTHER_NOTATION.match(start):
        return MusicRecError(
            f"{name}: this is no JSON but something like it, such as a Python dict or JSON5, whose "
            f"names are not in double quotes ({start[:40]!r}); write JSON: json.dumps, a line for "
            "each ast.literal_eval(line)"
        )
    return MusicRecError(
        f"{name}: JSON that is damaged or ends early ({error}); get the file again"
    )


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


def first_records(head: bytes) -> list[dict[str, Any]]:
    """The objects on the first lines."""
    found = []
    for line in head.decode("utf-8", "replace").split("\n")[:1000]:
        try:
            values = _values(line.strip(_EDGE), json.JSONDecoder())
            found += [one for one in values if isinstance(one, dict)]
        except (ValueError, RecursionError):
            continue
    return found


def json_paths(records: list[Any], mapping: Mapping, name: str) -> Paths:
    """Find the mapped fields in the first objects.

    A name is a key of the object or, dotted, of objects within: `track_metadata.track_name`.

    Raises
    ------
    MusicRecError
        A column is mapped by position, no object has a field, or it holds an object or list.
    """
    records = [record for record in records if isinstance(record, dict)]
    if len(records) == 1:
        refuse_columns(records[0], name)
    names = tuple(dict.fromkeys(key for record in records for key in _names(record)))
    found: dict[Column, Keys] = {}
    for column in mapping.wanted:
        parameter = mapping.parameter[column]
        if isinstance(column, int):
            raise MusicRecError(
                f"{name}: JSON has names and no positions; set {parameter} to one of: "
                f"{', '.join(names)[:300]}"
            )
        whole = any(column in record for record in records)
        keys: Keys = (column,) if whole else tuple(column.split("."))
        if column not in names:
            _refuse_list_around(column, records, f"{name}: no field {column!r}")
        values = [_at(record, keys) for record in records]
        if any(isinstance(value, dict | list) for value in values):
            inner = ", ".join(key for key in names if key.startswith(f"{column}."))
            raise MusicRecError(
                f"{name}: field {column!r} ({parameter}) holds "
                + (f"objects; name a field within: {inner[:300]}" if inner else "lists; write an "
                   "object for each element of the list, such as with jq")
            )  # fmt: skip
        found[column] = keys
    positions(mapping, names, name, named=True)
    return Paths(found, mapping.ids)


def arrow_kinds(
    records: list[dict[str, Any]], paths: Paths, exact: frozenset[Column]
) -> pa.Schema | None:
    """The types by which Arrow reads fields as they are written; None where there are none.

    Texts are texts, and numbers whole ones; where a field has both, or other values, Arrow is not
    asked.

    Parameters
    ----------
    exact : frozenset
        Columns whose numbers are ids or counts.
    """
    tree: dict[str, Any] = {}
    for column, keys in paths.keys.items():
        raw = {type(value) for value in (_at(record, keys) for record in records)} - {type(None)}
        if raw == {str}:
            kind = pa.string()
        elif raw == {int}:
            kind = pa.int64()
        elif column not in exact and raw == {bool}:
            kind = pa.bool_()
        elif column not in exact and raw and raw <= {int, float}:
            kind = pa.float64()
        else:
            return None
        inner = tree
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                return None
        inner[keys[-1]] = kind

    def schema(tree: dict[str, Any]) -> list[pa.Field]:
        return [
            pa.field(key, pa.struct(schema(below)) if isinstance(below, dict) else below)
            for key, below in tree.items()
        ]

    return pa.schema(schema(tree))


def _refuse_list_around(column: str, records: list[dict[str, Any]], title: str) -> None:
    """Stop where a list holds the field, so that an object is more than one play."""
    for record in records[:100]:
        value: Any = record
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, list):
                raise MusicRecError(f"{title} can be named, since {key!r} is a list; "
                                    f"set data.records={key}")  # fmt: skip
        for key, value in record.items():
            if isinstance(value, list) and any(isinstance(v, dict) and column in v for v in value):
                raise MusicRecError(f"{title} but in the list {key!r}; set data.records={key}")


def _names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in record.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def _at(record: Any, keys: Keys) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record
