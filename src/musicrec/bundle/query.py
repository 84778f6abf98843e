"""What a recommendation may be asked for, checked once, and what is answered."""

from __future__ import annotations

import math
import numbers
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, TypedDict

import numpy as np

from musicrec.bundle.ids import Id, Ids, Indices
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions

LARGEST_COUNT = 2**63 - 1  # what a play count of the pipeline may be
Plays = Mapping[Any, Any]
Source = Literal["factors", "popularity"]
FACTORS: Source = "factors"
POPULARITY: Source = "popularity"
NOTHING_LEFT = (
    "nothing is left to recommend: all that could be is played, excluded or below min_score"
)
NOTHING_ASKED = "k is 0, so nothing is recommended; ask for 1 or more"
NO_FACTORS = (
    "these plays tell the model nothing (none known, or all below feedback.min_count), "
    "so these are the most popular tracks"
)
_NONE = np.empty(0, np.int32)
_SECONDS = {"h": 3600, "d": 86400, "w": 604800}


class Options(TypedDict, total=False):
    """Keywords of every question for recommendations.

    exclude_seen : bool, default True
        Leave out the tracks of the plays.
    candidates : iterable of track ids, or what `bundle.tracks.indices` made of them, optional
        Recommend nothing else.
    exclude : the same, optional
        Never recommend these.
    search_k : int, optional
        Search the Annoy index, inspecting about so many nodes; by default the search is exact.
        Where that finds fewer tracks than are asked for and left, the exact search answers.
    diversity : float in [0, 1], default 0
        Weight of being unlike what stands above in the list (maximal marginal relevance over the
        cosine of the factors), against the score.
    min_score : float, optional
        Recommend nothing of a lower score. Lists by popularity do not heed it.
    max_per_group : int, optional
        At most so many tracks of one group, such as an artist; for bundles with `export.groups`.
        Tracks without a group are not counted.
    not_played_for : str or timedelta, optional
        Of the tracks played, leave out those of so long before the newest play of the bundle, and
        those whose time is not known: `60d`, `12h`, `8w`. Instead of `exclude_seen`; for users of a
        bundle whose plays have times.
    """

    exclude_seen: bool
    candidates: Iterable[Id] | Indices | None
    exclude: Iterable[Id] | Indices | None
    search_k: int | None
    diversity: float
    min_score: float | None
    max_per_group: int | None
    not_played_for: str | timedelta | None


@dataclass(frozen=True)
class Query:
    """A checked question; tracks are indices (int32), ascending, times seconds.

    `k` is at most the number of tracks, so that nothing is ever made as long as a number given;
    `candidates` are without the excluded ones.
    """

    n_items: int
    k: int
    exclude_seen: bool
    candidates: np.ndarray | None
    exclude: np.ndarray
    search_k: int | None
    diversity: float
    min_score: float | None
    max_per_group: int | None
    not_played_for: int | None
    unknown: tuple[str, ...]

    @cached_property
    def mask(self) -> np.ndarray | None:
        """A bit a track, the lowest first, uint8 array: what candidates and exclusions rule out."""
        if self.candidates is None and not len(self.exclude):
            return None
        chosen = self.exclude if self.candidates is None else self.candidates
        bits = np.zeros(self.n_items // 8 + 1, np.uint8)
        np.bitwise_or.at(bits, chosen >> 3, (1 << (chosen & 7)).astype(np.uint8))
        return bits if self.candidates is None else ~bits


@dataclass(frozen=True)
class Recommendation:
    """One recommended track: its score is the inner product, or, by popularity, its listeners.

    `name` is there if the bundle has names, `last_played` (seconds UTC) if the user played the
    track and the time is known.
    """

    track_id: str
    score: float
    name: str | None = None
    last_played: int | None = None


@dataclass(frozen=True)
class Neighbour:
    """A similar track or user, by the cosine of the factors."""

    id: str
    similarity: float
    name: str | None = None


@dataclass(frozen=True)
class Answer(Sequence[Recommendation]):
    """Recommended tracks, the best first; behaves as the sequence of them.

    `source` is `popularity` where the factors have nothing to say, `unknown` has the ids of the
    question that the model does not know, `note` a sentence where the answer is not ordinary.
    """

    tracks: tuple[Recommendation, ...]
    source: Source = FACTORS
    unknown: tuple[str, ...] = ()
    note: str = ""

    def __len__(self) -> int:
        """How many tracks."""
        return len(self.tracks)

    def __getitem__(self, position: Any) -> Any:
        """The track at a position, from 0, or the tracks of a slice."""
        return self.tracks[position]

    @property
    def track_ids(self) -> list[str]:
        """Their ids."""
        return [found.track_id for found in self.tracks]


def checked_query(tracks: Ids, k: int, options: Options) -> Query:
    """Check what is asked: TypeError for another keyword, MusicRecError for what cannot be."""
    if unexpected := set(options) - set(Options.__annotations__):
        raise TypeError(f"unexpected keyword {min(unexpected)!r}")
    chosen, banned = options.get("candidates"), options.get("exclude")
    candidates, unknown = (None, ()) if chosen is None else tracks.indices(chosen)
    exclude, unknown_too = (_NONE, ()) if banned is None else tracks.indices(banned)
    if candidates is not None and len(exclude):
        candidates = np.setdiff1d(candidates, exclude, assume_unique=True)
    search_k, least = options.get("search_k"), options.get("min_score")
    per_group, period = options.get("max_per_group"), options.get("not_played_for")
    return Query(
        n_items=len(tracks),
        k=min(whole("k", k, 0), len(tracks)),
        exclude_seen=bool(options.get("exclude_seen", True)),
        candidates=candidates,
        exclude=exclude,
        search_k=None if search_k is None else whole("search_k", search_k, 1),
        diversity=_number("diversity", options.get("diversity", 0.0), 0.0, 1.0),
        min_score=None if least is None else _number("min_score", least),
        max_per_group=None if per_group is None else whole("max_per_group", per_group, 1),
        not_played_for=None if period is None else _seconds(period),
        unknown=tuple(dict.fromkeys(unknown + unknown_too)),
    )


def rows_of_keys(keys: np.ndarray, n_users: int, n_items: int) -> Interactions:
    """Rows (n_users, n_items) from keys user << 32 | item (int64), in any order; counts are 1."""
    keys = np.unique(keys)
    indptr = np.searchsorted(keys, np.arange(n_users + 1) << 32)
    items = (keys & 0xFFFFFFFF).astype(np.int32)
    return Interactions(indptr, items, np.ones(len(keys), np.float32), n_items)


def checked_plays(lists: Iterable[Plays], ids: Ids) -> tuple[Interactions, list[tuple[str, ...]]]:
    """Look up the plays of each row: those of known ids (n, len(ids)), and the other ids."""
    indptr, indices, counts, unknown = [0], [], [], []
    for plays in lists:
        if not isinstance(plays, Mapping):
            kind = type(plays).__name__
            raise MusicRecError(f"plays are a mapping of ids to counts, {{'t1': 3}}, not a {kind}")
        known: Counter[int] = Counter()
        others: dict[str, None] = {}
        for index, given, value in zip(
            ids.find([*plays]).tolist(), plays, plays.values(), strict=True
        ):
            count = whole(f"play count of {given}", value, 1)
            if count > LARGEST_COUNT:
                raise MusicRecError(f"play count of {given} has more than 18 digits; is it right?")
            if index < 0:
                others[str(given)] = None
            else:
                known[index] += count
        indices += sorted(known)
        counts += [known[index] for index in sorted(known)]
        indptr.append(len(indices))
        unknown.append(tuple(others))
    columns = np.array(indices, np.int32)
    rows = Interactions(np.array(indptr, np.int64), columns, np.array(counts, np.float32), len(ids))
    return rows, unknown


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of any kind as an int; MusicRecError if it is none or below `least`."""
    try:
        number = None if isinstance(value, bool | np.bool_ | str | bytes) else int(value)
    except (TypeError, ValueError, ArithmeticError):
        number = None
    if number is None or number != value or number < least:
        raise MusicRecError(f"{name} is {_short(value)}, not a whole number of at least {least}")
    return number


def _number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if not least <= number <= most:
        limits = f"a number from {least:g} to {most:g}" if math.isfinite(least) else "a number"
        raise MusicRecError(f"{name} is {_short(value)}, not {limits}")
    return number


def _seconds(period: str | timedelta) -> int:
    if isinstance(period, timedelta) and period >= timedelta(0):
        return int(period.total_seconds())
    found = re.fullmatch(r"(\d{1,6})([hdw])", period) if isinstance(period, str) else None
    if found is None:
        raise MusicRecError(f"not_played_for is {_short(period)}; write 60d, 12h or 8w")
    return int(found[1]) * _SECONDS[found[2]]


def _short(value: Any) -> str:
    if isinstance(value, numbers.Integral) and not -(10**18) < int(value) < 10**18:
        return "a number of more than 18 digits"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
