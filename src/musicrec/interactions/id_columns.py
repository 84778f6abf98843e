"""Columns of ids: numbered, laid out as bytes, and chosen from by hash.

Choice by MD5 (RFC 1321) takes the same rows on any machine, in any order, at any size.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.storage.files import read_json, require_sound
from musicrec.storage.parquet import read_table

IDS = {"user": "user_id", "item": "track_id"}  # columns of what the index stage numbers
BITS = 52  # of a digest that make a fraction: 13 hexadecimal digits, exact in a double
SEPARATOR = "\0"  # between what is hashed together; no id holds it
_BLOCK = 1 << 16  # texts in Python at a time


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


def pair_keys(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Pairs as numbers, user << 32 | item: int64 array."""
    return users.astype(np.int64) << 32 | items


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


def read_ids(indexed: Path, kind: str) -> pa.StringArray:
    """Ids of the users or items of a folder of the index stage, by index."""
    return read_table(indexed / f"{kind}s.parquet", [IDS[kind]]).column(0).combine_chunks()


def hash_fraction(seed: int, *columns: pa.StringArray, salt: str) -> np.ndarray:
    """Map (seed, salt, row of the columns) to a number in [0, 1) that looks uniform.

    `hash_fraction(seed, users, salt="downsample") < fraction` keeps that share of the users, and a
    larger fraction keeps the same ones and more.

    Parameters
    ----------
    seed : int
        The stage's seed.
    *columns : pyarrow.StringArray (n)
        What is chosen, without nulls.
    salt : str
        Names the purpose: choices with one seed and different salts are independent.

    Returns
    -------
    float64 array (n)
        The first 52 bits of MD5 of seed, salt and ids, with NUL between them, divided by 2^52.
    """
    prefix = pa.scalar(f"{seed}{SEPARATOR}{salt}")
    texts = pc.binary_join_element_wise(prefix, *columns, SEPARATOR)
    return (digests(texts) >> np.uint64(64 - BITS)).astype(np.float64) / 2.0**BITS


def text_parts(texts: pa.StringArray, parts: int) -> np.ndarray:
    """The part of each text: the first 32 bits of its MD5 modulo `parts`; int64 array (n)."""
    return (digests(texts) >> np.uint64(32)).astype(np.int64) % parts


def digests(texts: pa.StringArray) -> np.ndarray:
    """The first 8 bytes of MD5 of each text's UTF-8 as a big-endian number: uint64 array (n)."""
    found = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _BLOCK):
        block = texts.slice(start, _BLOCK).cast(pa.large_binary()).to_pylist()
        heads = b"".join([hashlib.md5(text, usedforsecurity=False).digest()[:8] for text in block])
        found[start : start + len(block)] = np.frombuffer(heads, ">u8")
    return found


def id_arrays(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Lay ids one behind the other: UTF-8 (uint8) and n + 1 starts (int64)."""
    texts = ids.cast(pa.large_binary())
    _, offsets, characters = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(characters or b"", np.uint8)[starts[0] : starts[-1]]
    return text, starts - starts[0]
