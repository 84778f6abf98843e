"""Every row checked where it is read: ids, count and time of good rows, and why others are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import INVISIBLE, TITLES, ColumnMapping, Fields, renamed
from musicrec.ingest.read.layout import TextLayout
from musicrec.ingest.read.values import (
    CODES,
    NAMES,
    REASONS,
    SECOND,
    USUAL_NULLS,
    by_row,
    counts_of,
    is_text,
    times_of,
)
from musicrec.ingest.source.files import SourceFile
from musicrec.interactions.id_columns import dictionary
from musicrec.params import DataParams

_LONGEST_NULL = max(map(len, USUAL_NULLS))
_LONGEST_TITLE = 16  # bytes
_RECORDED_SINCE = -631_152_000 * SECOND  # 1950: no play was logged before


class Raw(NamedTuple):
    """Some rows of a file as they stand there."""

    fields: Fields  # mapped column -> array (n)
    number: Callable[[int], int]  # row -> its line (of text and JSON) or number from 1
    lines: int  # how many of the file these are, for the numbers of those that follow
    broken: list[tuple[int, str, str]]  # lines that are no rows: number, text, reason
    layout: TextLayout | None = None  # of text


class Bad(NamedTuple):
    """The first row that is bad for a reason: its line or number, and what it holds."""

    number: int
    value: str | None
    user: str | None
    track: str | None


class CheckedRows(NamedTuple):
    """What some rows come to.

    `good` has the columns `user_id` and `track_id` (dictionaries of texts), `count` (int64, from 1)
    and, where a timestamp is mapped, `time` (int64, microseconds since 1970).
    """

    good: pa.Table
    rows: int  # bad ones too
    lines: int
    bad: Counter[str]  # by reason
    first: dict[str, Bad]
    seen: Counter[str]  # what is no mistake by itself: `report._SEEN`, `rows_filtered`


def check(raw: Raw, mapping: ColumnMapping, file: SourceFile) -> CheckedRows:
    """Check rows: each is good, or bad for the first of `REASONS` that holds.

    That a column's type cannot hold an id, a count or a time, or that a header amid the rows has
    the columns in another order, is a MusicRecError.
    """
    params, seen = mapping.params, Counter[str]()
    columns = mapping.roles(raw.fields, file, seen)
    _require_kinds(columns, mapping, file.shown)
    n = len(columns["user"])
    kept = mapping.keep.matches(raw.fields, file.shown) if mapping.keep else np.ones(n, bool)
    asks = raw.layout is not None and raw.layout.dialect.asks
    users, of_users = _ids(columns["user"], "user", params, asks=asks)
    tracks, of_tracks = _ids(columns["track"], "track", params, asks=asks)
    codes_of = [of_users, of_tracks]
    if raw.layout is not None:
        header = _headers(users, tracks, raw.layout, file.shown)
        if raw.layout.titles is None:
            codes_of.insert(0, header * np.int8(CODES["not_a_row"]))
        else:
            kept &= ~header
            seen["header_lines"] = int(np.count_nonzero(header))
    if mapping.keep is not None:
        seen["rows_filtered"] = n - int(np.count_nonzero(kept)) - seen["header_lines"]
    good = {"user_id": users, "track_id": tracks, "count": pa.array(np.ones(n, np.int64))}
    if "count" in columns:
        counts, codes = counts_of(columns["count"], params)
        good["count"] = pa.array(counts)
        codes_of.append(codes)
    if "timestamp" in columns:
        times, codes = times_of(columns["timestamp"], params.time_format)
        good["time"] = pa.array(times)
        codes_of.append(codes)
    codes = reduce(lambda one, other: np.where(one > 0, one, other), codes_of)
    codes[~kept] = 0
    kept &= codes == 0
    if not kept.all():
        good = {name: column.filter(pa.array(kept)) for name, column in good.items()}
    if mapping.aliases is not None:
        bad, usual = mapping.aliases
        texts = good["track_id"].dictionary
        places = pc.index_in(texts, value_set=bad)
        good["track_id"] = renamed(good["track_id"], pc.coalesce(usual.take(places), texts))
    seen.update(_unusual(good))
    rows = n + len(raw.broken) - seen["header_lines"]
    return CheckedRows(pa.table(good), rows, raw.lines, *_bad_rows(raw, columns, codes), seen)


def _unusual(good: dict[str, pa.Array]) -> Counter[str]:
    """How many good rows have a time, or a word as an id, that may stand for a missing one."""
    seen = Counter[str]()
    if "time" in good:
        times = good["time"].to_numpy()
        missing = (times == 0) | (times == -SECOND) | (times < _RECORDED_SINCE)
        seen["times_of_zero"] = int(np.count_nonzero(missing))
    for role in ("user", "track"):
        ids = good[f"{role}_id"]
        if _shortest(ids.dictionary) <= _LONGEST_NULL:
            words = _distinct(pc.is_in(ids.dictionary, value_set=pa.array(USUAL_NULLS)))
            seen[f"null words {role}"] = int(np.count_nonzero(by_row(ids, words)))
    return seen


def _require_kinds(columns: dict[str, pa.Array], mapping: ColumnMapping, file: str) -> None:
    """Stop where a column's type cannot hold what its role asks for."""
    asked = {"count": "numbers", "timestamp": "numbers, dates or times"}
    for role, column in columns.items():
        kind, is_id = column.type, role in ("user", "track")
        good = is_text(kind) or pa.types.is_integer(kind)
        good |= pa.types.is_decimal(kind) and (not is_id or kind.scale == 0)
        good |= pa.types.is_floating(kind) and not is_id
        good |= role == "timestamp" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
        if not good:
            raise MusicRecError(
                f"{file}: column {getattr(mapping.params.columns, role)!r} (data.columns.{role}) "
                f"holds {kind} values; it must hold {asked.get(role, 'text or whole numbers')}"
            )


def _ids(
    column: pa.Array, role: str, params: DataParams, *, asks: bool
) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Ids as texts without invisible characters around them, and `CODES` of each row."""
    words = params.null_words or ""
    nulls = USUAL_NULLS if words == "usual" else tuple(map(str.strip, words.split(",")))
    ids = dictionary(column)
    texts, missing = ids.dictionary, CODES[f"{role}_missing"]
    codes = np.zeros(len(texts) + 1, np.int8)
    codes[-1] = missing
    if asks and pc.any(pc.starts_with(texts, '"')).as_py():
        codes[_distinct(pc.match_substring_regex(texts, '(?s)^".*"$'))] = CODES["in_quotes"]
    plain = not words and _is_plain(texts)
    if not plain:
        texts = pc.utf8_trim(texts, INVISIBLE)
        for character in ("\ufffd", "\0"):  # of bytes that were no text
            codes[_distinct(pc.match_substring(texts, character))] = CODES[f"{role}_not_text"]
        codes[_distinct(pc.is_in(texts, value_set=pa.array(["", *nulls])))] = missing
    return (ids if plain else renamed(ids, texts)), by_row(ids, codes)


def _distinct(found: pa.Array) -> np.ndarray:
    """A bool of each distinct value, and one more for nulls."""
    return np.append(pc.fill_null(found, False).to_numpy(zero_copy_only=False), False)


def _shortest(texts: pa.StringArray) -> int:
    """Bytes of the shortest text."""
    shortest = pc.min(pc.binary_length(texts)).as_py()
    return 0 if shortest is None else shortest


def _is_plain(texts: pa.StringArray) -> bool:
    """Whether all are of visible ASCII characters alone, none is blank or null: by their bytes."""
    if texts.null_count or _shortest(texts) == 0:
        return False
    content = np.frombuffer(texts.buffers()[2], np.uint8)
    return bool(content.min() > ord(" ") and content.max() <= ord("~"))


def _headers(
    users: pa.DictionaryArray, tracks: pa.DictionaryArray, layout: TextLayout, file: str
) -> np.ndarray:
    """Whether a row is a header again, as where files were joined: bool (n)."""
    titles = layout.titles or ()
    longest = 2 * max(map(len, titles)) + 4 if titles else _LONGEST_TITLE
    patterns = [rf"(?i)^(# ?)?\Q{title}\E$" for title in titles] or TITLES

    def called(*patterns: str) -> np.ndarray:
        found = np.ones(len(users), bool)
        for ids, pattern in zip((users, tracks), patterns, strict=True):
            short = pc.less_equal(pc.binary_length(ids.dictionary), longest)
            if not (found.any() and pc.any(short).as_py()):
                return np.zeros(len(users), bool)
            texts = pc.if_else(short, ids.dictionary, "")
            found &= by_row(ids, _distinct(pc.match_substring_regex(texts, pattern)))
        return found

    if len(set(titles)) != 1 and called(*reversed(patterns)).any():
        raise MusicRecError(
            f"{file}: a line amid the rows names the columns in another order than the header; "
            "keep files of different columns apart"
        )
    return called(*patterns)


def _bad_rows(
    raw: Raw, columns: dict[str, pa.Array], codes: np.ndarray
) -> tuple[Counter[str], dict[str, Bad]]:
    """Number of bad rows by reason, and the first of each."""
    bad = Counter(reason for _, _, reason in raw.broken)
    first: dict[str, Bad] = {}
    for number, text, reason in raw.broken:
        first.setdefault(reason, Bad(number, text, None, None))
    for code in np.unique(codes[codes > 0]) if codes.any() else ():
        reason, rows = NAMES[code], np.flatnonzero(codes == code)
        bad[reason] += len(rows)
        values = {name: column[int(rows[0])].as_py() for name, column in columns.items()}
        at = {name: None if value is None else str(value) for name, value in values.items()}
        role = REASONS[reason][0]
        value = at[role] if role else " ".join(map(str, at.values()))
        here = Bad(raw.number(int(rows[0])), value, at["user"], at["track"])
        first[reason] = min(here, first.get(reason, here), key=lambda one: one.number)
    return bad, first
