"""Play counts: whole numbers from 1, in any notation."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.ingest.read.reasons import CODES, MAX_COUNT
from musicrec.params import DataParams

_PLAIN = "^[0-9]{1,18}$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.A)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.I)
# 2.000: two, or two thousand; a comma among digits is another one's decimal sign.
_AMBIGUOUS = re.compile(
    r"[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+(\.\d{3})*,\d+|\d{1,3}(,\d{3})+(\.\d*)?)", re.A
)
_ROUNDINGS = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING, "one": ROUND_CEILING}


def counts_of(column: pa.Array, params: DataParams) -> tuple[np.ndarray, np.ndarray]:
    """Read a column of numbers or texts.

    Returns
    -------
    counts : int64 array (n)
    codes : int8 array (n)
        Of `reasons.CODES`; 0 where the count is good.
    """
    counts, codes = _counts_of(column, params)
    return (np.minimum(counts, 1) if params.fractions == "one" else counts), codes


def _counts_of(column: pa.Array, params: DataParams) -> tuple[np.ndarray, np.ndarray]:
    kind = column.type
    if pa.types.is_integer(kind):
        return _of_whole(column)
    if pa.types.is_floating(kind):
        return _of_floats(column, params)
    texts = column.cast(pa.string()) if pa.types.is_decimal(kind) else column
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    values, flaws = _of_texts(encoded.dictionary, params)
    return _taken(encoded, values, flaws, CODES["count_missing"])


def _taken(
    encoded: pa.DictionaryArray, values: np.ndarray, flaws: np.ndarray, missing: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values and flaws of a dictionary, for each row."""
    indices = encoded.indices
    if not indices.null_count:
        places = indices.to_numpy()
        return values[places], flaws[places] if flaws.any() else np.zeros(len(places), np.int8)
    places = pc.fill_null(indices, len(values)).to_numpy()
    return np.append(values, 0)[places], np.append(flaws, np.int8(missing))[places]


def _of_whole(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else False
    values = (column.fill_null(1) if column.null_count else column).to_numpy()
    codes = np.zeros(len(column), np.int8)
    if len(values) and (values.min() < 1 or values.max() > MAX_COUNT):
        codes[values < 0] = CODES["count_negative"]
        codes[values == 0] = CODES["count_zero"]
        codes[values > np.uint64(MAX_COUNT)] = CODES["count_too_large"]
    codes[missing] = CODES["count_missing"]
    return values.astype(np.int64), codes


def _of_floats(column: pa.Array, params: DataParams) -> tuple[np.ndarray, np.ndarray]:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    values = column.cast(pa.float64()).fill_null(1.0).to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    codes = np.zeros(len(column), np.int8)
    whole = np.where(finite, values, 1.0)
    if params.fractions in ("ceil", "one"):
        whole = np.ceil(whole)
    elif params.fractions == "round":
        whole = np.floor(whole + 0.5)
    else:
        codes[whole != np.rint(whole)] = CODES["count_fractional"]
    codes[whole >= 2.0**63] = CODES["count_too_large"]
    codes[whole == 0] = CODES["count_zero"]
    codes[whole < 0] = CODES["count_negative"]
    codes[~finite] = CODES["count_not_finite"]
    codes[missing] = CODES["count_missing"]
    return np.where(codes == 0, whole, 1.0).astype(np.int64), codes


def _of_texts(texts: pa.Array, params: DataParams) -> tuple[np.ndarray, np.ndarray]:
    values, codes = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int8)
    if not len(texts):
        return values, codes
    plain = pc.match_substring_regex(texts, _PLAIN).to_numpy(zero_copy_only=False)
    values[plain] = texts.filter(pa.array(plain)).cast(pa.int64()).to_numpy()
    codes[plain & (values == 0)] = CODES["count_zero"]
    for place in np.flatnonzero(~plain):
        value = texts[place].as_py()
        values[place], reason = (0, "count_missing") if value is None else _of_text(value, params)
        codes[place] = CODES[reason] if reason else 0
    return values, codes


def _of_text(text: str, params: DataParams) -> tuple[int, str]:
    """A count, and what is wrong with it."""
    text = text.strip()
    if not text:
        return 0, "count_missing"
    if _NOT_FINITE.fullmatch(text):
        return 0, "count_not_finite"
    if params.decimal == "auto" and _AMBIGUOUS.fullmatch(text):
        return 0, "count_ambiguous"
    text = _with_point(text, params.decimal)
    if not _NUMBER.fullmatch(text):
        return 0, "count_not_a_number"
    try:
        number = Decimal(text)
        large = number.adjusted() > 30 and number > 0
    except InvalidOperation:
        return 0, "count_too_large"
    if number <= 0:
        return 0, "count_zero" if number == 0 else "count_negative"
    if large:
        return 0, "count_too_large"
    fraction = number.adjusted() < 0 or number != number.to_integral_value()
    if fraction and params.fractions == "error":
        return 0, "count_fractional"
    if fraction:
        number = number.to_integral_value(_ROUNDINGS[params.fractions])
    if number == 0:
        return 0, "count_zero"
    return (int(number), "") if number <= MAX_COUNT else (0, "count_too_large")


def _with_point(text: str, decimal: str) -> str:
    """Write a number without signs between thousands and with a point before the decimals."""
    if decimal == "auto":
        return text
    group, point = (",", ".") if decimal == "point" else (".", ",")
    grouped = rf"[+-]?[1-9]\d{{0,2}}({re.escape(group)}\d{{3}})+({re.escape(point)}\d+)?"
    bare = text.replace(group, "") if re.fullmatch(grouped, text) else text
    if decimal == "point":
        return bare
    return "no number" if "." in bare else bare.replace(",", ".")
