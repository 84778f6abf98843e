"""What can be wrong with a row, and the words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musicrec.errors import MusicRecError
from musicrec.params import ColumnParams

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

Flaws = list[tuple[str, "Column"]]  # reason, and the condition under which a row has it

MAX_COUNT = 2**63 - 1
_NOT_TEXT = (
    "holding U+FFFD, the sign for bytes that are no text, or NUL",
    "set data.encoding to what the file is (such as latin-1)",
)

# In the order of the checks: reason -> (column's role, what is wrong, what to do beside fixing the
# source or dropping the rows).
REASONS = {
    "ragged_line": (
        "",
        "another number of fields than the other lines, or a quote amiss,",
        "check data.separator and data.quote (none, if quotes are part of the text; a field in "
        "quotes cannot hold a line break)",
    ),
    "broken_json": ("", "something that is not one JSON object with text or numbers as ids", ""),
    "user_missing": ("user", "null or blank", ""),
    "user_not_text": ("user", *_NOT_TEXT),
    "track_missing": ("track", "null or blank", ""),
    "track_not_text": ("track", *_NOT_TEXT),
    "count_missing": ("count", "null or blank", ""),
    "count_not_finite": ("count", "NaN or infinite", ""),
    "count_ambiguous": (
        "count",
        "written like 2.000, which may be 2 or 2000, or like 2,00,",
        "set data.decimal to point or comma",
    ),
    "count_not_a_number": ("count", "text where a number is expected", ""),
    "count_negative": ("count", "negative", ""),
    "count_zero": ("count", "zero", ""),
    "count_fractional": ("count", "not a whole number", ""),
    "count_too_large": ("count", f"above {MAX_COUNT}, the largest 64-bit number", ""),
    "timestamp_missing": ("timestamp", "null or blank", ""),
    "timestamp_invalid": (
        "timestamp",
        "neither a number nor a date and time",
        "the forms that are read are numbers, 2012-01-02 (17:05:30, T17:05:30Z), 02 Jan 2012, "
        "17:05 and Mon Jan 02 17:05:30 +0000 2012; set data.time_format for others",
    ),
}


def wrong_type(
    role: str, kind: DataType, file: str, columns: ColumnParams, ask: str
) -> MusicRecError:
    """Say that a column's type cannot hold what its role asks for."""
    return MusicRecError(
        f"{file}: column {getattr(columns, role)!r} (data.columns.{role}) holds "
        f"{kind.simpleString()} values; it must hold {ask}"
    )


def is_text(kind: DataType) -> bool:
    """Whether a column is of text."""
    from pyspark.sql.types import StringType

    return isinstance(kind, StringType)
