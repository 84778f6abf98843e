"""Times of plays, where all are written alike, as numbers of one order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.ingest.in_process.chunk import Doubt, Times
from musicrec.ingest.rows.times import UNITS

_NUMBER = "^[0-9]{1,18}$"
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}Z?$"


def times_of(column: pa.ChunkedArray) -> Times:
    """Read a column of whole numbers, dates or times, or of texts that are all one of these.

    Raises
    ------
    Doubt
        One is missing, or they are neither whole numbers nor dates and times in one usual form.
    """
    if column.null_count:
        raise Doubt
    kind = column.type
    if pa.types.is_string(kind):
        if pc.all(pc.match_substring_regex(column, _NUMBER)).as_py():
            return Times(column.cast(pa.int64()).to_numpy(), dates=False)
        if not pc.all(pc.match_substring_regex(column, _DATE)).as_py():
            raise Doubt
        column = pc.utf8_rtrim(column, "Z").cast(pa.timestamp("s"))
    elif pa.types.is_integer(kind):
        return Times(column.cast(pa.int64()).to_numpy(), dates=False)
    elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise Doubt
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    nanoseconds = column.cast(pa.timestamp("ns", zone))
    return Times(nanoseconds.cast(pa.int64()).to_numpy(), dates=True)


def joined(times: Sequence[Times]) -> np.ndarray:
    """Times of all chunks as int64 (n).

    Raises
    ------
    Doubt
        Some are dates and some are numbers, or numbers of another unit; one is 1970 or earlier.
    """
    found = np.concatenate([one.values for one in times])
    lowest, highest = found.min(), found.max()
    if lowest <= 0 or len({one.dates for one in times}) > 1:
        raise Doubt
    if not times[0].dates and any(lowest < least <= highest for least, *_ in UNITS):
        raise Doubt
    return found
