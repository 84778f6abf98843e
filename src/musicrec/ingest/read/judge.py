"""Every row judged where it is read: ids, count and time of good rows, and why others are bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import INVISIBLE, TITLES, Fields, Mapping
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
from musicrec.interactions.coded import dictionary

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


class Chunk(NamedTuple):
    """Good rows: ids, counts from 1, and times in microseconds where they are mapped."""

    users: pa.DictionaryArray
    tracks: pa.DictionaryArray
    counts: np.ndarray
    times: np.ndarray | None


class Bad(NamedTuple):
    """Rows that are bad for one reason, and the first of them."""

    rows: int
    number: int
    value: str | None
    user: str | None
    track: str | None


class Judged(NamedTuple):
    """What some rows come to."""

    chunk: Chunk
    rows: int  # bad ones too
    lines: int
    bad: dict[str, Bad]  # by reason
    seen: Counter[str]  # what is no mistake by itself: `report.SEEN`, `rows_filtered`, FORMS


def judge(raw: Raw, mapping: Mapping, file: str) -> Judged:
    """Judge rows: each is good, or bad for the first of `REASONS` that holds.

    Raises
    ------
    MusicRecError
        A column's type cannot hold an id, a count or a time; a header amid the rows has the columns
        in another order.
    """
    params, seen = mapping.params, Counter[str]()
    columns, filtered = mapping.roles(raw.fields, seen, file)
    _require_kinds(columns, mapping, file)
    n = len(columns["user"])
    counts, times = np.ones(n, np.int64), None
    nulls = null_words(params.null_words)
    asking = raw.layout is not None and raw.layout.quotes_open
    users, of_users = _ids(columns["user"], "user", nulls, quotes_open=asking)
    tracks, of_tracks = _ids(columns["track"], "track", nulls, quotes_open=asking)
    found, again = [of_users, of_tracks], np.zeros(n, bool)
    if raw.layout is not None:
        again = _headers(users, tracks, raw.layout, file)
        if raw.layout.titles is None:
            found.insert(0, again * np.int8(CODES["not_a_row"]))
            again = np.zeros(n, bool)
    if "count" in columns:
        counts, codes = counts_of(columns["count"], params)
        found.append(codes)
    if "timestamp" in columns:
        times, codes, forms = times_of(columns["timestamp"], mapping.time_pattern)
        found.append(codes)
        seen.update(forms)
    codes = _first(found)
    codes[filtered | again] = 0
    kept = (codes == 0) & ~filtered & ~again
    seen["header_lines"] = int(np.count_nonzero(again))
    if mapping.keep is not None:
        seen["rows_filtered"] = int(np.count_nonzero(filtered & ~again))
    if not kept.all():
        chosen = pa.array(kept)
        users, tracks, counts = users.filter(chosen), tracks.filter(chosen), counts[kept]
        times = None if times is None else times[kept]
    if times is not None:
        missing = (times == 0) | (times == -SECOND) | (times < _RECORDED_SINCE)
        seen["times_of_zero"] = int(np.count_nonzero(missing))
    tracks = mapping.renamed(tracks)
    for role, ids in (("user", users), ("track", tracks)):
        if _shortest(ids.dictionary) <= _LONGEST_NULL:
            words = pc.is_in(ids.dictionary, value_set=pa.array(USUAL_NULLS))
            if pc.any(words).as_py():
                seen[f"null words {role}"] = int(np.count_nonzero(by_row(ids, _distinct(words))))
    rows = n + len(raw.broken) - seen["header_lines"]
    bad = _bad_rows(raw, columns, codes)
    return Judged(Chunk(users, tracks, counts, times), rows, raw.lines, bad, seen)


def _first(found: list[np.ndarray]) -> np.ndarray:
    """The first code of each row that is not 0."""
    codes = np.zeros(len(found[0]), np.int8)
    for more in reversed(found):
        if more.any():
            codes = np.where(more > 0, more, codes)
    return codes


def _require_kinds(columns: dict[str, pa.Array], mapping: Mapping, file: str) -> None:
    """Stop where a column's type cannot hold what its role asks for."""
    for role, column in columns.items():
        kind, is_id = column.type, role in ("user", "track")
        number = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
        if not is_id:
            number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            number = number or pa.types.is_decimal(kind)
        date = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        if not (is_text(kind) or number or (date and role == "timestamp")):
            ask = {"count": "numbers", "timestamp": "numbers, dates or times"}
            raise MusicRecError(
                f"{file}: column {getattr(mapping.params.columns, role)!r} (data.columns.{role}) "
                f"holds {kind} values; it must hold {ask.get(role, 'text or whole numbers')}"
            )


def null_words(choice: str | None) -> tuple[str, ...]:
    """The words of `data.null_words`."""
    if choice == "usual":
        return USUAL_NULLS
    return tuple(word.strip() for word in (choice or "").split(",") if word.strip())


def _ids(
    column: pa.Array, role: str, nulls: tuple[str, ...], *, quotes_open: bool
) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Ids as texts without invisible characters around them, and `CODES` of each row."""
    ids = dictionary(column)
    texts, missing = ids.dictionary, CODES[f"{role}_missing"]
    codes = np.zeros(len(texts) + 1, np.int8)
    codes[-1] = missing
    if quotes_open and pc.any(pc.starts_with(texts, '"')).as_py():
        codes[_distinct(pc.match_substring_regex(texts, '(?s)^".*"$'))] = CODES["in_quotes"]
    if nulls or not _is_plain(texts):
        texts = pc.utf8_trim(texts, INVISIBLE)
        for character in ("\ufffd", "\0"):  # of bytes that were no text
            codes[_distinct(pc.match_substring(texts, character))] = CODES[f"{role}_not_text"]
        codes[_distinct(pc.is_in(texts, value_set=pa.array(["", *nulls])))] = missing
        ids = pa.DictionaryArray.from_arrays(ids.indices, texts)
    if ids.indices.null_count or codes[:-1].any():
        return ids, by_row(ids, codes)
    return ids, np.zeros(len(ids), np.int8)


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
    user, track = layout.titles or ("", "")
    longest = 2 * max(len(user), len(track)) + 4 if layout.titles else _LONGEST_TITLE
    patterns = [rf"(?i)^(# ?)?\Q{title}\E$" for title in layout.titles or ()] or TITLES

    def called(user: str, track: str) -> np.ndarray:
        found = np.ones(len(users), bool)
        for ids, pattern in ((users, user), (tracks, track)):
            short = pc.less_equal(pc.binary_length(ids.dictionary), longest)
            if not (found.any() and pc.any(short).as_py()):
                return np.zeros(len(users), bool)
            texts = pc.if_else(short, ids.dictionary, "")
            found &= by_row(ids, _distinct(pc.match_substring_regex(texts, pattern)))
        return found

    if user != track and called(patterns[1], patterns[0]).any():
        raise MusicRecError(
            f"{file}: a line amid the rows names the columns in another order than the header; "
            "keep files of different columns apart"
        )
    return called(*patterns)


def _bad_rows(raw: Raw, columns: dict[str, pa.Array], codes: np.ndarray) -> dict[str, Bad]:
    found: dict[str, Bad] = {}
    for number, text, reason in raw.broken:
        known = found.setdefault(reason, Bad(0, number, text, None, None))
        found[reason] = known._replace(rows=known.rows + 1)
    for code in np.unique(codes[codes > 0]) if codes.any() else ():
        reason, rows = NAMES[code], np.flatnonzero(codes == code)
        at = {name: column[int(rows[0])].as_py() for name, column in columns.items()}
        at = {name: value if value is None else str(value) for name, value in at.items()}
        role = REASONS[reason][0]
        value = at[role] if role else " ".join(map(str, at.values()))
        here = Bad(len(rows), raw.number(int(rows[0])), value, at["user"], at["track"])
        known = found.get(reason, here._replace(rows=0))
        first = min(here, known, key=lambda bad: bad.number)
        found[reason] = first._replace(rows=here.rows + known.rows)
    return found
