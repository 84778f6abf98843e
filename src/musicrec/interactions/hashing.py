"""Choice by hash (MD5, RFC 1321): the same rows on any machine, in any order, at any size.

NumPy computes MD5 of many texts at once; Spark's `md5` gives the same digests
(`ingest.split.on_spark`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BITS = 52  # of a digest that make a fraction: 13 hexadecimal digits, exact in a double
SEPARATOR = "\0"  # between what is hashed together; no id holds it
_BLOCK = 1 << 14  # texts hashed at a time

_SHIFTS = [s for four in ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
           for s in four * 4]  # fmt: skip
_ADDENDS = [np.uint32(int(abs(math.sin(i + 1)) * 2**32)) for i in range(64)]
_START = tuple(map(np.uint32, (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)))


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
    for rows, data in _by_length(texts):
        found[rows] = _md5(data)
    return found


def _by_length(texts: pa.StringArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows whose texts have as many bytes, and those bytes: uint8 (rows, bytes)."""
    if pa.types.is_large_string(texts.type):
        texts = texts.cast(pa.string())
    _, bounds, data = texts.buffers()
    offsets = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data if data is not None else b"", np.uint8)
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    for alike in np.split(order, ends):
        for start in range(0, len(alike), _BLOCK):
            rows = alike[start : start + _BLOCK]
            yield rows, content[offsets[rows, None] + np.arange(lengths[rows[0]])]


def _md5(data: np.ndarray) -> np.ndarray:
    """MD5 of rows of equal length: uint8 (n, bytes) to the first 8 bytes, uint64 (n)."""
    n, length = data.shape
    size = (length + 8) // 64 * 64 + 64
    padded = np.zeros((n, size), np.uint8)
    padded[:, :length] = data
    padded[:, length] = 0x80
    padded[:, size - 8 :] = np.frombuffer((8 * length).to_bytes(8, "little"), np.uint8)
    words = np.ascontiguousarray(padded.view("<u4").T)
    state = [np.full(n, value, np.uint32) for value in _START]
    for start in range(0, size // 4, 16):
        state = _compressed(state, words[start : start + 16])
    high, low = (half.astype("<u4").byteswap().view("<u4").astype(np.uint64) for half in state[:2])
    return high << np.uint64(32) | low


def _compressed(state: list[np.ndarray], words: np.ndarray) -> list[np.ndarray]:
    """One block of 64 bytes, for all rows: words uint32 (16, n)."""
    a, b, c, d = state
    for i, (shift, addend) in enumerate(zip(_SHIFTS, _ADDENDS, strict=True)):
        if i < 16:
            mixed, word = d ^ (b & (c ^ d)), i
        elif i < 32:
            mixed, word = c ^ (d & (b ^ c)), 5 * i + 1
        elif i < 48:
            mixed, word = b ^ c ^ d, 3 * i + 5
        else:
            mixed, word = c ^ (b | ~d), 7 * i
        mixed = mixed + a + addend + words[word % 16]
        turned = (mixed << np.uint32(shift)) | (mixed >> np.uint32(32 - shift))
        a, b, c, d = d, b + turned, b, c
    return [old + new for old, new in zip(state, (a, b, c, d), strict=True)]
