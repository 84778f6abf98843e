"""Which columns of the source are which: found by name or position, put together, renamed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.keep import Condition
from musicrec.ingest.source.files import SourceFile
from musicrec.ingest.source.packed import open_plain, text_chunks
from musicrec.params import ROLES, DataParams

FILE_NAME = "@file"  # a column: the name of the file, without its endings
Column = str | int
Fields = dict[Column, pa.Array]
# Characters that cannot be seen at the edge of a field: controls, blanks of all widths, marks.
_RANGES = ((0, 0x20), (0x7F, 0x7F), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
           (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x2064), (0x3000, 0x3000),
           (0xFEFF, 0xFEFF))  # fmt: skip
INVISIBLE = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
# What columns of users and of tracks are called, where nobody maps them by name.
TITLES = (
    r"(?i)^(user|listener|member|account|session)[ _-]?(id|name)?$",
    r"(?i)^(track|song|item|artist|movie|title|media|recording)[ _-]?(id|name|uri)?$",
)
_OF_IDS = {f"data.columns.{name}" for name in ("user", "track", "track_else")}
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_SLASH = re.compile(r"(?<![^ ])\\*/(?![^ ])")  # alone between blanks


@dataclass(frozen=True)
class ColumnMapping:
    """The columns that `data.columns` and `data.keep` ask for."""

    params: DataParams
    parameter: dict[Column, str]  # column -> the parameter that names it, for messages
    in_path: frozenset[str]  # those in the names of folders, or of the file
    ids: frozenset[Column]  # those of users and tracks
    keep: Condition | None
    aliases: tuple[pa.Array, pa.Array] | None  # bad ids of tracks, and the good ones

    @property
    def wanted(self) -> list[Column]:
        """Columns to read from the files."""
        return [column for column in self.parameter if column not in self.in_path]

    @property
    def names(self) -> list[str]:
        """Those of them that are named."""
        return [column for column in self.wanted if isinstance(column, str)]

    @property
    def last(self) -> int:
        """The largest position."""
        return max((column for column in self.wanted if isinstance(column, int)), default=0)

    def roles(self, fields: Fields, file: SourceFile, seen: Counter[str]) -> dict[str, pa.Array]:
        """The column of each role; columns in the file's path are put into `fields`.

        `seen` gets how many rows have the track of `data.columns.track_else`.
        """
        n, in_path = len(next(iter(fields.values()))), _path_values(file.relative)
        for name in self.in_path:
            value = pa.array([in_path[name]], pa.string())
            fields[name] = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), value)
        columns, found = self.params.columns, {}
        for role in ROLES:
            column = getattr(columns, role)
            if isinstance(column, tuple):
                found[role] = _joined([fields[part] for part in column])
            elif column is not None:
                found[role] = fields[column]
        if columns.track_else is not None:
            track = found["track"].cast(pa.string())
            blank = pc.fill_null(pc.equal(pc.utf8_trim(track, INVISIBLE), ""), True)
            seen["rows_of_track_else"] = pc.sum(blank).as_py() or 0
            found["track"] = pc.if_else(blank, fields[columns.track_else].cast(pa.string()), track)
        return found


def mapping_of(
    params: DataParams, relatives: Sequence[str], aliases: dict[str, str] | None = None
) -> ColumnMapping:
    """Tell which columns to read from files whose paths below the source are `relatives`.

    That all of them are in the paths is a MusicRecError.
    """
    parameter: dict[Column, str] = {}
    for name, column in params.columns:
        for part in column if isinstance(column, tuple) else (column,):
            if part is not None:
                parameter.setdefault(part, f"data.columns.{name}")
    keep = None if params.keep is None else Condition(params.keep)
    for column in () if keep is None else keep.columns:
        parameter.setdefault(column, "data.keep")
    paths = [set(_path_values(relative)) for relative in relatives]
    common = set.intersection(*paths) if paths else set()
    in_path = frozenset(c for c in parameter if isinstance(c, str) and c in common)
    if len(in_path) == len(parameter):
        raise MusicRecError(
            f"{params.source}: data.columns names folders and files alone, so that no column says "
            "what a play is; map the column of the track, the count or the time"
        )
    ids = frozenset(column for column, name in parameter.items() if name in _OF_IDS)
    pairs = (pa.array(list(aliases)), pa.array(list(aliases.values()))) if aliases else None
    return ColumnMapping(params, parameter, in_path, ids, keep, pairs)


def _path_values(relative: str) -> dict[str, str | None]:
    """Columns in the names of folders, as Hive writes them (`user=7/part-0`), and FILE_NAME."""
    *folders, name = relative.split("/")
    found: dict[str, str | None] = {FILE_NAME: name.split(".")[0] or name}
    for folder in folders:
        column, equals, value = folder.partition("=")
        if equals:
            plain = unquote(value, errors="replace")
            found[column] = None if value == _HIVE_NULL else value if "\ufffd" in plain else plain
    return found


def renamed(ids: pa.DictionaryArray, texts: pa.Array) -> pa.DictionaryArray:
    """The same rows under other `texts` of the dictionary, of which equal ones become one."""
    encoded = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(ids.indices), encoded.dictionary)


def _joined(parts: list[pa.Array]) -> pa.Array:
    """Several columns as one text, such as `artist / title`; null where one is null or blank.

    A lone slash within a column gets a backslash, so that different columns never give one text.
    """
    trimmed = []
    for part in parts:
        encoded = part.cast(pa.string()).dictionary_encode()
        texts = pc.utf8_trim(encoded.dictionary, INVISIBLE).to_pylist()
        plain = [_SLASH.sub(r"\\\g<0>", text) or None for text in texts]
        trimmed.append(pa.array(plain, pa.string()).take(encoded.indices))
    return pc.binary_join_element_wise(*trimmed, " / ")


def positions(
    mapping: ColumnMapping, names: tuple[str, ...], file: str, *, named: bool
) -> dict[Column, int]:
    """Find the wanted columns among a file's `names`, which have no meaning where not `named`."""
    shown = ", ".join(names)[:300] if named else f"{len(names)} columns and no header"
    found: dict[Column, int] = {}
    for column in mapping.wanted:
        parameter = mapping.parameter[column]
        if isinstance(column, int) and column >= len(names):
            raise MusicRecError(
                f"{file}: no column {column} ({parameter}, counted from 0); the file has: {shown}"
            )
        at = [i for i, name in enumerate(names) if named and name == column]
        if isinstance(column, str) and len(at) != 1:
            what = f"{len(at)} columns named" if at else "no column"
            raise MusicRecError(
                f"{file}: {what} {column!r}; the file has: {shown}; set {parameter}"
            )
        found[column] = column if isinstance(column, int) else at[0]
    taken: dict[int, str] = {}
    for role in ROLES:
        column = getattr(mapping.params.columns, role)
        if column in found and taken.setdefault(found[column], role) != role:
            raise MusicRecError(
                f"{file}: data.columns.{taken[found[column]]} and data.columns.{role} are the same "
                f"column, {column!r}"
            )
    return found


def read_aliases(name: str | None, files: list[SourceFile]) -> tuple[dict[str, str], str]:
    """Read `data.aliases`: a bad id and the good one, with a tab, comma or blank between them.

    `name` is the path of one of the source's `files` below it, or a path. Returns bad id -> good
    one, chains followed to their ends, and the path of the file.
    """
    if name is None:
        return {}, ""
    file = next((file for file in files if file.relative == name), None)
    if file is None and not Path(name).is_file():
        raise MusicRecError(f"data.aliases = {name!r}: no such file in the source or here")
    file = file or SourceFile(Path(name).name, name, Path(name).stat().st_size, name)
    with open_plain(file) as stream:
        text = b"".join(text_chunks(stream, file, "utf-8")).decode("utf-8", "replace")
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        separator = next((s for s in ("\t", ",") if s in line), None)
        fields = [field.strip() for field in line.split(separator)]
        if not any(fields) or (fields[1:] and not all(fields)):
            continue  # Audioscrobbler's file has lines without the bad id
        if len(fields) != 2 or pairs.setdefault(fields[0], fields[1]) != fields[1]:
            raise MusicRecError(
                f"{file.shown}: line {number}, {line[:60]!r}, must hold two ids, a bad one and the "
                "one good one"
            )
    for bad, good in pairs.items():
        seen = {bad}
        while pairs.get(good, good) != good:
            if good in seen:
                raise MusicRecError(f"{file.shown}: the aliases of {bad!r} lead in a circle")
            seen.add(good)
            good = pairs[good]
        pairs[bad] = good
    return pairs, file.path
