"""Spark's hashes of texts and numbers, without Spark: the same users fall to the same lot.

Both are of public design: XXH64 (Collet, https://xxhash.com) and MurmurHash3_x86_32 (Appleby), the
latter in the form of Spark's `Murmur3_x86_32.hashUnsafeBytes`, which takes the bytes after the last
whole word one by one, each with its sign.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

SPARK_SEED = 42  # of `xxhash64`, `hash` and `repartition` alike
BITS = 53  # a double holds every whole number of 53 bits, so that the division below is exact
_BLOCK = 1 << 18  # texts hashed at a time

# The primes of XXH64 and the constants of MurmurHash3, from their specifications.
_P1, _P2, _P3, _P4, _P5 = map(
    np.uint64,
    (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    ),
)
_C1, _C2, _C3, _C4, _C5 = map(
    np.uint32, (0xCC9E2D51, 0x1B873593, 0xE6546B64, 0x85EBCA6B, 0xC2B2AE35)
)


def hash_fraction(seed: int, *columns: pa.StringArray, salt: str) -> np.ndarray:
    """Map (seed, salt, row of the columns) to a number in [0, 1), as `ingest.splits.hashing` does.

    Parameters
    ----------
    seed : int
        The stage's seed.
    *columns : pyarrow.StringArray (n)
        What is chosen, without nulls.
    salt : str
        Names the purpose.

    Returns
    -------
    float64 array (n)
    """
    first = np.array([seed], "<i8").view(np.uint8).reshape(1, 8)
    digest = _xxh64(first, np.array([SPARK_SEED], np.uint64))
    digest = xxhash64(pa.array([salt]), digest)
    for column in columns:
        digest = xxhash64(column, np.broadcast_to(digest, len(column)))
    return (digest >> np.uint64(64 - BITS)).astype(np.float64) / 2.0**BITS


def xxhash64(texts: pa.StringArray, seeds: np.ndarray) -> np.ndarray:
    """XXH64 of the bytes of each text.

    Parameters
    ----------
    texts : pyarrow.StringArray (n)
    seeds : uint64 array (n)

    Returns
    -------
    uint64 array (n)
    """
    found = np.empty(len(texts), np.uint64)
    for rows, signs in _by_length(texts):
        found[rows] = _xxh64(signs, seeds[rows])
    return found


def text_parts(texts: pa.StringArray, parts: int) -> np.ndarray:
    """The part that Spark's `repartition(parts, column)` puts each text into: int64 array (n)."""
    found = np.empty(len(texts), np.uint32)
    for rows, signs in _by_length(texts):
        found[rows] = _murmur3(signs)
    return found.view(np.int32) % np.int64(parts)


def number_parts(numbers: np.ndarray, parts: int) -> np.ndarray:
    """The same for int32 numbers."""
    words = np.ascontiguousarray(numbers, "<i4").view(np.uint8).reshape(len(numbers), 4)
    return _murmur3(words).view(np.int32) % np.int64(parts)


def _by_length(texts: pa.StringArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows whose texts have as many bytes, and those bytes: uint8 (rows, bytes)."""
    if pa.types.is_large_string(texts.type):
        texts = texts.cast(pa.string())
    _, bounds, data = texts.buffers()
    offsets = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    signs = np.frombuffer(data if data is not None else b"", np.uint8)
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    for alike in np.split(order, ends):
        for start in range(0, len(alike), _BLOCK):
            rows = alike[start : start + _BLOCK]
            yield rows, signs[offsets[rows, None] + np.arange(lengths[rows[0]])]


def _rotate(value: np.ndarray, by: int) -> np.ndarray:
    bits = value.dtype.itemsize * 8
    return (value << value.dtype.type(by)) | (value >> value.dtype.type(bits - by))


def _xxh64(signs: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """XXH64 of rows of equal length: uint8 (n, bytes), uint64 (n)."""
    length = signs.shape[1]
    stripes = length // 32 * 32
    if stripes:
        lanes = [seeds + _P1 + _P2, seeds + _P2, seeds.copy(), seeds - _P1]
        for start in range(0, stripes, 32):
            words = _words(signs[:, start : start + 32], np.uint64)
            lanes = [_round(lane, words[:, i]) for i, lane in enumerate(lanes)]
        value = np.zeros_like(seeds)
        for lane, by in zip(lanes, (1, 7, 12, 18), strict=True):
            value = value + _rotate(lane, by)
        for lane in lanes:
            value = (value ^ _round(np.zeros_like(lane), lane)) * _P1 + _P4
    else:
        value = seeds + _P5
    value = value + np.uint64(length)
    eights = (length - stripes) // 8 * 8 + stripes
    for start in range(stripes, eights, 8):
        word = _words(signs[:, start : start + 8], np.uint64)[:, 0]
        value = _rotate(value ^ _round(np.zeros_like(word), word), 27) * _P1 + _P4
    rest = eights
    if length - rest >= 4:
        word = _words(signs[:, rest : rest + 4], np.uint32)[:, 0].astype(np.uint64)
        value = _rotate(value ^ (word * _P1), 23) * _P2 + _P3
        rest += 4
    for place in range(rest, length):
        value = _rotate(value ^ (signs[:, place].astype(np.uint64) * _P5), 11) * _P1
    value = (value ^ (value >> np.uint64(33))) * _P2
    value = (value ^ (value >> np.uint64(29))) * _P3
    return value ^ (value >> np.uint64(32))


def _round(lane: np.ndarray, word: np.ndarray) -> np.ndarray:
    return _rotate(lane + word * _P2, 31) * _P1


def _murmur3(signs: np.ndarray) -> np.ndarray:
    """Spark's MurmurHash3 of rows of equal length: uint8 (n, bytes) to uint32 (n)."""
    rows, length = signs.shape
    value = np.full(rows, SPARK_SEED, np.uint32)
    whole = length // 4 * 4
    for start in range(0, whole, 4):
        value = _mixed(value, _words(signs[:, start : start + 4], np.uint32)[:, 0])
    for place in range(whole, length):
        byte = signs[:, place].view(np.int8) if rows else signs[:, place]
        value = _mixed(value, byte.astype(np.int32).view(np.uint32))
    value ^= np.uint32(length)
    value = (value ^ (value >> np.uint32(16))) * _C4
    value = (value ^ (value >> np.uint32(13))) * _C5
    return value ^ (value >> np.uint32(16))


def _mixed(value: np.ndarray, word: np.ndarray) -> np.ndarray:
    word = _rotate(word * _C1, 15) * _C2
    return _rotate(value ^ word, 13) * np.uint32(5) + _C3


def _words(signs: np.ndarray, kind: type[np.unsignedinteger]) -> np.ndarray:
    """Bytes of each row as little-endian words."""
    return np.ascontiguousarray(signs).view(np.dtype(kind).newbyteorder("<"))
