"""Play counts: whole numbers from 1, in any notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.ingest.flaws import MAX_COUNT, Flaws, is_text, wrong_type
from musicrec.ingest.ids import trimmed
from musicrec.params.data import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
_GROUPED = r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$"  # 2.000: two, or two thousand


def count_values(
    kind: DataType, file: str, columns: ColumnParams, decimal: str
) -> tuple[Column, Flaws]:
    """Convert the count column to int64 and tell its flaws, in the order of `REASONS`.

    Parameters
    ----------
    decimal : str
        `data.decimal`: auto, point or comma.

    Raises
    ------
    MusicRecError
        The column is neither of text nor of numbers.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType, FloatType, NumericType

    if is_text(kind):
        return _of_text(decimal)
    if not isinstance(kind, NumericType):
        raise wrong_type("count", kind, file, columns, "numbers")
    number = F.col("count")
    flaws = [("count_missing", number.isNull())]
    too_large, fractional = number > MAX_COUNT, number != F.floor(number)
    if isinstance(kind, DoubleType | FloatType):
        number = number.cast("double")
        flaws += [("count_not_finite", F.isnan(number) | (F.abs(number) == float("inf")))]
        too_large = number >= float(2**63)  # MAX_COUNT itself is no double
        fractional = number != F.rint(number)  # floor makes an int64 of it, which may overflow
    flaws += [
        ("count_negative", number < 0),
        ("count_zero", number == 0),
        ("count_fractional", fractional),
        ("count_too_large", too_large),
    ]
    return number.try_cast("long"), flaws


def _of_text(decimal: str) -> tuple[Column, Flaws]:
    """`3`, `3.0` and `3.2466e+05` are whole numbers; what `1,000` is, `data.decimal` says."""
    from pyspark.sql import functions as F

    raw = F.col("count")
    whole = raw.try_cast("long")  # null for 3.0, 1e3 and all that is bad: the slower way
    unsure = whole.isNull()
    text = trimmed(raw)
    plain = _with_point(text, decimal)
    number = plain.try_cast("decimal(38,18)")  # exact; null from 1e20 on, far above int64
    nonzero = F.coalesce(number != 0, F.lit(True))
    flaws = [
        ("count_missing", unsure & (text.isNull() | (text == ""))),
        ("count_not_finite", unsure & text.rlike(_NOT_FINITE)),
        *([("count_ambiguous", unsure & text.rlike(_GROUPED))] if decimal == "auto" else []),
        ("count_not_a_number", unsure & ~plain.rlike(_NUMBER)),
        ("count_negative", F.when(unsure, plain.startswith("-") & nonzero).otherwise(whole < 0)),
        ("count_zero", F.when(unsure, ~nonzero).otherwise(whole == 0)),
        ("count_fractional", unsure & (number != F.floor(number))),
        ("count_too_large", unsure & F.coalesce(number > MAX_COUNT, F.lit(True))),
    ]
    return F.coalesce(whole, number.try_cast("long")), flaws


def _with_point(text: Column, decimal: str) -> Column:
    """Write a number without signs between thousands and with a point before the decimals."""
    from pyspark.sql import functions as F

    if decimal == "auto":
        return text
    group, point = (",", r"\.") if decimal == "point" else (r"\.", ",")
    grouped = rf"^[+-]?\d{{1,3}}({group}\d{{3}})+({point}\d+)?$"
    bare = F.when(text.rlike(grouped), F.regexp_replace(text, group, "")).otherwise(text)
    if decimal == "point":
        return bare
    # A point that groups nothing is no decimal sign here: leave it as what is no number.
    return F.when(bare.contains("."), F.concat(bare, F.lit("?"))).otherwise(
        F.replace(bare, F.lit(","), F.lit("."))
    )
