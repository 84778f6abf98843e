"""Ids of users or tracks: how they lie in the bundle, and how they are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.errors import MusicRecError
from musicrec.interactions.id_columns import id_arrays
from musicrec.jit.kernel import fnv1a, kernel

Id = str | int | np.integer


class IdTable(NamedTuple):
    """A hash table of ids: open addressing, at most half full; a slot is an id's index, or -1.

    Starts are unsigned, since numba reads by such an index three times as fast.
    """

    text: np.ndarray
    starts: np.ndarray
    slots: np.ndarray


class Indices(NamedTuple):
    """Ids that were looked up: known ones (int32 array), ascending, each once; and the others."""

    known: np.ndarray
    unknown: tuple[str, ...]


class Ids:
    """All ids of one kind, as texts: `ids[0]`, `ids[:1000]`, `list(ids)`, `"b80344d0" in ids`."""

    def __init__(self, kind: str, text: np.ndarray, starts: np.ndarray) -> None:
        """Take `user` or `track` and the arrays of a bundle, by reference; see `id_arrays`."""
        self.kind = kind
        slots = np.full(2 ** max(1, (2 * len(starts) - 1).bit_length()), -1, np.int32)
        self._table = IdTable(text, starts.view(np.uint64), slots)
        _fill(self._table)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._table.starts) - 1

    def __getitem__(self, index: Any) -> Any:
        """The id of an index, from the end where it is negative; of a slice, a list of ids."""
        if isinstance(index, slice):
            return self.texts_of(np.arange(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.kind} {index} of {len(self)}")
        return self.texts_of(np.array([index % len(self)]))[0]

    def __iter__(self) -> Iterator[str]:
        """Go through them by index."""
        return iter(self[:])

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
        return ", ".join(map(repr, self[:2])) + (", …" if len(self) > 2 else "")

    def index(self, given: Id) -> int:
        """Index of an id, or -1 where it is unknown; MusicRecError for what is no id."""
        key = as_text(given, self.kind).encode("utf-8", "surrogatepass")
        return int(_find(self._table, np.frombuffer(key, np.uint8)))

    def require(self, given: Id) -> int:
        """Index of an id; MusicRecError where it is unknown."""
        index = self.index(given)
        if index < 0:
            raise MusicRecError(self.unknown(given))
        return index

    def unknown(self, given: Id) -> str:
        """Say that an id is unknown, and what to do."""
        if self.kind == "user":
            return (
                f"user {given!r} is not in the bundle, which knows the users of its training alone "
                "(`bundle.users` lists them); give the user's plays instead"
            )
        return (
            f"track {given!r} is not in the bundle: nobody played it in training; "
            f"ids of tracks are {self.examples()}"
        )

    def find(self, given: Sequence[Id]) -> np.ndarray:
        """Index of every id, -1 where it is unknown: int32 array (n)."""
        try:
            "".join(given)  # type: ignore[arg-type]
            return self.positions(pa.array(given, pa.string()))
        except (TypeError, UnicodeError):  # whole numbers, or no text of UTF-8
            keys = [as_text(one, self.kind).encode("utf-8", "surrogatepass") for one in given]
            return self.positions(pa.array(keys, pa.binary()))

    def indices(self, given: Iterable[Id] | Indices) -> Indices:
        """Look many ids up; what was looked up already is given back as it is."""
        if isinstance(given, Indices):
            return given
        if isinstance(given, str | bytes):
            raise MusicRecError(
                f"{self.kind} ids are wanted as a list, not as one text; write [{given!r}]"
            )
        ids: list[Any] = given.tolist() if isinstance(given, np.ndarray) else list(given)
        found = self.find(ids)
        unknown = dict.fromkeys(str(ids[i]) for i in np.flatnonzero(found < 0))
        return Indices(np.unique(found[found >= 0]), tuple(unknown))

    def positions(self, given: pa.Array) -> np.ndarray:
        """Index of every id of a binary or string array, -1 where unknown: int32 array (n)."""
        text, starts = id_arrays(given)
        slots, found = np.empty(len(given), np.int64), np.empty(len(given), np.int32)
        _find_all(self._table, text, starts.view(np.uint64), slots, found)
        return found

    def texts_of(self, indices: np.ndarray) -> list[str]:
        """The ids of indices, which are not checked."""
        return texts_of(self._table.text, self._table.starts, indices)

    def to_arrow(self) -> pa.Array:
        """All ids, as an Arrow array of strings."""
        offsets, text = pa.py_buffer(self._table.starts), pa.py_buffer(self._table.text)
        return pa.LargeStringArray.from_buffers(len(self), offsets, text).cast(pa.string())


def as_text(given: Id, kind: str) -> str:
    """An id as the pipeline keeps it: text, whole numbers in decimal."""
    if isinstance(given, str):
        return given
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        return str(int(given))
    raise MusicRecError(
        f"{kind} id {given!r} is of type {type(given).__name__}; "
        "an id is text or a whole number, as in the plays"
    )


def texts_of(text: np.ndarray, starts: np.ndarray, rows: np.ndarray) -> list[str]:
    """Texts of rows that lie one behind the other, as ids do; rows are not checked."""
    characters = text.data
    ends = zip(starts[rows].tolist(), starts[rows + 1].tolist(), strict=True)
    return [str(characters[start:stop], "utf-8") for start, stop in ends]


@kernel(allocates=False)
def _fill(table):
    """Put every id into the first free slot from that of its hash on."""
    mask = len(table.slots) - 1
    for index in range(len(table.starts) - 1):
        slot = _slot(table.text, table.starts[index], table.starts[index + 1], mask)
        while table.slots[slot] >= 0:
            slot = (slot + 1) & mask
        table.slots[slot] = index


@kernel(allocates=False)
def _find_all(table, keys, starts, slots, out):
    """Write the index of every key, -1 where unknown; key i is `keys[starts[i]:starts[i + 1]]`.

    The hashes in one pass and what is in their slots in another, so that waits for memory overlap.
    """
    for i in range(len(out)):
        slots[i] = _slot(keys, starts[i], starts[i + 1], len(table.slots) - 1)
    for i in range(len(out)):
        out[i] = table.slots[slots[i]]
    for i in range(len(out)):
        out[i] = _probe(table, slots[i], keys, starts[i], starts[i + 1])


@kernel(allocates=False)
def _find(table, key):
    """Index of the id whose bytes are `key`, or -1."""
    start, stop = np.uint64(0), np.uint64(len(key))
    slot = _slot(key, start, stop, len(table.slots) - 1)
    return _probe(table, slot, key, start, stop)


@kernel(allocates=False)
def _probe(table, slot, keys, start, stop):
    """Index of the id that is `keys[start:stop]`, from a slot on; -1 where it is unknown."""
    while table.slots[slot] >= 0:
        index = table.slots[slot]
        first = table.starts[index]
        same = table.starts[index + 1] - first == stop - start
        for byte in range(stop - start):
            same = same and table.text[first + byte] == keys[start + byte]
            if not same:
                break
        if same:
            return index
        slot = (slot + 1) & (len(table.slots) - 1)
    return np.int32(-1)


@kernel(allocates=False)
def _slot(keys, start, stop, mask):
    """Where to look for `keys[start:stop]` first: FNV-1a, its upper half folded in."""
    value = fnv1a(keys, start, stop)
    return np.int64(value ^ (value >> np.uint64(32))) & mask
