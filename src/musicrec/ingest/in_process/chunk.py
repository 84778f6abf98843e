"""A piece of a source without a flaw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from musicrec.interactions.coded import dictionary


class Doubt(Exception):
    """The source may have a flaw, or is more than this road reads."""


@contextmanager
def doubting() -> Iterator[None]:
    """Doubt what cannot be read; too little memory stays what it is."""
    try:
        yield
    except MemoryError:  # which is one of Arrow's, too
        raise
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise Doubt from error


class Times(NamedTuple):
    """When some plays were: int64 (n), nanoseconds of `dates`, else numbers as they stood."""

    values: np.ndarray
    dates: bool


class Chunk(NamedTuple):
    """Some rows of a file: ids without nulls, counts from 1, times where they are mapped."""

    users: pa.DictionaryArray
    tracks: pa.DictionaryArray
    counts: np.ndarray
    times: Times | None


Reading = Callable[[], Chunk]


def ids_of(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of texts or whole numbers as ids.

    Raises
    ------
    Doubt
        One is missing.
    """
    if column.null_count:
        raise Doubt
    if column.num_chunks == 1:
        found = dictionary(column.chunk(0))
    else:
        chunks = [dictionary(chunk) for chunk in column.chunks] or [
            dictionary(pa.array([], pa.string()))
        ]
        found = pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
    if found.dictionary.null_count:
        raise Doubt
    return found
