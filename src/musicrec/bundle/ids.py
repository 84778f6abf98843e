"""Ids of users or tracks, searched where they lie in the bundle."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from musicrec.bundle.kernels import (
    IdArrays,
    find,
    find_all,
    ids_are_sound,
    shared_start,
    write_heads,
)
from musicrec.errors import MusicRecError

Id = str | int | np.integer


@dataclass(frozen=True, repr=False)
class Ids:
    """All ids of one kind, as texts: `ids[0]`, `list(ids)`, `"b80344d0" in ids`.

    Attributes
    ----------
    kind : str
        `user` or `track`.
    arrays : IdArrays
    """

    kind: str
    arrays: IdArrays

    @classmethod
    def of(cls, kind: str, text: np.ndarray, starts: np.ndarray, order: np.ndarray) -> Ids:
        """Take the arrays of a bundle as they are; see `musicrec.bundle.manifest.layout`."""
        return cls(kind, IdArrays(text, starts, order, np.empty(0, np.uint64), 0))

    def prepared(self) -> Ids:
        """The same ids, found several times as fast, for 8 bytes an id; they must be sound."""
        if not len(self):
            return self
        skip = int(shared_start(self.arrays))
        heads = np.empty(len(self), np.uint64)
        write_heads(self.arrays, skip, heads)
        return Ids(self.kind, self.arrays._replace(heads=heads, skip=skip))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.arrays.order)

    def __getitem__(self, index: int) -> str:
        """The text of a dense id; from the end where it is negative."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.kind} {index} of {len(self)}")
        return self.text_of(index % len(self))

    def __iter__(self) -> Iterator[str]:
        """Go through them by dense id."""
        return map(self.text_of, range(len(self)))

    def __contains__(self, given: object) -> bool:
        """Whether an id, text or whole number, is there."""
        try:
            return self.index(given) >= 0  # type: ignore[arg-type]
        except MusicRecError:  # something that is no id
            return False

    def __repr__(self) -> str:
        """Say how many there are, and what they look like."""
        return f"<{len(self):,} {self.kind} ids: {self.examples()}>"

    def examples(self) -> str:
        """The first two, for a sentence: `'a', 'b', …`."""
        more = [", …"] if len(self) > 2 else []
        return "".join([", ".join(repr(self[i]) for i in range(min(2, len(self)))), *more])

    def sound(self) -> bool:
        """Whether the arrays hold ids: each once, in UTF-8."""
        if not ids_are_sound(self.arrays):
            return False
        try:
            str(self.arrays.text.data, "utf-8")
        except UnicodeDecodeError:
            return False
        return True

    def index(self, given: Id) -> int:
        """Dense id, or -1 for an id that is not there.

        Raises
        ------
        MusicRecError
            It is neither text nor a whole number.
        """
        key = as_text(given, self.kind).encode("utf-8", "surrogatepass")
        return int(find(self.arrays, np.frombuffer(key, np.uint8)))

    def indices(self, given: Iterable[Id]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Dense ids of those that are there, ascending, each once; and the texts of the others."""
        if isinstance(given, str | bytes):
            raise MusicRecError(
                f"{self.kind} ids are wanted as a list, not as one text; write [{given!r}]"
            )
        texts = [as_text(one, self.kind) for one in given]
        keys = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.concatenate(([0], np.cumsum([len(key) for key in keys]))).astype(np.int64)
        found = np.empty(len(keys), np.int32)
        joined = np.frombuffer(b"".join(keys), np.uint8)
        find_all(self.arrays, joined, ends, found)
        unknown = dict.fromkeys(texts[i] for i in np.flatnonzero(found < 0))
        return np.unique(found[found >= 0]), tuple(unknown)

    def text_of(self, index: int) -> str:
        """The id itself."""
        start, stop = self.arrays.starts[index : index + 2]
        return bytes(self.arrays.text[start:stop]).decode()


def as_text(given: Id, kind: str) -> str:
    """An id as the pipeline keeps it: text, whole numbers in decimal.

    Raises
    ------
    MusicRecError
        It is neither text nor a whole number.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, numbers.Integral) and not isinstance(given, bool):
        return str(int(given))
    raise MusicRecError(
        f"{kind} id {given!r} is of type {type(given).__name__}; "
        "an id is text or a whole number, as in the plays"
    )
