"""Every row judged where it is read: ids, count and time of good rows, and why others are bad."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.columns import INVISIBLE, Mapping
from musicrec.ingest.read.counts import counts_of
from musicrec.ingest.read.reasons import CODES, NAMES, wrong_type
from musicrec.ingest.read.times import SECOND, Times, times_of
from musicrec.interactions.coded import dictionary
from musicrec.params import DataParams

# What programs write where there is no value.
USUAL_NULLS = (
    "\\N", "NULL", "null", "Null", "None", "none", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "<NA>",
    "#N/A", "nil", "undefined",
)  # fmt: skip
_LONGEST_NULL = max(map(len, USUAL_NULLS))
_RECORDED_SINCE = -631_152_000 * SECOND  # 1950: no play was logged before
# What columns of users and of tracks are called, in a header amid rows that nobody maps by name.
_USER_TITLE = r"(?i)^(user|listener|member|account|session)[ _-]?(id|name)?$"
_LONGEST_TITLE = 16  # bytes
_TRACK_TITLE = r"(?i)^(track|song|item|artist|movie|title|media|recording)[ _-]?(id|name|uri)?$"


class Raw(NamedTuple):
    """Some rows of a file as they stand there.

    Attributes
    ----------
    fields : dict
        Mapped column -> Arrow array (n).
    numbers : callable
        Row -> its line (of text and JSON) or number from 1.
    lines : int
        How many lines or rows of the file these are, for the numbers of those that follow.
    broken : list of tuple
        Lines that are no rows: number, text, reason.
    titles : tuple of str, optional
        User's and track's column as the header calls them, in lower case.
    quotes_open : bool
        Whether it is not stated that quotes are text.
    is_text : bool
        Whether a header may stand amid the rows.
    """

    fields: dict[str | int, pa.Array]
    numbers: Callable[[int], int]
    lines: int
    broken: list[tuple[int, str, str]]
    titles: tuple[str, str] | None = None
    quotes_open: bool = False
    is_text: bool = False


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
    """What some rows come to.

    Attributes
    ----------
    chunk : Chunk
    rows, lines : int
        Bad ones too.
    bad : dict
        Reason -> Bad.
    seen : Counter
        What is no mistake by itself, in rows: `null words user`, `null words track`,
        `times_of_zero`, `times_too_early`, `fell_back`, `filtered`, `header_lines`.
    forms : int
        Forms of times, or-ed.
    """

    chunk: Chunk
    rows: int
    lines: int
    bad: dict[str, Bad]
    seen: Counter[str]
    forms: int


def null_words(choice: str | None) -> tuple[str, ...]:
    """The words of `data.null_words`."""
    if choice is None:
        return ()
    if choice == "usual":
        return USUAL_NULLS
    return tuple(word.strip() for word in choice.split(",") if word.strip())


def judge(raw: Raw, mapping: Mapping, params: DataParams, file: str) -> Judged:
    """Judge rows: each is good, or bad for the first of `REASONS` that holds.

    Raises
    ------
    MusicRecError
        A column's type cannot hold an id, a count or a time; a header amid the rows has the columns
        in another order.
    """
    seen: Counter[str] = Counter()
    columns, left_out = mapping.roles(raw.fields, seen, file)
    n = len(columns["user"])
    users, user_codes = _ids(columns["user"], "user", params, file)
    tracks, track_codes = _ids(columns["track"], "track", params, file)
    again = np.zeros(n, bool)
    if raw.is_text:
        again = _titles(users, tracks, raw.titles, file)
    codes = again * np.int8(CODES["not_a_row"] if raw.titles is None else 0)
    for more in (user_codes, track_codes):
        codes = _first(codes, more)
    if raw.quotes_open:
        for ids in (users, tracks):
            quoted = pc.starts_with(ids.dictionary, '"')
            if pc.any(quoted).as_py():
                quoted = pc.and_(quoted, pc.match_substring_regex(ids.dictionary, '.(?s:.*)"$'))
                codes = _first(codes, _by_row(ids, quoted) * np.int8(CODES["in_quotes"]))
    counts, times, forms = np.ones(n, np.int64), None, 0
    if "count" in columns:
        kind = columns["count"].type
        if not (_is_text(kind) or _is_number(kind)):
            raise wrong_type("count", kind, file, params.columns)
        counts, more = counts_of(columns["count"], params)
        codes = _first(codes, more)
    if "timestamp" in columns:
        found = _times(columns["timestamp"], mapping, params, file)
        codes = _first(codes, found.codes)
        times, forms = found.values, found.forms
        good = codes == 0
        seen["times_of_zero"] += int(np.count_nonzero(good & (times == 0)))
        early = (times == -SECOND) | (times < _RECORDED_SINCE)
        seen["times_too_early"] += int(np.count_nonzero(good & early))
    if raw.titles is not None and again.any():
        seen["header_lines"] += int(np.count_nonzero(again))
        left_out = again if left_out is None else left_out | again
    bad = _bad_rows(raw, columns, codes, left_out)
    kept = codes == 0
    if left_out is not None:
        kept &= ~left_out
        seen["filtered"] += int(np.count_nonzero(left_out)) - seen["header_lines"]
    if not kept.all():
        chosen = pa.array(kept)
        users, tracks, counts = users.filter(chosen), tracks.filter(chosen), counts[kept]
        times = None if times is None else times[kept]
    tracks = mapping.aliases.applied(tracks)
    for role, ids in (("user", users), ("track", tracks)):
        if _shortest(ids.dictionary) > _LONGEST_NULL:
            continue
        word = pc.is_in(ids.dictionary, value_set=pa.array(USUAL_NULLS))
        if pc.any(word).as_py():
            seen[f"null words {role}"] += int(np.count_nonzero(_by_row(ids, word)))
    chunk = Chunk(users, tracks, counts, times)
    rows = n + len(raw.broken) - seen["header_lines"]
    return Judged(chunk, rows, raw.lines, bad, seen, forms)


def _first(codes: np.ndarray, more: np.ndarray) -> np.ndarray:
    return np.where(codes == 0, more, codes) if more.any() else codes


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _times(column: pa.Array, mapping: Mapping, params: DataParams, file: str) -> Times:
    kind = column.type
    date = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if not (_is_text(kind) or _is_number(kind) or date):
        raise wrong_type("timestamp", kind, file, params.columns)
    return times_of(column, mapping.time_pattern)


def _ids(
    column: pa.Array, role: str, params: DataParams, file: str
) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Ids as texts without invisible characters around them, and `CODES` of each row."""
    kind = column.type
    whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    if not (_is_text(kind) or whole):
        raise wrong_type(role, kind, file, params.columns)
    ids = dictionary(column)
    texts = ids.dictionary
    if _is_plain(texts) and params.null_words is None and not ids.indices.null_count:
        return ids, np.zeros(len(ids), np.int8)
    trimmed = pc.utf8_trim(texts, INVISIBLE)
    if not trimmed.equals(texts):
        ids = pa.DictionaryArray.from_arrays(ids.indices, trimmed)
    words = pa.array(["", *null_words(params.null_words)])
    missing = pc.is_in(trimmed, value_set=words).to_numpy(zero_copy_only=False)
    flaws = missing * np.int8(CODES[f"{role}_missing"])
    for character in ("\ufffd", "\0"):  # of bytes that were no text
        found = pc.match_substring(trimmed, character)
        flaws[found.to_numpy(zero_copy_only=False) & ~missing] = CODES[f"{role}_not_text"]
    if ids.indices.null_count:
        flaws = np.append(flaws, np.int8(CODES[f"{role}_missing"]))
        return ids, flaws[ids.indices.fill_null(len(trimmed)).to_numpy(zero_copy_only=False)]
    if not flaws.any():
        return ids, np.zeros(len(ids), np.int8)
    return ids, flaws[ids.indices.to_numpy()]


def _shortest(texts: pa.StringArray) -> int:
    """Bytes of the shortest text."""
    return int(np.diff(_offsets(texts)).min(initial=1 << 30))


def _offsets(texts: pa.StringArray) -> np.ndarray:
    bounds = texts.buffers()[1]
    if bounds is None:
        return np.zeros(1, np.int32)
    return np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _is_plain(texts: pa.StringArray) -> bool:
    """Whether all are of visible ASCII characters alone, none is blank or null: by their bytes."""
    if texts.null_count or not len(texts) or _shortest(texts) == 0:
        return False
    bounds = _offsets(texts)
    content = np.frombuffer(texts.buffers()[2], np.uint8)[bounds[0] : bounds[-1]]
    return bool(content.min() > ord(" ") and content.max() <= ord("~"))


def _by_row(ids: pa.DictionaryArray, of_values: pa.Array) -> np.ndarray:
    """A bool of each row, from one of each distinct id."""
    values = np.append(of_values.to_numpy(zero_copy_only=False), False)
    places = ids.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(values[places])


def _titles(
    users: pa.DictionaryArray, tracks: pa.DictionaryArray, titles: tuple[str, str] | None, file: str
) -> np.ndarray:
    """Whether a row is a header again, as where files were joined: bool (n)."""

    def called(ids: pa.DictionaryArray, title: str) -> pa.Array:
        short = pc.less_equal(pc.binary_length(ids.dictionary), 4 * len(title) + 8)
        if not pc.any(short).as_py():
            return short
        plain = pc.utf8_lower(pc.if_else(short, ids.dictionary, ""))
        return pc.is_in(plain, value_set=pa.array([title, f"#{title}", f"# {title}"]))

    if titles is None:
        named = (
            _matching(users.dictionary, _USER_TITLE),
            _matching(tracks.dictionary, _TRACK_TITLE),
        )
    else:
        named = called(users, titles[0]), called(tracks, titles[1])
        turned = called(users, titles[1]), called(tracks, titles[0])
        if titles[0] != titles[1] and all(pc.any(one).as_py() for one in turned):
            swapped = _by_row(users, turned[0]) & _by_row(tracks, turned[1])
            if swapped.any():
                raise MusicRecError(
                    f"{file}: a line amid the rows names the columns in another order than the "
                    "header; keep files of different columns apart"
                )
    if not all(pc.any(one).as_py() for one in named):
        return np.zeros(len(users), bool)
    return _by_row(users, named[0]) & _by_row(tracks, named[1])


def _matching(texts: pa.StringArray, pattern: str) -> pa.Array:
    """Whether short texts match a pattern; long ones do not."""
    short = pc.less_equal(pc.binary_length(texts), _LONGEST_TITLE)
    if not pc.any(short).as_py():
        return short
    return pc.match_substring_regex(pc.if_else(short, texts, ""), pattern)


def _bad_rows(
    raw: Raw, columns: dict[str, pa.Array], codes: np.ndarray, left_out: np.ndarray | None
) -> dict[str, Bad]:
    found: dict[str, Bad] = {}
    for number, text, reason in raw.broken:
        known = found.get(reason)
        found[reason] = known._replace(rows=known.rows + 1) if known else Bad(
            1, number, text, None, None
        )  # fmt: skip
    if left_out is not None:
        codes = np.where(left_out, np.int8(0), codes)
    if not codes.any():
        return found
    for code in np.unique(codes[codes > 0]):
        reason = NAMES[code]
        rows = np.flatnonzero(codes == code)
        role = _role(reason)
        at = {name: _shown(column[int(rows[0])]) for name, column in columns.items()}
        value = at[role] if role else " ".join(str(one) for one in at.values())
        here = Bad(len(rows), raw.numbers(int(rows[0])), value, at["user"], at["track"])
        known = found.get(reason)
        if known is None or here.number < known.number:
            found[reason] = here._replace(rows=here.rows + (known.rows if known else 0))
        else:
            found[reason] = known._replace(rows=known.rows + here.rows)
    return found


def _role(reason: str) -> str:
    match = re.match("user|track|count|timestamp", reason)
    return match[0] if match else ""


def _shown(value: pa.Scalar) -> str | None:
    found = value.as_py()
    return None if found is None else str(found)
