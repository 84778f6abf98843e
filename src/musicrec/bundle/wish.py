"""What may be asked of a recommendation, checked once."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from musicrec.bundle.ids import Id, Ids
from musicrec.errors import MusicRecError


class Options(TypedDict, total=False):
    """Keywords of every question for recommendations.

    exclude_seen : bool, default True
        Leave out the tracks of the plays.
    candidates : iterable of track ids, optional
        Recommend nothing else.
    exclude : iterable of track ids, optional
        Never recommend these.
    search_k : int, optional
        Search the Annoy index, inspecting about so many nodes; by default the search is exact.
        Where that finds fewer tracks than are asked for and left, the exact search answers.
    diversity : float in [0, 1], default 0
        Weight of being unlike what stands above in the list (maximal marginal relevance over the
        cosine of the factors), against the score.
    """

    exclude_seen: bool
    candidates: Iterable[Id] | None
    exclude: Iterable[Id] | None
    search_k: int | None
    diversity: float


_NONE = np.empty(0, np.int32)


@dataclass(frozen=True)
class Wish:
    """A checked question; tracks are dense ids, ascending.

    `k` is at most the number of tracks, so that nothing is ever made as long as a number given.
    """

    k: int
    exclude_seen: bool
    candidates: np.ndarray | None
    exclude: np.ndarray
    search_k: int | None
    diversity: float
    unknown: tuple[str, ...]


def checked_wish(tracks: Ids, k: int, options: Options) -> Wish:
    """Check what is asked.

    Raises
    ------
    MusicRecError
        A number is not whole or out of range.
    TypeError
        There is no such keyword.
    """
    if strange := set(options) - set(Options.__annotations__):
        raise TypeError(f"unexpected keyword {sorted(strange)[0]!r}")
    chosen, excluded = options.get("candidates"), options.get("exclude")
    candidates, unknown = (None, ()) if chosen is None else tracks.indices(chosen)
    exclude, unknown_too = (_NONE, ()) if excluded is None else tracks.indices(excluded)
    search_k = options.get("search_k")
    return Wish(
        k=min(whole("k", k, 0), len(tracks)),
        exclude_seen=bool(options.get("exclude_seen", True)),
        candidates=candidates,
        exclude=exclude,
        search_k=None if search_k is None else whole("search_k", search_k, 1),
        diversity=_share("diversity", options.get("diversity", 0.0)),
        unknown=tuple(dict.fromkeys(unknown + unknown_too)),
    )


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of any kind as an int.

    Raises
    ------
    MusicRecError
        It is not whole (NaN, text, true), or below `least`.
    """
    number = _as_int(value)
    if number is None or number < least:
        raise MusicRecError(f"{name} is {_short(value)}, not a whole number of at least {least}")
    return number


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    try:
        return int(value) if not isinstance(value, str | bytes) and value == int(value) else None
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return None


def _share(name: str, value: Any) -> float:
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if not 0.0 <= number <= 1.0:
        raise MusicRecError(f"{name} is {_short(value)}, not a number from 0 to 1")
    return number


def _short(value: Any) -> str:
    if isinstance(value, numbers.Integral) and not -(10**18) < int(value) < 10**18:
        return "a number of more than 18 digits"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
