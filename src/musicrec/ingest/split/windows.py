"""The windows of time that training and held-out plays are in (`data.protocol: temporal`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.ingest.read.values import SECOND, times_of
from musicrec.params import DataParams, duration_seconds

Windows = dict[str, tuple[int, int]]
Times = Callable[[], Iterable[np.ndarray]]  # microseconds since 1970: int64 arrays, none empty
_BUCKETS = 1 << 16
_YEAR_ONE = -62_135_596_800  # the first second that a date can show


def windows_of(params: DataParams, judged: str, times: Times) -> Windows:
    """Find the windows of training and of the held-out plays.

    Training ends `data.gap` before the boundary of `judged`, and a validation window as long before
    that of the test.

    `times` gives the time of every play, in parts, and is called several times. Returns `train` and
    `judged` -> first microsecond, and the first one after it.

    Raises
    ------
    MusicRecError
        A boundary is missing or not a time; a window has no play.
    """
    first = min(int(part.min()) for part in times())
    last = max(int(part.max()) for part in times())
    span = f"the plays are from {shown(first)} to {shown(last)}"
    wanted = {split: getattr(params, f"{split}_from") for split in ("validation", "test")}
    if wanted[judged] is None:
        raise MusicRecError(
            f"data.protocol: temporal with evaluate.split: {judged} needs data.{judged}_from, a "
            f"date or a share of the plays; {span}"
        )
    found = {}
    for split, value in wanted.items():
        if isinstance(value, float):
            found[split] = _latest(value, times, first, last)
        elif value is not None:
            found[split] = _time(f"{split}_from", value)
    gap, own, since = duration_seconds(params.gap) * SECOND, found[judged], first
    end = found["test"] - gap if judged == "validation" and "test" in found else last + 1
    if params.since is not None:
        try:
            since = own - duration_seconds(params.since) * SECOND
        except ValueError:
            since = _time("since", params.since)
    windows = {"train": (since, own - gap), judged: (own, end)}
    for name, (start, stop) in windows.items():
        if not any(((part >= start) & (part < stop)).any() for part in times()):
            raise MusicRecError(
                f"{params.source}: no play is in the window of {name}, from {shown(start)} until "
                f"{shown(stop)}; {span}; set data.validation_from, data.test_from, data.since or "
                "data.gap"
            )
    return windows


def shown(time: int) -> str:
    """A time in microseconds as text, to the second."""
    seconds = max(time // SECOND, _YEAR_ONE)
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat() + "Z"


def _time(name: str, text: str) -> int:
    values, codes = times_of(pa.array([text]), None)
    if codes[0]:
        raise MusicRecError(
            f"data.{name} = {text!r} is not allowed; it must be a date (2020-01-31), a time "
            "(2020-01-31 18:00, UTC unless it says otherwise)"
            + (" or a duration (180d)" if name == "since" else " or a share of the plays (0.1)")
        )
    return int(values[0])


def _latest(share: float, times: Times, first: int, last: int) -> int:
    """The time from which on a share of the plays are, rounded to whole plays.

    Counts the plays of 65,536 equal intervals, then of the one that holds the time, and so on, so
    that memory does not follow the plays.
    """
    wanted = max(1, int(share * sum(len(part) for part in times()) + 0.5))
    while first < last:
        width = (last - first) // _BUCKETS + 1
        tally = np.zeros(_BUCKETS, np.int64)
        for part in times():
            here = part[(part >= first) & (part <= last)]
            tally += np.bincount((here - first) // width, minlength=_BUCKETS)
        from_end = np.cumsum(tally[::-1])
        later = int(np.searchsorted(from_end, wanted))
        wanted -= int(from_end[later - 1]) if later else 0
        first += (_BUCKETS - 1 - later) * width
        last = min(last, first + width - 1)
    return first
