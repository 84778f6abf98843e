"""What a bundle answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

Source = Literal["factors", "popularity"]
FACTORS: Source = "factors"
POPULARITY: Source = "popularity"
NOTHING_LEFT = "nothing is left to recommend: all that could be is played or excluded"
NOTHING_ASKED = "k is 0"
NO_FACTORS = (
    "these plays tell the model nothing (none known, or all below feedback.min_count), "
    "so these are the most popular tracks"
)


@dataclass(frozen=True)
class Recommendation:
    """One recommended track; its score is the inner product, or, by popularity, its listeners."""

    track_id: str
    score: float


@dataclass(frozen=True)
class Neighbour:
    """A similar track or user, by the cosine of the factors."""

    id: str
    similarity: float


@dataclass(frozen=True)
class Answer(Sequence[Recommendation]):
    """Recommended tracks, the best first; behaves as the sequence of them.

    Attributes
    ----------
    source : str
        `factors`, or `popularity` where the factors have nothing to say.
    unknown : tuple of str
        Track ids of the question that the model does not know.
    note : str
        A sentence where the answer is not the ordinary one, else empty.
    """

    tracks: tuple[Recommendation, ...]
    source: Source = FACTORS
    unknown: tuple[str, ...] = ()
    note: str = ""

    def __len__(self) -> int:
        """How many tracks."""
        return len(self.tracks)

    def __iter__(self) -> Iterator[Recommendation]:
        """The tracks, the best first."""
        return iter(self.tracks)

    @overload
    def __getitem__(self, place: int) -> Recommendation: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Recommendation, ...]: ...
    def __getitem__(self, place: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        """The track at a place, from 0."""
        return self.tracks[place]

    @property
    def track_ids(self) -> list[str]:
        """Their ids."""
        return [found.track_id for found in self.tracks]


@dataclass(frozen=True)
class Contribution:
    """What one play adds to a score."""

    track_id: str
    count: int
    part: float


@dataclass(frozen=True)
class Explanation:
    """Which plays carried a score: it is the sum of the parts and `remainder`.

    Attributes
    ----------
    score : float
        Inner product of the user's and the track's factors.
    plays : tuple of Contribution
        The largest part first.
    remainder : float
        What the factors hold beside the minimum of the training objective: rounding, for the
        native engine; what MLlib's solver left, for MLlib.
    """

    track_id: str
    score: float
    plays: tuple[Contribution, ...]
    remainder: float
