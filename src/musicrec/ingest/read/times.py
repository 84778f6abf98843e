"""Times of plays: numbers and dates in many forms, all turned into microseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import MusicRecError
from musicrec.ingest.read.reasons import CODES

SECOND = 10**6
# How a time may be written, each a bit.
FORMS = {"dates": 1, "seconds": 2, "milliseconds": 4, "microseconds": 8, "nanoseconds": 16}
# From which size on a number counts smaller units; in seconds the first is the year 5138.
_UNITS = ((10**17, 16, 10**9), (10**14, 8, 10**6), (10**11, 4, 10**3))
_NUMBER = "^[0-9]{1,18}$"
_ISO = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z?)?$"
_ANY_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,2})?", re.A)
_ANY_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(.*)", re.A)
_ZONE = r"(?: ?(UTC|GMT|Z|[+-]\d{2}:?\d{2}))?"
_CLOCK = rf"(\d{{1,2}}):(\d{{2}})(?::(\d{{2}})(\.\d+)?)?{_ZONE}"
_NAMED = re.compile(  # 02 Jan 2012, 17:05, as scrobbles and mails have it
    rf"(?:[A-Za-z]{{3,9}},? )?(\d{{1,2}}) ([A-Za-z]{{3}}) (\d{{4}})(?:,? {_CLOCK})?", re.A
)
_TWEET = re.compile(  # Mon Jan 02 17:05:30 +0000 2012
    r"(?:[A-Za-z]{3} )?([A-Za-z]{3}) (\d{1,2}) (\d{1,2}):(\d{2}):(\d{2}) ([+-]\d{4}) (\d{4})", re.A
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Letters of the patterns that Spark and Java use, and strptime's.
_LETTERS = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%m", "dd": "%d",
    "d": "%d", "HH": "%H", "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "m": "%M", "ss": "%S",
    "s": "%S", "a": "%p", "SSS": "%f", "SSSSSS": "%f", "Z": "%z", "XXX": "%z", "X": "%z",
}  # fmt: skip


class Times(NamedTuple):
    """Times of rows in microseconds since 1970 (int64), `reasons.CODES`, and FORMS, or-ed."""

    values: np.ndarray
    codes: np.ndarray
    forms: int


def python_pattern(pattern: str) -> str | None:
    """`data.time_format` for `strptime`; None for auto.

    Raises
    ------
    MusicRecError
        It has letters that stand for nothing here.
    """
    if pattern == "auto":
        return None
    if "%" in pattern:
        return pattern
    found = []
    for word, quoted, letters in re.findall(r"('([^']*)')|([A-Za-z]+|[^A-Za-z']+)", pattern):
        if word or not letters[0].isalpha():
            found.append(quoted or letters)
            continue
        for run in re.findall(r"((.)\2*)", letters):
            if run[0] not in _LETTERS:
                raise MusicRecError(
                    f"data.time_format = {pattern!r} is not allowed; it must be auto or a pattern "
                    "such as dd/MM/yyyy HH:mm or %d/%m/%Y %H:%M"
                )
            found.append(_LETTERS[run[0]])
    return "".join(found)


def times_of(column: pa.Array, pattern: str | None) -> Times:
    """Read a column of numbers, dates, times or texts.

    Numbers are seconds, or smaller units where they are too large for seconds; small ones, such as
    1, 2, 3, keep their order. Dates without a zone are UTC.
    """
    missing = column.is_null().to_numpy(zero_copy_only=False)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        found = Times(_of_dates(column), np.zeros(len(column), np.int8), FORMS["dates"])
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = _of_numbers(column)
    elif pa.types.is_decimal(kind):
        found = _of_numbers(column.cast(pa.float64()))
    else:
        found = _of_texts(column, pattern)
    found.codes[missing] = CODES["timestamp_missing"]
    return found


def _of_dates(column: pa.Array) -> np.ndarray:
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    return np.asarray(micros.fill_null(0).to_numpy(zero_copy_only=False))


def _of_numbers(column: pa.Array) -> Times:
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    codes = np.zeros(len(values), np.int8)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (np.abs(values) >= 2.0**63)
        codes[bad] = CODES["timestamp_invalid"]
        values = np.where(bad, 0.0, values)
    size = np.abs(values)
    micros = np.zeros(len(values), np.int64)
    forms = 0
    above = np.inf
    for least, form, unit in (*_UNITS, (0, FORMS["seconds"], 1)):
        here = (size >= least) & (size < above)
        above = least
        if here.any():
            forms |= form
            part = values[here]
            scaled = part * (SECOND // unit) if unit <= SECOND else part // (unit // SECOND)
            micros[here] = scaled.astype(np.int64)
    return Times(micros, codes, forms)


def _of_texts(column: pa.Array, pattern: str | None) -> Times:
    filled = column.fill_null("0") if column.null_count else column
    if pattern is None:
        if pc.all(pc.match_substring_regex(filled, _NUMBER)).as_py() is not False:
            return _of_numbers(filled.cast(pa.int64()))
        if pc.all(pc.match_substring_regex(filled, _ISO)).as_py():
            try:
                dates = pc.utf8_rtrim(filled, "Z").cast(pa.timestamp("us"))
            except pa.ArrowInvalid:
                pass  # a month 13: told one by one
            else:
                values = dates.cast(pa.int64()).to_numpy(zero_copy_only=False)
                return Times(values, np.zeros(len(column), np.int8), FORMS["dates"])
    encoded = column.dictionary_encode()
    read = _reader(pattern)
    found = [read(text.strip()) for text in encoded.dictionary.to_pylist()]
    micros = np.array([0 if one is None else one[0] for one in found] + [0], np.int64)
    flaws = np.array([CODES["timestamp_invalid"] * (one is None) for one in found] + [0], np.int8)
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        if not text.strip():
            flaws[place] = CODES["timestamp_missing"]
    forms = 0
    for one in found:
        forms |= 0 if one is None else one[1]
    places = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return Times(micros[places], flaws[places], forms)


def _reader(pattern: str | None) -> Callable[[str], tuple[int, int] | None]:
    if pattern is None:
        return time_of_text

    def by_pattern(text: str) -> tuple[int, int] | None:
        try:
            return _micros(datetime.strptime(text, pattern)), FORMS["dates"]
        except (ValueError, OverflowError):
            return None

    return by_pattern


def time_of_text(text: str) -> tuple[int, int] | None:
    """Microseconds since 1970 and which of FORMS it was; None where it is no time."""
    if _ANY_NUMBER.fullmatch(text):
        number = Decimal(text)
        if abs(number) >= 2**63:
            return None
        form, unit = next(
            ((form, unit) for least, form, unit in _UNITS if abs(number) >= least),
            (FORMS["seconds"], 1),
        )
        return int(number * SECOND / unit), form
    try:
        found = _date(text)
    except (ValueError, OverflowError, KeyError):
        return None
    return None if found is None else (_micros(found), FORMS["dates"])


def _date(text: str) -> datetime | None:
    if match := _ANY_ISO.fullmatch(text):
        year, month, day, rest = match.groups()
        clock = re.fullmatch(rf"[T ]{_CLOCK}", rest) if rest else None
        if rest and clock is None:
            return None
        return _built(year, int(month), day, clock.groups() if clock else ())
    if match := _NAMED.fullmatch(text):
        day, name, year, *clock_parts = match.groups()
        return _built(year, _MONTHS[name.lower()], day, clock_parts)
    if match := _TWEET.fullmatch(text):
        name, day, hour, minute, second, zone, year = match.groups()
        return _built(year, _MONTHS[name.lower()], day, (hour, minute, second, None, zone))
    return None


def _built(year: str, month: int, day: str, clock: Sequence[str | None]) -> datetime:
    """A time of texts: year, month, day; hour, minute, second, fraction and zone, if any."""
    hour, minute, second, fraction, zone = clock or (None,) * 5
    offset: tzinfo = UTC
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        minutes = 60 * int(digits[:2]) + int(digits[2:])
        offset = timezone(timedelta(minutes=minutes if zone[0] == "+" else -minutes))
    micros = int((fraction[1:] + "000000")[:6]) if fraction else 0
    hours, minutes, seconds = (int(part or 0) for part in (hour, minute, second))
    return datetime(int(year), month, int(day), hours, minutes, seconds, micros, offset)


def _micros(when: datetime) -> int:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
