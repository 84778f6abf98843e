"""Ids of users and tracks: always text, without the blanks around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.ingest.flaws import Flaws, is_text, wrong_type
from musicrec.params.data import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

# What programs write where there is no value.
USUAL_NULLS = (
    "\\N", "NULL", "null", "Null", "None", "none", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "<NA>",
    "#N/A", "nil", "undefined",
)  # fmt: skip
LONGEST_NULL = max(map(len, USUAL_NULLS))
# Signs that cannot be seen at the edge of an id: controls, all kinds of blanks, of no width too,
# and the byte order mark.
_UNSEEN = r"[\x00-\x20\x7f\u0085\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]+"


def null_words(choice: str | None) -> tuple[str, ...]:
    """The words of `data.null_words`."""
    if choice is None:
        return ()
    if choice == "usual":
        return USUAL_NULLS
    return tuple(word.strip() for word in choice.split(",") if word.strip())


def id_text(role: str, kind: DataType, file: str, columns: ColumnParams) -> Column:
    """Turn ids into text without unseen signs around it.

    Raises
    ------
    MusicRecError
        The column is neither of text nor of whole numbers.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DecimalType, IntegralType

    if is_text(kind):
        return trimmed(F.col(role))
    # Spark reads unsigned 64-bit numbers as decimal(20,0).
    if isinstance(kind, IntegralType) or (isinstance(kind, DecimalType) and kind.scale == 0):
        return F.col(role).cast("string")
    raise wrong_type(role, kind, file, columns, "text or whole numbers")


def trimmed(text: Column) -> Column:
    """Cut unseen signs off both ends; a regular expression runs only where there may be some."""
    from pyspark.sql import functions as F

    last = F.right(text, F.lit(1))
    plain = (text >= "!") & (text < "\x7f") & (last >= "!") & (last < "\x7f")
    return F.when(plain, text).otherwise(F.regexp_replace(text, f"^{_UNSEEN}|{_UNSEEN}$", ""))


def id_flaws(role: str, value: Column, nulls: tuple[str, ...]) -> Flaws:
    """Say when an id, as `id_text` gives it, is missing or was not decoded."""
    from pyspark.sql import functions as F

    missing = value.isNull() | (value == "")
    if nulls:
        missing = missing | ((F.octet_length(value) <= max(map(len, nulls))) & value.isin(*nulls))
    # Bytes that are not UTF-8 are read as U+FFFD, so that different ids would become one.
    return [(f"{role}_missing", missing), (f"{role}_not_text", value.contains("\ufffd"))]
