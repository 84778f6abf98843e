"""Rows of JSON: one object a line by Arrow, all else object by object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import Column, Fields, Mapping, positions
from musicrec.ingest.read.judge import Raw
from musicrec.ingest.read.layout import HEAD
from musicrec.ingest.read.text import Rows, filled_lines, read_block, read_each

_ENDINGS = (".json", ".jsonl", ".ndjson")
_ROWS = 1 << 17  # objects of a document judged at a time
_LARGEST = 1 << 30  # characters of one value
_EDGE = " \t\r\n\x1e\ufeff,"  # what may stand between values: commas, marks of joined files
_HALF = re.compile("[\ud800-\udfff]")
_OTHER_NOTATION = re.compile(r"\[?\s*\{\s*('|[A-Za-z_$])")
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
    line = text.split("\n", 1)[0].rstrip(_EDGE)
    whole = _is_json(line)
    if text[:1] not in ("{", "["):
        return ""
    named = any(ending in name.lower() for ending in _ENDINGS)
    if not (named or whole or text[1:].lstrip()[:1] in ('"', "{")):
        return ""
    long = len(head) >= HEAD and "\n" not in text  # on one line as far as is seen
    return "lines" if text[0] == "{" and (whole or long) else "document"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


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
    else stands on the line breaks it, and so does an id that is no text or number.
    """

    def __init__(self, records: list[Any], mapping: Mapping, name: str) -> None:
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
            values = list(_values(line.strip(_EDGE), _DECODER))
        except (ValueError, RecursionError):
            return [], "broken_json"
        return self._rows([one for v in values for one in (v if isinstance(v, list) else [v])])

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

    def _by_arrow(self, data: bytes, lines: int) -> Fields | None:
        """Fields as Arrow reads them; None where that is not one row a line, as it is written."""
        if self._kinds is None or b"-0" in data:  # -0 is no 0
            return None
        try:
            table = arrow_json.read_json(
                pa.BufferReader(data),
                arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
                arrow_json.ParseOptions(
                    explicit_schema=self._kinds,
                    unexpected_field_behavior="ignore",
                    newlines_in_values=False,
                ),
            )
            if table.num_rows != lines and table.num_rows != filled_lines(data):
                return None
            found = {}
            for column, (key, *inner) in self._paths.items():
                found[column] = table.column(key).combine_chunks()
                for key in inner:
                    found[column] = pc.struct_field(found[column], key)
                found[column].validate(full=True)
        except (pa.ArrowException, UnicodeError):
            return None
        return found


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


def read_document(chunks: Iterable[bytes], path: str | None, name: str) -> Iterator[list[Any]]:
    """Batches of the objects of an array, or that stand one after the other.

    Parameters
    ----------
    path : str, optional
        `data.records`: the list of objects within.

    Raises
    ------
    MusicRecError
        It is damaged, or no JSON of objects, one a play.
    """
    records = _records(_document_values(chunks, name), path, name)
    while batch := list(islice(records, _ROWS)):
        yield batch


def _records(values: Iterator[Any], path: str | None, name: str) -> Iterator[Any]:
    """The objects that stand for plays; with `path` (`data.records`) those of lists within."""
    if path is not None:
        for value in values:
            yield from _at_path(value, path.split("."), name, path)
        return
    first = list(islice(values, 2))
    if len(first) == 1 and isinstance(first[0], dict):  # an object around the plays, or one play
        _refuse_columns(first[0], name)
        inner = [key for key, one in first[0].items() if isinstance(one, list)]
        if inner:
            raise MusicRecError(
                f"{name}: this is one object around the plays, with a list in "
                f"{', '.join(map(repr, inner))[:200]}; set data.records to the list of plays, such "
                f"as data.records={inner[0]}"
            )
    yield from chain(first, values)


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


def _document_values(chunks: Iterable[bytes], name: str) -> Iterator[Any]:
    """Values of an array, or that stand one after the other, as they are read."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, place, inside, enough = "", 0, False, 0
    for chunk in chain(chunks, (b"",)):
        ended = not chunk
        text, place = text[place:] + decoder.decode(chunk, final=ended), 0
        while ended or len(text) >= enough:
            while place < len(text) and text[place] in _EDGE + ("]" if inside else "["):
                inside ^= text[place] in "[]"
                place += 1
            try:
                value, end = _DECODER.raw_decode(text, place)
            except RecursionError:
                raise MusicRecError(
                    f"{name}: its JSON is nested too deeply to be read; write one flat object a "
                    "play"
                ) from None
            except ValueError as error:
                if ended and (inside or place < len(text)):
                    raise _damaged(text[place : place + 80], error, name) from None
                enough = 2 * (len(text) - place)  # before it is tried again
                break
            if end == len(text) and not ended:
                break  # a number may go on
            place, enough = end, 0
            yield value
        if len(text) - place > _LARGEST:
            raise MusicRecError(
                f"{name}: a JSON value of over {_LARGEST >> 20} MB; write one object a line"
            )


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


def _refuse_columns(record: dict[str, Any], name: str) -> None:
    """Stop at what pandas writes where it is not told otherwise: an object of columns or rows.

    Raises
    ------
    MusicRecError
        The sentence says how to write an object a play.
    """
    inner = list(record.values())
    tables = bool(inner) and all(isinstance(value, dict) for value in inner)
    numbered = tables and (
        all(key.isdigit() for value in inner for key in value) or all(map(str.isdigit, record))
    )
    lists = len(inner) > 1 and all(isinstance(value, list) for value in inner)
    if numbered or lists or {"columns", "data"} <= record.keys() <= {"columns", "index", "data"}:
        raise MusicRecError(
            f"{name}: one object holds the table by its columns or rows, as pandas writes it; "
            'write an object a play: DataFrame.to_json(path, orient="records", lines=True)'
        )


def json_paths(records: list[dict[str, Any]], mapping: Mapping, name: str) -> Paths:
    """Find the mapped fields in the first objects.

    A name is a key of the object or, dotted, of objects within: `track_metadata.track_name`.

    Raises
    ------
    MusicRecError
        A column is mapped by position, no object has a field, or it holds an object or list.
    """
    if len(records) == 1:
        _refuse_columns(records[0], name)
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
        if column not in names:
            _refuse_list_around(column, records, f"{name}: no field {column!r}")
        if any(isinstance(_at(record, found[column]), dict | list) for record in records):
            inner = ", ".join(key for key in names if key.startswith(f"{column}."))
            what = "lists; write an object for each element of the list, such as with jq"
            if inner:
                what = f"objects; name a field within: {inner[:300]}"
            raise MusicRecError(f"{name}: field {column!r} ({parameter}) holds {what}")
    positions(mapping, names, name, named=True)
    return found


def _refuse_list_around(column: str, records: list[dict[str, Any]], title: str) -> None:
    """Stop where a list holds the field, so that an object is more than one play."""
    keys = column.split(".")
    for record in records[:100]:
        for n in range(1, len(keys)):
            if isinstance(_at(record, tuple(keys[:n])), list):
                raise MusicRecError(
                    f"{title} can be named, since {keys[n - 1]!r} is a list; set data.records="
                    + ".".join(keys[:n])
                )
        for key, value in record.items():
            if isinstance(value, list) and any(isinstance(v, dict) and column in v for v in value):
                raise MusicRecError(f"{title} but in the list {key!r}; set data.records={key}")


def _names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in record.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


def _at(record: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _arrow_kinds(records: list[dict[str, Any]], paths: Paths, mapping: Mapping) -> pa.Schema | None:
    """The types by which Arrow reads fields as they are written; None where there are none.

    Texts are texts and numbers whole ones; but for ids and counts also true, false and fractions.
    Where a field has several kinds of values Arrow is not asked.
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


def _fields(kinds: dict[tuple[str, ...], pa.DataType]) -> list[pa.Field]:
    found = []
    for key in dict.fromkeys(keys[0] for keys in kinds):
        inner = {keys[1:]: kind for keys, kind in kinds.items() if keys[0] == key}
        found.append(pa.field(key, inner[()] if () in inner else pa.struct(_fields(inner))))
    return found
