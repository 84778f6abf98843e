"""Counts and times of plays in any notation, and what can be wrong with a row."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.params import DataParams

MAX_COUNT = 2**63 - 1
# What programs write where there is no value.
USUAL_NULLS = (
    "\\N", "NULL", "null", "Null", "None", "none", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "<NA>",
    "#N/A", "nil", "undefined",
)  # fmt: skip
_NOT_TEXT = (
    "holding U+FFFD, which stands for bytes that are no text, or NUL",
    "set data.encoding to what the file is (such as latin-1)",
)
# In the order of the checks: reason -> (column's role, what is wrong, what to do beside fixing the
# source or dropping the rows).
REASONS: dict[str, tuple[str, str, str]] = {
    "ragged_line": (
        "",
        "another number of fields than the other lines, or a misplaced quote,",
        "check data.separator and data.quote (none, if quotes are part of the text; a field in "
        "quotes holds no line break, and quotes doubled, not behind a backslash)",
    ),
    "broken_json": ("", "something that is not one JSON object with text or numbers as ids", ""),
    "not_a_row": ("", "no play but a comment or a header", "remove it"),
    "user_missing": ("user", "null or blank", ""),
    "user_not_text": ("user", *_NOT_TEXT),
    "track_missing": ("track", "null or blank", ""),
    "track_not_text": ("track", *_NOT_TEXT),
    "in_quotes": (
        "",
        "an id in double quotes, which may enclose it or be part of it",
        "set data.quote to none, or to '\"' if they enclose",
    ),
    "count_missing": ("count", "null or blank", ""),
    "count_ambiguous": (
        "count",
        "written like 2.000, which may be 2 or 2000, or like 2,00,",
        "set data.decimal to point or comma",
    ),
    "count_not_a_number": ("count", "text, NaN or infinite where a number is expected", ""),
    "count_negative": ("count", "negative", ""),
    "count_zero": ("count", "zero", ""),
    "count_fractional": (
        "count",
        "not a whole number",
        "set data.fractions to round, ceil, or one (each row is one play, as for ratings)",
    ),
    "count_too_large": ("count", f"above {MAX_COUNT}, the largest 64-bit number", ""),
    "timestamp_missing": ("timestamp", "null or blank", ""),
    "timestamp_invalid": (
        "timestamp",
        "neither a number nor a date and time",
        "the forms that are read are numbers, 2012-01-02 (17:05:30, T17:05:30Z), 02 Jan 2012, "
        "17:05 and Mon Jan 02 17:05:30 +0000 2012; set data.time_format for others",
    ),
}
CODES = {reason: code for code, reason in enumerate(REASONS, 1)}  # 0 is a good row
NAMES = ("", *REASONS)

SECOND = 10**6  # microseconds, in which times are kept
# From which size on a number counts smaller units than seconds, the first from the year 5138 on,
# and how many of them are a second.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (0, 1))
_WHOLE = "^[0-9]{1,18}$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.A)
# 2.000: two, or two thousand; a comma among digits is another one's decimal sign.
_AMBIGUOUS = re.compile(
    r"[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+(\.\d{3})*,\d+|\d{1,3}(,\d{3})+(\.\d*)?)", re.A
)
_ROUNDINGS = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING, "one": ROUND_CEILING}
_ISO = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z?)?$"
_DATES = [  # of year, month, day and clock
    re.compile(form, re.A)
    for form in (
        r"(?P<y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})(?:[T ](?P<t>.+))?",
        # 02 Jan 2012, 17:05, as scrobbles and mails have it
        r"(?:[A-Za-z]{3,9},? )?(?P<d>\d{1,2}) (?P<m>[A-Za-z]{3}) (?P<y>\d{4})(?:,? (?P<t>.+))?",
        # Mon Jan 02 17:05:30 +0000 2012
        r"(?:[A-Za-z]{3} )?(?P<m>[A-Za-z]{3}) (?P<d>\d{1,2}) (?P<t>\S+ [+-]\d{4}) (?P<y>\d{4})",
    )
]
_CLOCK = re.compile(r"(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(UTC|GMT|Z|[+-]\d{2}:?\d{2})?", re.A)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: f"{number:02d}" for number, name in enumerate(_NAMES, 1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Times = tuple[np.ndarray, np.ndarray]  # microseconds since 1970, int64; CODES of bad ones, int8


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, or nothing at all."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def by_row(column: pa.DictionaryArray, values: np.ndarray) -> np.ndarray:
    """What each row has, of what each distinct value has; the last of `values` is for nulls."""
    indices = column.indices
    if indices.null_count:
        indices = indices.cast(pa.int32()).fill_null(len(values) - 1)
    return np.asarray(values[indices.to_numpy(zero_copy_only=False)])


def counts_of(column: pa.Array, params: DataParams) -> tuple[np.ndarray, np.ndarray]:
    """Counts of a column of numbers or texts, int64 (n) from 1, and CODES of those that are bad."""
    kind, decimal = column.type, params.decimal
    if pa.types.is_integer(kind) and not column.null_count:
        values = column.to_numpy()
        good = values.min(initial=1) > 0 and values.max(initial=1) <= MAX_COUNT
        if good and params.fractions != "one":
            return values.astype(np.int64), np.zeros(len(values), np.int8)
    if not is_text(kind):
        decimal = "point"
        column = column.cast(pa.float64()) if pa.types.is_floating(kind) else column
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    texts = column.dictionary.cast(pa.string())
    counts, codes = np.zeros(len(texts) + 1, np.int64), np.zeros(len(texts) + 1, np.int8)
    codes[-1] = CODES["count_missing"]
    matched = pc.fill_null(pc.match_substring_regex(texts, _WHOLE), False)
    plain = matched.to_numpy(zero_copy_only=False)
    counts[:-1][plain] = texts.filter(matched).cast(pa.int64()).to_numpy()
    codes[:-1][counts[:-1] == 0] = CODES["count_zero"]
    for place in np.flatnonzero(~plain):
        counts[place], reason = _count(texts[place].as_py() or "", decimal, params.fractions)
        codes[place] = CODES.get(reason, 0)
    if params.fractions == "one":
        counts = np.minimum(counts, 1)
    return by_row(column, counts), by_row(column, codes)


def _count(text: str, decimal: str, fractions: str) -> tuple[int, str]:
    """A count, and what is wrong with it."""
    text = text.strip()
    if not text:
        return 0, "count_missing"
    if decimal == "auto" and _AMBIGUOUS.fullmatch(text):
        return 0, "count_ambiguous"
    text = _with_point(text, decimal)
    if not _NUMBER.fullmatch(text):
        return 0, "count_not_a_number"
    try:
        number = Decimal(text)
    except InvalidOperation:
        return 0, "count_too_large"
    if number <= 0:
        return 0, "count_negative" if number else "count_zero"
    if number.adjusted() > 30:
        return 0, "count_too_large"
    if number != number.to_integral_value():
        if fractions == "error":
            return 0, "count_fractional"
        number = number.to_integral_value(_ROUNDINGS[fractions])
    if not number:
        return 0, "count_zero"
    return (int(number), "") if number <= MAX_COUNT else (0, "count_too_large")


def _with_point(text: str, decimal: str) -> str:
    """Write a number without signs between thousands and with a point before the decimals."""
    if decimal == "auto":
        return text
    group, point = (",", ".") if decimal == "point" else (".", ",")
    grouped = rf"[+-]?[1-9]\d{{0,2}}({re.escape(group)}\d{{3}})+({re.escape(point)}\d+)?"
    bare = text.replace(group, "") if re.fullmatch(grouped, text) else text
    return bare if decimal == "point" else bare.replace(".", "?").replace(",", ".")


def times_of(column: pa.Array, pattern: str) -> Times:
    """Read a column of numbers, dates, times or texts.

    Numbers are seconds, or smaller units where they are too large for seconds; small ones, such as
    1, 2, 3, keep their order. Dates without a zone are UTC.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind, codes = column.type, np.zeros(len(column), np.int8)
    found: Times
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        micros = column.cast(pa.timestamp("us", zone), safe=False)
        found = _numbers(micros), codes
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        whole = pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
        wide = column.cast(whole if pa.types.is_integer(kind) else pa.float64())
        found = _of_numbers(wide.fill_null(0).to_numpy(), codes)
    else:
        found = _of_texts(column, pattern, codes)
    found[1][column.is_null().to_numpy(zero_copy_only=False)] = CODES["timestamp_missing"]
    return found


def _numbers(column: pa.Array) -> np.ndarray:
    return np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))


def _of_numbers(values: np.ndarray, codes: np.ndarray) -> Times:
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (np.abs(values) >= 2.0**63)
        codes[bad] = CODES["timestamp_invalid"]
        values = np.where(bad, 0.0, values)
    size, micros, above = np.abs(values), np.zeros(len(values), np.int64), np.inf
    for least, unit in _UNITS:
        here = (size >= least) & (size < above)
        above = least
        if here.any():
            part = values[here]
            scaled = part * (SECOND // unit) if unit <= SECOND else part // (unit // SECOND)
            micros[here] = scaled.astype(np.int64)
    return micros, codes


def _of_texts(column: pa.Array, pattern: str, codes: np.ndarray) -> Times:
    column = column.cast(pa.string())
    if pattern == "auto" and _all_match(column, _WHOLE):
        return _of_numbers(_numbers(column), codes)
    if pattern == "auto" and _all_match(column, _ISO):
        try:
            dates = pc.utf8_rtrim(column, "Z").cast(pa.timestamp("us"))
            return _numbers(dates), codes
        except pa.ArrowInvalid:
            pass  # a month 13: told one by one
    encoded = column.dictionary_encode()
    micros = np.zeros(len(encoded.dictionary) + 1, np.int64)
    reasons = np.zeros(len(micros), np.int8)
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            micros[place] = _time(text.strip(), pattern)
        except (ValueError, ArithmeticError):
            reasons[place] = CODES["timestamp_invalid" if text.strip() else "timestamp_missing"]
    return by_row(encoded, micros), by_row(encoded, reasons)


def _all_match(column: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(column, pattern)).as_py() is not False


def _time(text: str, pattern: str) -> int:
    """Microseconds since 1970; a ValueError where it is no time."""
    if pattern != "auto":
        return _micros(datetime.strptime(text, pattern))
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        if abs(number) >= 2**63:
            raise ValueError("too large")
        return int(number * SECOND / next(unit for least, unit in _UNITS if abs(number) >= least))
    for date in _DATES:
        if match := date.fullmatch(text):
            year, month, day, clock = match.group("y", "m", "d", "t")
            at = _CLOCK.fullmatch(clock or "00:00")
            if at is None:
                break
            time = at[1] if at[1][2] == ":" else f"0{at[1]}"
            zone = at[2] if at[2] and at[2][0] in "+-" else "Z"
            month = _MONTHS.get(month.lower(), month)
            return _micros(datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{time}{zone}"))
    raise ValueError("no date")


def _micros(when: datetime) -> int:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
