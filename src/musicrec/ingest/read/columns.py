"""Which columns of the source are which: found by name or position, and put together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.aliases import NO_ALIASES, Aliases
from musicrec.ingest.read.keep import Filter
from musicrec.ingest.read.times import python_pattern
from musicrec.params import ROLES, DataParams

FILE_NAME = "@file"  # a column: the name of the file, without its endings
Column = str | int
# Characters that cannot be seen at the edge of a field: controls, blanks of all widths, marks.
_RANGES = ((0, 0x20), (0x7F, 0x7F), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
           (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x2064), (0x3000, 0x3000),
           (0xFEFF, 0xFEFF))  # fmt: skip
INVISIBLE = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_SLASH = re.compile(r"\\*/")


@dataclass(frozen=True)
class Mapping:
    """The columns that `data.columns` and `data.keep` ask for.

    Attributes
    ----------
    parameter : dict
        Column -> the parameter that names it, for messages.
    in_path : frozenset of str
        Those that stand in the names of folders, or are the file's own.
    time_pattern : str, optional
        Of `times.python_pattern`.
    """

    params: DataParams
    parameter: dict[Column, str]
    in_path: frozenset[str]
    keep: Filter | None
    time_pattern: str | None
    aliases: Aliases

    @property
    def wanted(self) -> list[Column]:
        """Columns to read from the files."""
        return [column for column in self.parameter if column not in self.in_path]

    @property
    def ids(self) -> frozenset[Column]:
        """Columns of users and tracks."""
        columns = self.params.columns
        found: list[Column] = []
        for column in (columns.user, columns.track, columns.track_else):
            found += column if isinstance(column, tuple) else [] if column is None else [column]
        return frozenset(found)

    @property
    def exact(self) -> frozenset[Column]:
        """Columns whose numbers must be read as they are written: ids and counts."""
        count = self.params.columns.count
        return self.ids if count is None else self.ids | {count}

    def roles(
        self, fields: dict[Column, pa.Array], seen: Counter[str], file: str
    ) -> tuple[dict[str, pa.Array], np.ndarray | None]:
        """The column of each role, and the rows (bool) that `data.keep` leaves out, if it is set.

        Parameters
        ----------
        fields : dict
            Mapped column -> array (n).
        seen : Counter
            Gets `fell_back`: rows whose track is that of `data.columns.track_else`.
        """
        columns = self.params.columns
        found = {}
        for role in ROLES:
            column = getattr(columns, role)
            if isinstance(column, tuple):
                found[role] = _joined([fields[part] for part in column])
            elif column is not None:
                found[role] = fields[column]
        if columns.track_else is not None:
            track = _text(found["track"])
            blank = pc.fill_null(pc.equal(pc.utf8_trim(track, INVISIBLE), ""), True)
            seen["fell_back"] += pc.sum(blank).as_py() or 0
            found["track"] = pc.if_else(blank, _text(fields[columns.track_else]), track)
        if self.keep is None:
            return found, None
        return found, ~self.keep.matches(fields, file)


def mapping_of(
    params: DataParams, relatives: Sequence[str], aliases: Aliases = NO_ALIASES
) -> Mapping:
    """Tell which columns to read.

    Parameters
    ----------
    relatives : sequence of str
        The files' paths below the source.
    """
    parameter: dict[Column, str] = {}
    for name in (*ROLES, "track_else"):
        column = getattr(params.columns, name)
        for part in column if isinstance(column, tuple) else (column,):
            if part is not None:
                parameter.setdefault(part, f"data.columns.{name}")
    keep = None if params.keep is None else Filter(params.keep)
    for column in () if keep is None else keep.columns:
        parameter.setdefault(column, "data.keep")
    common: set[str] | None = None
    for relative in relatives:
        names = set(_path_values(relative))
        common = names if common is None else common & names
    in_path = frozenset(c for c in parameter if isinstance(c, str) and c in (common or ()))
    pattern = python_pattern(params.time_format)
    return Mapping(params, parameter, in_path, keep, pattern, aliases)


def path_fields(mapping: Mapping, relative: str, n: int) -> dict[Column, pa.Array]:
    """The columns that stand in a file's path: n times the same value."""
    values = _path_values(relative)
    return {
        name: pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(n, np.int32)), pa.array([values[name]], pa.string())
        )
        for name in mapping.in_path
    }


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


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _joined(parts: list[pa.Array]) -> pa.Array:
    """Several columns as one text, such as `artist / title`; null where one is null or blank.

    A lone slash within a column gets a backslash (and a lone backslash-slash one more), so that
    different columns never give the same text.
    """
    trimmed = []
    for part in parts:
        encoded = _text(part).dictionary_encode()
        texts = pc.utf8_trim(encoded.dictionary, INVISIBLE)
        plain = [None if text == "" else _escaped(text) for text in texts.to_pylist()]
        trimmed.append(pa.array(plain, pa.string()).take(encoded.indices))
    return pc.binary_join_element_wise(*trimmed, " / ")


def _escaped(text: str) -> str:
    if "/" not in text:
        return text
    return " ".join("\\" + w if _SLASH.fullmatch(w) else w for w in text.split(" "))


def positions(
    mapping: Mapping, names: tuple[str, ...], file: str, *, named: bool
) -> dict[Column, int]:
    """Find the wanted columns among a file's.

    Parameters
    ----------
    names : tuple of str
        A name for each column; without meaning where not `named`.

    Raises
    ------
    MusicRecError
        A column is missing, there twice, or asked for by name in a file without a header; two roles
        have one column.
    """
    found = {
        column: _position(column, mapping.parameter[column], names, file, named=named)
        for column in mapping.wanted
    }
    taken: dict[int, str] = {}
    for role in ROLES:
        column = getattr(mapping.params.columns, role)
        if column is None or isinstance(column, tuple) or column not in found:
            continue
        if found[column] in taken:
            raise MusicRecError(
                f"{file}: data.columns.{taken[found[column]]} and data.columns.{role} are the same "
                f"column, {column!r}"
            )
        taken[found[column]] = role
    return found


def _position(
    column: Column, parameter: str, names: tuple[str, ...], file: str, *, named: bool
) -> int:
    shown = ", ".join(names) if named else f"{len(names)} columns and no header"
    if isinstance(column, int):
        if column < len(names):
            return column
        raise MusicRecError(
            f"{file}: no column {column} ({parameter}, counted from 0); the file has: {shown[:300]}"
        )
    places = [i for i, name in enumerate(names) if name == column] if named else []
    if len(places) != 1:
        what = "no column" if not places else f"{len(places)} columns named"
        hint = "" if places else near([column], names)
        raise MusicRecError(
            f"{file}: {what} {column!r}; the file has: {shown[:300]}; {hint}set {parameter}"
        )
    return places[0]


def near(wanted: Iterable[str], names: Sequence[str]) -> str:
    """Suggest the names that differ in case or little else."""
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in names if name}
    keys = (re.sub(r"[\W_]", "", column).lower() for column in wanted)
    likely = [plain[k] for word in keys for k in get_close_matches(word, plain, n=1, cutoff=0.85)]
    return f"did you mean {' and '.join(map(repr, likely))}? " if likely else ""
