"""What is no mistake by itself but seldom meant: counted with the rows, and said in a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicrec.ingest.rows.ids import LONGEST_NULL, USUAL_NULLS
from musicrec.ingest.rows.times import FORMS
from musicrec.params import DataParams

if TYPE_CHECKING:
    from pyspark.sql import Column

_RECORDED_SINCE = -631_152_000  # 1950, in seconds: no play was logged before
_SHARE = 0.01  # of the rows, from which a word such as NULL is taken for a missing id


def group_sums(*, timed: bool) -> list[Column]:
    """What a (user, track) must add up for `numbers`: times that stand for none, and all forms."""
    from pyspark.sql import functions as F

    if not timed:
        return []
    forms = F.bit_or("time_form").alias("time_forms")
    time = F.col("time")
    early = (time == -1) | (time < _RECORDED_SINCE)
    return [
        F.count_if(time == 0).alias("times_of_zero"),
        F.count_if(early).alias("times_too_early"),
        forms,
    ]


def numbers(rows: Column, *, timed: bool) -> list[Column]:
    """What to observe over all (user, track).

    Parameters
    ----------
    rows : Column
        Number of source rows of each.
    """
    from pyspark.sql import functions as F

    found = []
    for role in ("user", "track"):
        value = F.col(f"{role}_id")
        word = (F.octet_length(value) <= LONGEST_NULL) & value.isin(*USUAL_NULLS)
        found.append(F.sum(F.when(word, rows)).alias(f"null_words {role}"))
    if timed:
        for name in ("times_of_zero", "times_too_early"):
            found.append(F.sum(name).alias(name))
        found.append(F.bit_or(F.when(F.col("reason").isNull(), F.col("time_forms"))).alias("forms"))
    return found


def warnings(observed: dict[str, Any], rows: int, params: DataParams) -> list[str]:
    """Put what was observed into sentences.

    Parameters
    ----------
    rows : int
        Rows of the source.
    """
    said = []
    for role in ("user", "track"):
        found = observed[f"null_words {role}"] or 0
        if found >= _SHARE * rows and found:
            column = getattr(params.columns, role)
            said.append(
                f"{params.source}: column {column!r} holds words such as NULL, None or nan in "
                f"{found:,} of {rows:,} rows, each of which becomes one {role}; if they stand for "
                "a missing id, set data.null_words: usual"
            )
    zeros, forms = observed.get("times_of_zero") or 0, observed.get("forms") or 0
    early = observed.get("times_too_early") or 0
    column = params.columns.timestamp
    if zeros:
        said.append(
            f"{params.source}: column {column!r} is 0 (1970) in {zeros:,} of {rows:,} rows, which "
            "count as the oldest plays"
        )
    if early:
        said.append(
            f"{params.source}: column {column!r} is -1 or before 1950 in {early:,} of {rows:,} "
            "rows, as programs write a missing time; they count as the oldest plays"
        )
    names = [name for name, bit in FORMS.items() if forms & bit]
    if len(names) > 1:
        said.append(
            f"{params.source}: column {column!r} mixes {' and '.join(names)}; all were turned into "
            "seconds by their size"
        )
    return said
