"""Ids of users and tracks: always text, without the blanks around it."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from musicrec.ingest.formats.header import UNSEEN
from musicrec.ingest.rows.flaws import Flaws, is_text, wrong_type
from musicrec.params import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# What programs write where there is no value.
USUAL_NULLS = (
    "\\N", "NULL", "null", "Null", "None", "none", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "<NA>",
    "#N/A", "nil", "undefined",
)  # fmt: skip
LONGEST_NULL = max(map(len, USUAL_NULLS))


@functools.cache
def unseen_signs() -> str:
    """The signs that are cut off both ends of an id."""
    return "".join(filter(re.compile(UNSEEN).fullmatch, map(chr, range(1 << 16))))


def null_words(choice: str | None) -> tuple[str, ...]:
    """The words of `data.null_words`."""
    if choice is None:
        return ()
    if choice == "usual":
        return USUAL_NULLS
    return tuple(word.strip() for word in choice.split(",") if word.strip())


def checked_id(
    frame: DataFrame, role: str, file: str, columns: ColumnParams, nulls: tuple[str, ...]
) -> tuple[DataFrame, Flaws]:
    """Turn the column of a role into text without unseen signs around it.

    Parameters
    ----------
    nulls : tuple of str
        Words that stand for a missing id.

    Raises
    ------
    MusicRecError
        The column is neither of text nor of whole numbers.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DecimalType, IntegralType

    kind, value, plain = frame.schema[role].dataType, F.col(role), F.col(f"{role}_plain")
    if is_text(kind):
        frame = frame.withColumn(f"{role}_plain", _is_plain(value))
        frame = frame.withColumn(role, F.when(plain, value).otherwise(_without_unseen(value)))
    # Spark reads unsigned 64-bit numbers as decimal(20,0).
    elif isinstance(kind, IntegralType) or (isinstance(kind, DecimalType) and kind.scale == 0):
        frame = frame.withColumns({f"{role}_plain": F.lit(True), role: value.cast("string")})
    else:
        raise wrong_type(role, kind, file, columns, "text or whole numbers")
    missing = value.isNull() | (value == "")
    if nulls:
        missing = missing | ((F.octet_length(value) <= max(map(len, nulls))) & value.isin(*nulls))
    # Bytes that are not UTF-8 are read as U+FFFD, so that different ids would become one; NUL is
    # half a letter of UTF-16.
    not_text = (~plain & value.contains("\ufffd")) | value.contains("\0")
    return frame, [(f"{role}_missing", missing), (f"{role}_not_text", not_text)]


def trimmed(text: Column) -> Column:
    """Cut unseen signs off both ends; a regular expression runs only where there may be some."""
    from pyspark.sql import functions as F

    return F.when(_is_plain(text), text).otherwise(_without_unseen(text))


def _is_plain(text: Column) -> Column:
    """Whether a text is of ASCII alone and has no blank at either end: told in one pass."""
    from pyspark.sql import functions as F

    plain = (F.octet_length(text) == F.length(text)) & (text >= "!")
    for blank in " \t\r\n":
        plain = plain & ~text.endswith(blank)
    return plain


def _without_unseen(text: Column) -> Column:
    from pyspark.sql import functions as F

    return F.regexp_replace(text, f"^{UNSEEN}|{UNSEEN}$", "")
