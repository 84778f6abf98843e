"""Play counts: whole numbers from 1, in any notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.ingest.rows.flaws import MAX_COUNT, Flaws, is_text, wrong_type
from musicrec.ingest.rows.ids import trimmed
from musicrec.params import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
# 2.000: two, or two thousand; a comma among digits is another one's decimal sign.
_OPEN = r"^[+-]?([1-9]\d{0,2}(\.\d{3})+|\d+(\.\d{3})*,\d+|\d{1,3}(,\d{3})+(\.\d*)?)$"
_FRACTION = r"^[+-]?\d*\.\d*[1-9]\d*$"  # seen where more decimals stand than are kept


def checked_count(
    frame: DataFrame, file: str, columns: ColumnParams, decimal: str
) -> tuple[DataFrame, Flaws]:
    """Replace the column `count` by int64, null where it is none.

    Parameters
    ----------
    decimal : str
        `data.decimal`: auto, point or comma.

    Returns
    -------
    frame : DataFrame
        With `shown_count` too, what stood there.
    flaws : Flaws
        In the order of `REASONS`.

    Raises
    ------
    MusicRecError
        The column is neither of text nor of numbers.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType, FloatType, NumericType

    kind = frame.schema["count"].dataType
    if is_text(kind):
        return _of_text(frame, decimal)
    if not isinstance(kind, NumericType):
        raise wrong_type("count", kind, file, columns, "numbers")
    number = F.col("shown_count")
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
    frame = frame.withColumnRenamed("count", "shown_count")
    return frame.withColumn("count", number.try_cast("long")), flaws


def _of_text(frame: DataFrame, decimal: str) -> tuple[DataFrame, Flaws]:
    """`3`, `3.0` and `3.2466e+05` are whole numbers; what `1,000` is, `data.decimal` says.

    Column after column, each null where the one before has settled the matter, so that a plain
    whole number takes one cast.
    """
    from pyspark.sql import functions as F

    whole, text, plain = F.col("whole"), F.col("count_text"), F.col("count_plain")
    number = F.col("number")
    frame = frame.withColumnRenamed("count", "shown_count")
    frame = frame.withColumn("whole", F.col("shown_count").try_cast("long"))
    unsure = F.coalesce(trimmed(F.col("shown_count")), F.lit(""))
    frame = frame.withColumn("count_text", F.when(whole.isNull(), unsure))
    frame = frame.withColumn("count_plain", _with_point(text, decimal))
    # Exact; null from 1e20 on, far above int64.
    frame = frame.withColumn("number", plain.try_cast("decimal(38,18)"))
    zero = F.coalesce(number == 0, F.lit(False))
    flaws = [
        ("count_missing", text == ""),
        ("count_not_finite", text.rlike(_NOT_FINITE)),
        *([("count_ambiguous", text.rlike(_OPEN))] if decimal == "auto" else []),
        ("count_not_a_number", ~plain.rlike(_NUMBER)),
        ("count_negative", F.coalesce(whole < 0, plain.startswith("-") & ~zero)),
        ("count_zero", F.coalesce(whole == 0, zero)),
        ("count_fractional", (number != F.floor(number)) | plain.rlike(_FRACTION)),
        ("count_too_large", whole.isNull() & F.coalesce(number > MAX_COUNT, F.lit(True))),
    ]
    return frame.withColumn("count", F.coalesce(whole, number.try_cast("long"))), flaws


def _with_point(text: Column, decimal: str) -> Column:
    """Write a number without signs between thousands and with a point before the decimals."""
    from pyspark.sql import functions as F

    if decimal == "auto":
        return text
    group, point = (",", r"\.") if decimal == "point" else (r"\.", ",")
    grouped = rf"^[+-]?[1-9]\d{{0,2}}({group}\d{{3}})+({point}\d+)?$"
    bare = F.when(text.rlike(grouped), F.regexp_replace(text, group, "")).otherwise(text)
    if decimal == "point":
        return bare
    # A point that groups nothing is no decimal sign here: leave it as what is no number.
    return F.when(bare.contains("."), F.concat(bare, F.lit("?"))).otherwise(
        F.replace(bare, F.lit(","), F.lit("."))
    )
