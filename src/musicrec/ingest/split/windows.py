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

    Parameters
    ----------
    judged : str
        `validation` or `test`.
    times : callable
        The time of every play, in parts; called several times.

    Returns
    -------
    dict
        `train` and `judged` -> first microsecond, and the first one after it.

    Raises
    ------
    MusicRecError
        A boundary is missing, not a time, outside the plays, or not after the one before it.
    """
    first = min(int(part.min()) for part in times())
    last = max(int(part.max()) for part in times())
    span = f"the plays are from {shown(first)} to {shown(last)}"
    names = [f"{split}_from" for split in ("validation", "test")]
    wanted = {name: value for name in names if (value := getattr(params, name)) is not None}
    if f"{judged}_from" not in wanted:
        raise MusicRecError(
            f"data.protocol: temporal with evaluate.split: {judged} needs data.{judged}_from, a "
            f"date or a share of the plays; {span}"
        )
    found = {name: _boundary(name, value, times, first, last) for name, value in wanted.items()}
    for name, time in found.items():
        if not first < time <= last:
            raise MusicRecError(
                f"{_said(name, wanted, time)}: no play is {'before' if time <= first else 'after'} "
                f"it; {span}"
            )
    if len(found) == 2 and found["validation_from"] >= found["test_from"]:
        said = [_said(name, wanted, time) for name, time in found.items()]
        raise MusicRecError(f"{said[0]} must be before {said[1]}; {span}")
    gap = duration_seconds(params.gap) * SECOND
    own = found[f"{judged}_from"]
    end = found["test_from"] - gap if judged == "validation" and len(found) == 2 else last + 1
    since = first if params.since is None else _since(params.since, own)
    begin = "the first play" if params.since is None else f"data.since = {params.since}"
    if since >= own:
        raise MusicRecError(f"{begin} must be before data.{judged}_from; {span}")
    _require_gap(params.gap, own - since, (begin, f"data.{judged}_from"))
    if end <= last:
        _require_gap(
            params.gap, found["test_from"] - own, (f"data.{judged}_from", "data.test_from")
        )
    for name, start, stop in (("training", since, own - gap), (judged, own, end)):
        if not any(((part >= start) & (part < stop)).any() for part in times()):
            raise MusicRecError(
                f"no play is in the window of {name}, from {shown(start)} to {shown(stop)} "
                f"(data.validation_from, data.test_from, data.since, data.gap); {span}"
            )
    return {"train": (since, own - gap), judged: (own, end)}


def _require_gap(gap: str | None, length: int, ends: tuple[str, str]) -> None:
    if duration_seconds(gap) * SECOND >= length:
        days = length / (86_400 * SECOND)
        raise MusicRecError(
            f"data.gap = {gap} must be shorter than the {days:.3g} days between {ends[0]} and "
            f"{ends[1]}"
        )


def shown(time: int) -> str:
    """A time in microseconds as text, to the second."""
    seconds = max(time // SECOND, _YEAR_ONE)
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat() + "Z"


def _said(name: str, wanted: dict[str, float | str], time: int) -> str:
    value = wanted[name]
    return f"data.{name} = {value}" + (f" ({shown(time)})" if isinstance(value, float) else "")


def _boundary(name: str, value: float | str, times: Times, first: int, last: int) -> int:
    if isinstance(value, float):
        return _latest(value, times, first, last)
    return _time(name, value)


def _time(name: str, text: str) -> int:
    found = times_of(pa.array([text]), None)
    if found.codes[0]:
        raise MusicRecError(
            f"data.{name} = {text!r} is not allowed; it must be a date (2020-01-31), a time "
            "(2020-01-31 18:00, UTC unless it says otherwise)"
            + (" or a duration (180d)" if name == "since" else " or a share of the plays (0.1)")
        )
    return int(found.values[0])


def _since(value: str, boundary: int) -> int:
    try:
        return boundary - duration_seconds(value) * SECOND
    except ValueError:
        return _time("since", value)


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
