"""Times of plays: numbers and dates in many forms, all turned into seconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.ingest.flaws import Flaws, is_text, wrong_type
from musicrec.ingest.ids import trimmed
from musicrec.params.data import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession
    from pyspark.sql.types import DataType

_SECONDS = "decimal(38,9)"
# From which size on a number counts smaller units; in seconds the first is the year 5138.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
_CLOCK = r"^T?\d{1,2}:\d{2}"  # without a date, Spark takes today's
_NAMED_MONTH = r"[A-Za-z]{3}"
_PATTERNS = (
    "d MMM yyyy[,][ ]HH:mm[:ss][ Z][ z]",  # 02 Jan 2012, 17:05, as scrobbles are exported
    "MMM d HH:mm:ss Z yyyy",  # Mon Jan 02 17:05:30 +0000 2012, as tweets are
    "d MMM yyyy",
)
FORMS = ("dates", "seconds", "milliseconds", "microseconds", "nanoseconds")


def time_values(
    kind: DataType, file: str, columns: ColumnParams, pattern: str
) -> tuple[Column, Column, Flaws]:
    """Convert times to seconds since 1970 and tell their flaws.

    Numbers are seconds, or smaller units where they are too large for seconds; small ones, such as
    1, 2, 3, keep their order. Dates without a zone are UTC.

    Parameters
    ----------
    pattern : str
        `data.time_format`: auto, or Spark's pattern of a date and time.

    Returns
    -------
    value : Column
        decimal(38,9).
    form : Column
        int: which of `FORMS` it was read from, as a bit: 1, 2, 4, …
    flaws : Flaws

    Raises
    ------
    MusicRecError
        The column holds neither text nor numbers, dates or times.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DateType, NumericType, TimestampNTZType, TimestampType

    raw = F.col("timestamp")
    missing, number, date = raw.isNull(), None, None
    if is_text(kind):
        text = trimmed(raw)
        missing = missing | (text == "")
        number = text.try_cast(_SECONDS) if pattern == "auto" else None
        date = _date_of_text(text, pattern)
    elif isinstance(kind, NumericType):
        number = raw.try_cast(_SECONDS)
    elif isinstance(kind, DateType | TimestampType | TimestampNTZType):
        date = raw.cast("timestamp")
    else:
        raise wrong_type("timestamp", kind, file, columns, "numbers, dates or times")
    value = F.lit(None).cast(_SECONDS)
    form = F.lit(1)
    if date is not None:
        value = (F.unix_micros(date) / F.lit(10**6).cast("decimal(10,0)")).cast(_SECONDS)
    if number is not None:
        size = F.abs(number)
        unit = F.coalesce(
            *[F.when(size >= least, F.lit(per_second)) for least, per_second in _UNITS], F.lit(1)
        )
        value = F.coalesce((number / unit.cast("decimal(10,0)")).try_cast(_SECONDS), value)
        powers = F.coalesce(
            *[F.when(size >= least, F.lit(16 >> i)) for i, (least, _) in enumerate(_UNITS)],
            F.lit(2),
        )
        form = F.when(number.isNull(), 1).otherwise(powers)
    return value, form, [("timestamp_missing", missing), ("timestamp_invalid", value.isNull())]


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
