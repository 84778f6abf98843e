"""Every row of a source checked and converted to the canonical schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.params.data import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

Flaws = list[tuple[str, "Column"]]

MAX_COUNT = 2**63 - 1
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
_TIME = "decimal(38,6)"
_SPACES = " \t\r\n"

# What can be wrong with a row, in the order of the checks: reason -> (column's role, words).
REASONS = {
    "ragged_line": ("", "another number of fields than the first line"),
    "user_missing": ("user", "null or blank"),
    "user_not_utf8": ("user", "not UTF-8 text"),
    "track_missing": ("track", "null or blank"),
    "track_not_utf8": ("track", "not UTF-8 text"),
    "count_missing": ("count", "null or blank"),
    "count_not_a_number": ("count", "text where a number is expected"),
    "count_not_finite": ("count", "NaN or infinite"),
    "count_negative": ("count", "negative"),
    "count_zero": ("count", "zero"),
    "count_fractional": ("count", "not a whole number"),
    "count_too_large": ("count", f"above {MAX_COUNT}, the largest 64-bit number"),
    "timestamp_missing": ("timestamp", "null or blank"),
    "timestamp_invalid": ("timestamp", "neither a number nor a date and time"),
}


def check_rows(frame: DataFrame, file: str, columns: ColumnParams) -> DataFrame:
    """Convert the rows of `source_format.read_frames` to the canonical schema, bad ones marked.

    Parameters
    ----------
    file : str
        The first of the files, for messages.

    Returns
    -------
    DataFrame
        `user_id` string, `track_id` string, `count` int64 (1 without a count column), `time`
        decimal(38,6) (with a timestamp column; only its order means something), `reason` null or
        the first of `REASONS` that holds; the ids are null where the reason is not. `bad_value`,
        `shown_user`, `shown_track`, `file` and `block` serve the message.

    Raises
    ------
    MusicRecError
        A column's type cannot hold an id, a count or a time.
    """
    from pyspark.sql import functions as F

    types = {field.name: field.dataType for field in frame.schema.fields}
    flaws: Flaws = [("ragged_line", F.col("ragged").isNotNull())]
    values = {}
    for role in ("user", "track"):
        values[role] = _id_text(role, types[role], file, columns)
        flaws += _id_flaws(role, values[role])
    values["count"] = F.lit(1).cast("long")
    if "count" in types:
        values["count"], found = _count(types["count"], file, columns)
        flaws += found
    if "timestamp" in types:
        values["time"], found = _time(types["timestamp"], file, columns)
        flaws += found
    reason = F.coalesce(*[F.when(flaw, F.lit(name)) for name, flaw in flaws])
    shown = F.coalesce(
        *[
            F.when(F.col("reason") == name, F.col(REASONS[name][0] or "ragged").cast("string"))
            for name, _ in flaws
        ]
    )
    good = F.col("reason").isNull()
    return frame.withColumn("reason", reason).select(
        F.when(good, values["user"]).alias("user_id"),
        F.when(good, values["track"]).alias("track_id"),
        F.when(good, values["count"]).alias("count"),
        *([values["time"].alias("time")] if "time" in values else []),
        "reason",
        shown.alias("bad_value"),
        values["user"].alias("shown_user"),
        values["track"].alias("shown_track"),
        "file",
        "block",
    )


def _wrong_type(
    role: str, kind: DataType, file: str, columns: ColumnParams, ask: str
) -> MusicRecError:
    return MusicRecError(
        f"{file}: column {getattr(columns, role)!r} (data.columns.{role}) holds "
        f"{kind.simpleString()} values; it must hold {ask}"
    )


def _is_text(kind: DataType) -> bool:
    from pyspark.sql.types import StringType

    return isinstance(kind, StringType)


def _is_whole(kind: DataType) -> bool:
    from pyspark.sql.types import DecimalType, IntegralType

    # Spark reads unsigned 64-bit numbers as decimal(20,0).
    return isinstance(kind, IntegralType) or (isinstance(kind, DecimalType) and kind.scale == 0)


def _id_text(role: str, kind: DataType, file: str, columns: ColumnParams) -> Column:
    from pyspark.sql import functions as F

    if not (_is_text(kind) or _is_whole(kind)):
        raise _wrong_type(role, kind, file, columns, "text or whole numbers")
    return F.col(role).cast("string")


def _id_flaws(role: str, value: Column) -> Flaws:
    from pyspark.sql import functions as F

    blank = value.isNull() | (F.btrim(value, F.lit(_SPACES)) == "")
    # Bytes that are not UTF-8 are read as U+FFFD, so that different ids would become one.
    return [(f"{role}_missing", blank), (f"{role}_not_utf8", value.contains("\ufffd"))]


def _count(kind: DataType, file: str, columns: ColumnParams) -> tuple[Column, Flaws]:
    """Convert the count column to int64 and tell its flaws, in the order of `REASONS`."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType, FloatType, NumericType

    if _is_text(kind):
        return _count_of_text()
    if not isinstance(kind, NumericType):
        raise _wrong_type("count", kind, file, columns, "numbers")
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


def _count_of_text() -> tuple[Column, Flaws]:
    """As `_count`, for text: `3`, `3.0` and `3.2466e+05` are whole numbers, `1,000` is none."""
    from pyspark.sql import functions as F

    text = F.btrim(F.col("count"), F.lit(_SPACES))
    whole = text.try_cast("long")  # null for 3.0, 1e3 and all that is bad: the slower way
    number = text.try_cast("decimal(38,18)")  # exact; null from 1e20 on, far above int64
    unsure = whole.isNull()
    nonzero = F.coalesce(number != 0, F.lit(True))
    flaws = [
        ("count_missing", text.isNull() | (text == "")),
        ("count_not_finite", unsure & text.rlike(_NOT_FINITE)),
        ("count_not_a_number", unsure & ~text.rlike(_NUMBER)),
        ("count_negative", text.startswith("-") & nonzero),
        ("count_zero", ~nonzero),
        ("count_fractional", unsure & (number != F.floor(number))),
        ("count_too_large", unsure & F.coalesce(number > MAX_COUNT, F.lit(True))),
    ]
    return F.coalesce(whole, number.try_cast("long")), flaws


def _time(kind: DataType, file: str, columns: ColumnParams) -> tuple[Column, Flaws]:
    """Convert times to numbers that sort alike: epoch numbers as they are, dates to epoch."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

    raw = F.col("timestamp")
    missing = raw.isNull()
    if _is_text(kind):
        text = F.btrim(raw, F.lit(_SPACES))
        missing = missing | (text == "")
        value = F.coalesce(
            text.try_cast(_TIME), F.unix_micros(text.try_cast("timestamp")).cast(_TIME)
        )
    elif isinstance(kind, NumericType):
        value = raw.try_cast(_TIME)
    elif isinstance(kind, DateType | TimestampType | TimestampNTZType):
        value = F.unix_micros(raw.cast("timestamp")).cast(_TIME)
    else:
        raise _wrong_type("timestamp", kind, file, columns, "numbers, dates or times")
    return value, [("timestamp_missing", missing), ("timestamp_invalid", value.isNull())]
