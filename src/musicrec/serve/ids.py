"""Ids of users or tracks, searched where they lie in the bundle."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from musicrec.errors import MusicRecError
from musicrec.serve.kernels import find, find_all, ids_are_sound

Id = str | int | np.integer


@dataclass(frozen=True)
class Ids:
    """All ids of one kind; see `musicrec.export.manifest.layout` for the arrays.

    Attributes
    ----------
    kind : str
        `user` or `track`.
    """

    kind: str
    text: np.ndarray
    starts: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.order)

    def sound(self) -> bool:
        """Whether the arrays hold ids: each once, in UTF-8."""
        if not ids_are_sound(self.text, self.starts, self.order):
            return False
        try:
            str(self.text.data, "utf-8")
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
        return int(find(self.text, self.starts, self.order, np.frombuffer(key, np.uint8)))

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
        find_all(self.text, self.starts, self.order, joined, ends, found)
        unknown = dict.fromkeys(texts[i] for i in np.flatnonzero(found < 0))
        return np.unique(found[found >= 0]), tuple(unknown)

    def text_of(self, index: int) -> str:
        """The id itself."""
        return bytes(self.text[self.starts[index] : self.starts[index + 1]]).decode()

    def texts(self) -> list[str]:
        """All ids, by dense id."""
        return [self.text_of(index) for index in range(len(self))]


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
