"""Choice by hash (MD5, RFC 1321): the same rows on any machine, in any order, at any size."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BITS = 52  # of a digest that make a fraction: 13 hexadecimal digits, exact in a double
SEPARATOR = "\0"  # between what is hashed together; no id holds it
_BLOCK = 1 << 16  # texts in Python at a time


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
