"""Times of plays: numbers and dates in many forms, all turned into seconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.rows.flaws import Flaws, is_text, wrong_type
from musicrec.ingest.rows.ids import trimmed
from musicrec.params import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_SECONDS = "decimal(38,9)"
# How a time may be written, each a bit.
FORMS = {"dates": 1, "seconds": 2, "milliseconds": 4, "microseconds": 8, "nanoseconds": 16}
# From which size on a number counts smaller units; in seconds the first is the year 5138.
UNITS = ((10**17, 16, 10**9), (10**14, 8, 10**6), (10**11, 4, 10**3))
_CLOCK = r"^T?\d{1,2}:\d{2}"  # without a date, Spark takes today's
_NAMED_MONTH = r"[A-Za-z]{3}"
_PATTERNS = (
    "d MMM yyyy[,][ ]HH:mm[:ss][ Z][ z]",  # 02 Jan 2012, 17:05, as scrobbles are exported
    "MMM d HH:mm:ss Z yyyy",  # Mon Jan 02 17:05:30 +0000 2012, as tweets are
    "d MMM yyyy",
)


def checked_time(
    frame: DataFrame, file: str, columns: ColumnParams, pattern: str
) -> tuple[DataFrame, Flaws]:
    """Turn the column `timestamp` into seconds since 1970.

    Numbers are seconds, or smaller units where they are too large for seconds; small ones, such as
    1, 2, 3, keep their order. Dates without a zone are UTC.

    Parameters
    ----------
    pattern : str
        `data.time_format`: auto, or Spark's pattern of a date and time.

    Returns
    -------
    frame : DataFrame
        With `time`, decimal(38,9), and `time_form`, int: which of `FORMS` it was read from, as a
        bit (1, 2, 4, …).
    flaws : Flaws

    Raises
    ------
    MusicRecError
        The column holds neither text nor numbers, dates or times.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

    kind = frame.schema["timestamp"].dataType
    raw = F.col("timestamp")
    missing, number, date = raw.isNull(), F.lit(None), F.lit(None)
    if is_text(kind):
        frame = frame.withColumn("time_text", trimmed(raw))
        text = F.col("time_text")
        missing = missing | (text == "")
        number = text if pattern == "auto" else number
        date = _date_of_text(text, pattern)
    elif isinstance(kind, NumericType):
        number = raw
    elif isinstance(kind, DateType | TimestampType | TimestampNTZType):
        date = raw
    else:
        raise wrong_type("timestamp", kind, file, columns, "numbers, dates or times")
    frame = frame.withColumn("time_number", number.try_cast(_SECONDS))
    number = F.col("time_number")
    micros = F.when(number.isNull(), F.unix_micros(date.cast("timestamp")))
    frame = frame.withColumn("time_micros", micros)
    forms = [
        (number.isNull(), FORMS["dates"], F.col("time_micros"), 10**6),
        *[(F.abs(number) >= least, form, number, unit) for least, form, unit in UNITS],
    ]
    plain = (F.lit(FORMS["seconds"]), number)
    frame = frame.withColumns(
        {
            "time_form": F.coalesce(*[F.when(test, form) for test, form, *_ in forms], plain[0]),
            "time": F.coalesce(
                *[_seconds(test, value, unit) for test, _, value, unit in forms], plain[1]
            ),
        }
    )
    return frame, [("timestamp_missing", missing), ("timestamp_invalid", F.col("time").isNull())]


def _seconds(test: Column, value: Column, unit: int) -> Column:
    from pyspark.sql import functions as F

    return F.when(test, (value.cast(_SECONDS) / F.lit(unit).cast("decimal(10,0)")).cast(_SECONDS))


def _date_of_text(text: Column, pattern: str) -> Column:
    from pyspark.sql import functions as F

    if pattern != "auto":
        return F.try_to_timestamp(text, F.lit(pattern))
    iso = F.when(~text.rlike(_CLOCK), text.try_cast("timestamp"))
    bare = F.regexp_replace(text, r"^[A-Za-z]{3,9},? (?=[A-Za-z0-9])", "")  # a day of the week
    slashed = F.replace(text, F.lit("/"), F.lit("-"))
    others = [F.try_to_timestamp(bare, F.lit(form)) for form in _PATTERNS]
    return F.coalesce(
        iso,
        F.when(text.rlike(r"^\d{4}/\d"), slashed.try_cast("timestamp")),
        F.when(text.rlike(_NAMED_MONTH), F.coalesce(*others)),
    )


def require_pattern(spark: SparkSession, pattern: str) -> None:
    """Check `data.time_format` before any row is read.

    Raises
    ------
    MusicRecError
        Spark does not know the pattern.
    """
    if pattern == "auto":
        return
    from pyspark.sql import functions as F

    try:
        now = F.date_format(F.current_timestamp(), pattern)
        spark.range(1).select(F.try_to_timestamp(now, F.lit(pattern))).collect()
    except Exception:
        raise MusicRecError(
            f"data.time_format = {pattern!r} is not allowed; it must be auto or a pattern of Spark "
            "such as dd/MM/yyyy HH:mm (no names of weekdays)"
        ) from None
