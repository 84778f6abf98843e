"""Ids as small numbers: a column of texts becomes its distinct texts and a number a row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.storage.files import read_json, require_sound


class Coded(NamedTuple):
    """A column of texts.

    Attributes
    ----------
    codes : int32 array (n)
        The place in `ids` of each row's text.
    ids : pyarrow.StringArray
        The distinct texts, ascending by their bytes, each in some row.
    """

    codes: np.ndarray
    ids: pa.StringArray


def dictionary(column: pa.Array) -> pa.DictionaryArray:
    """Encode a chunk of texts or whole numbers as numbers of a dictionary of texts.

    Raises
    ------
    pyarrow.ArrowInvalid
        A text is not UTF-8.
    """
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = encoded.dictionary.cast(pa.string())
    texts.validate(full=True)
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int32()), texts)


def code_ids(chunks: Sequence[pa.DictionaryArray]) -> Coded:
    """Number the texts of several chunks alike.

    Parameters
    ----------
    chunks : sequence of pyarrow.DictionaryArray, at least one
        Of `dictionary`, without nulls.

    Returns
    -------
    Coded
        Of all rows, in the order of the chunks.
    """
    alike = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in alike.chunks])
    texts = alike.chunks[-1].dictionary
    used = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    ids = texts.take(pa.array(used))
    order = pc.sort_indices(ids).to_numpy()
    ranks = np.empty(len(texts), np.int32)
    ranks[used[order]] = np.arange(len(order), dtype=np.int32)
    return Coded(ranks[codes], ids.take(pa.array(order)))


@dataclass(frozen=True)
class IndexSizes:
    """How many dense ids the index stage gave; ids of `n_*` and above are unknown to training."""

    n_users: int
    n_items: int
    n_all_users: int
    n_all_items: int


def read_sizes(path: str | os.PathLike[str]) -> IndexSizes:
    """Read the sizes that the index stage wrote beside its splits (`sizes.json`)."""
    require_sound(Path(path))
    return IndexSizes(**read_json(path))
