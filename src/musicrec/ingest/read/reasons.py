"""What can be wrong with a row, and the words for it."""

from __future__ import annotations

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
        "quotes cannot hold a line break)",
    ),
    "broken_json": ("", "something that is not one JSON object with text or numbers as ids", ""),
    "not_a_row": (
        "",
        "no play but a comment or a header",
        "remove it",
    ),
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
    "count_not_finite": ("count", "NaN or infinite", ""),
    "count_ambiguous": (
        "count",
        "written like 2.000, which may be 2 or 2000, or like 2,00,",
        "set data.decimal to point or comma",
    ),
    "count_not_a_number": ("count", "text where a number is expected", ""),
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
