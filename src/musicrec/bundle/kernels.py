"""Compiled kernels of serving: look ids up, check what was read, score one against all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.jit.kernel import kernel

MOST = np.uint64(2**64 - 1)
LARGEST_COUNT = 2.0**63
BINS = 4096  # of the histogram of cosines
PLAIN = 2.0**100  # norms within this factor of 1 are scored roughly in float32
ROUGHNESS = 2.0**-21  # error of a cosine in float32, a factor: a few roundings, and to spare


class IdArrays(NamedTuple):
    """Ids one behind the other, and their order.

    Attributes
    ----------
    text : uint8 array
        Id i is the bytes `text[starts[i]:starts[i + 1]]`.
    starts : int64 array (n + 1,)
    order : int32 array (n,)
        Dense ids by their bytes.
    heads : uint64 array (n,) or (0,)
        Of every id, in that order, the eight bytes after the first `skip`. A search in them
        touches a few lines of memory, and one in the text three at each step.
    skip : int
        Bytes that all ids begin with alike.
    """

    text: np.ndarray
    starts: np.ndarray
    order: np.ndarray
    heads: np.ndarray
    skip: int


@kernel()
def find(ids, key):
    """Index of the id whose bytes are `key`, or -1: binary search, of the heads where there are."""
    low, high = 0, len(ids.order)
    if len(ids.heads):
        first = ids.starts[ids.order[0]]
        for place in range(ids.skip):
            if place >= len(key) or ids.text[first + place] != key[place]:
                return -1
        head = _head(key, ids.skip, len(key))
        low = _first_at_least(ids.heads, head)
        if head < MOST:
            high = _first_at_least(ids.heads, head + np.uint64(1))
    while low < high:
        middle = (low + high) // 2
        if _compare(ids, ids.order[middle], key) < 0:
            low = middle + 1
        else:
            high = middle
    if low < len(ids.order) and _compare(ids, ids.order[low], key) == 0:
        return ids.order[low]
    return -1


@kernel()
def find_all(ids, keys, ends, out):
    """Write the index of every key, -1 where unknown; key i is `keys[ends[i]:ends[i + 1]]`."""
    for i in range(len(out)):
        out[i] = find(ids, keys[ends[i] : ends[i + 1]])


@kernel()
def shared_start(ids):
    """How many bytes all ids begin with alike: as many as the first and the last in order do."""
    first, last = ids.starts[ids.order[0]], ids.starts[ids.order[-1]]
    length = min(ids.starts[ids.order[0] + 1] - first, ids.starts[ids.order[-1] + 1] - last)
    for place in range(length):
        if ids.text[first + place] != ids.text[last + place]:
            return place
    return length


@kernel()
def write_heads(ids, skip, heads):
    """Write the eight bytes after the first `skip` of every id, in the order of the ids."""
    for place in range(len(ids.order)):
        index = ids.order[place]
        heads[place] = _head(ids.text, ids.starts[index] + skip, ids.starts[index + 1])


@kernel()
def _head(text, start, stop):
    """Eight bytes as a number that sorts as they do; 0 stands for those beyond the end."""
    head = np.uint64(0)
    for place in range(start, start + 8):
        byte = text[place] if place < stop else np.uint8(0)
        head = (head << np.uint64(8)) | np.uint64(byte)
    return head


@kernel()
def _first_at_least(heads, head):
    low, high = 0, len(heads)
    while low < high:
        middle = (low + high) // 2
        if heads[middle] < head:
            low = middle + 1
        else:
            high = middle
    return low


@kernel()
def _compare(ids, index, key):
    """Order of an id and a key by their bytes: below, at or above 0."""
    start, length = ids.starts[index], ids.starts[index + 1] - ids.starts[index]
    for place in range(min(length, len(key))):
        difference = np.int64(ids.text[start + place]) - np.int64(key[place])
        if difference != 0:
            return difference
    return length - len(key)


@kernel()
def ids_are_sound(ids):
    """Whether every id lies in the text, begins a character, and stands once in `order`."""
    text, starts, order = ids.text, ids.starts, ids.order
    n = len(order)
    if starts[0] != 0 or starts[n] != len(text):
        return False
    for i in range(n):
        if starts[i] > starts[i + 1] or starts[i + 1] > len(text):
            return False
        if starts[i] < len(text) and text[starts[i]] & 0xC0 == 0x80:
            return False
    for place in range(n):
        if not 0 <= order[place] < n:
            return False
    for place in range(1, n):
        index = order[place]
        if _compare(ids, order[place - 1], text[starts[index] : starts[index + 1]]) >= 0:
            return False
    return True


@kernel()
def plays_are_sound(indptr, indices, counts, listeners):
    """Whether rows are in order, tracks ascending and known, counts possible, listeners right."""
    n_items = len(listeners)
    if indptr[0] != 0 or indptr[-1] != len(indices):
        return False
    users_of = np.zeros(n_items, np.int64)
    for row in range(len(indptr) - 1):
        if indptr[row] > indptr[row + 1] or indptr[row + 1] > len(indices):
            return False
        before = -1
        for place in range(indptr[row], indptr[row + 1]):
            item = indices[place]
            if not before < item < n_items or not 1.0 <= counts[place] <= LARGEST_COUNT:
                return False
            users_of[item] += 1
            before = item
    return np.array_equal(users_of, listeners)


@kernel()
def inverse_norms(factors, out):
    """Write 1 / norm of every row, 0 for rows of zeros; return the sum of the squared norms."""
    total = 0.0
    for row in range(len(factors)):
        squared = 0.0
        for factor in range(factors.shape[1]):
            squared += np.float64(factors[row, factor]) ** 2
        out[row] = 1.0 / np.sqrt(squared) if squared > 0.0 else 0.0
        total += squared
    return total


@kernel()
def nearest(factors, inverse, query, k):
    """Find the rows whose cosine with the query may be among the k largest, in any order.

    One pass in the order of memory scores roughly, in whatever order is fast, and keeps a
    histogram; what reaches the bin of the k-th best, less what rounding can do, is returned.
    """
    norm = np.sqrt((query.astype(np.float64) ** 2).sum())
    unit = (query / norm).astype(np.float32)
    rough = np.empty(len(factors), np.float32)
    histogram = np.zeros(BINS, np.int32)
    for row in range(len(factors)):
        if 1.0 / PLAIN < inverse[row] < PLAIN:
            rough[row] = _rough_product(factors, row, unit) * np.float32(inverse[row])
        else:
            rough[row] = _product(factors, row, unit) * inverse[row]
        if inverse[row] > 0.0:
            histogram[_bin(rough[row])] += 1
    floor, above = BINS, 0
    while floor > 0 and above < k:
        floor -= 1
        above += histogram[floor]
    least = floor / (BINS / 2) - 1.0 - ROUGHNESS * factors.shape[1]
    found = np.empty(len(factors), np.int32)
    count = 0
    for row in range(len(factors)):
        found[count] = row
        count += inverse[row] > 0.0 and rough[row] >= least
    return found[:count].copy()


@kernel()
def _bin(cosine):
    """Bin of a cosine; what rounding put outside [-1, 1] is in the outer ones."""
    return int(max(0.0, min(BINS - 1.0, (cosine + 1.0) * (BINS / 2))))


@kernel(fastmath={"contract", "reassoc"})
def _rough_product(factors, row, query):
    total = np.float32(0.0)
    for factor in range(len(query)):
        total += factors[row, factor] * query[factor]
    return total


@kernel(allocates=False)
def _product(factors, row, query):
    """Inner product in float64, which float32's factors neither overflow nor underflow."""
    total = 0.0
    for factor in range(len(query)):
        total += np.float64(factors[row, factor]) * np.float64(query[factor])
    return total


@kernel()
def cosines(factors, rows, inverse, query, scores):
    """Write the cosine of the given rows with the query; neither is of zeros."""
    norm = np.sqrt((query.astype(np.float64) ** 2).sum())
    for place in range(len(rows)):
        cosine = _product(factors, rows[place], query) / norm * inverse[rows[place]]
        scores[place] = min(1.0, max(-1.0, cosine))


@kernel()
def most_marginal(vectors, relevance, weight, out):
    """Choose rows by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    `vectors` have norm 1 and are in falling order of `relevance`, which lies in [0, 1] at its top.
    Each step takes the row of the largest (1 - weight) relevance - weight (largest cosine with
    those taken), ties by the earlier row.
    """
    n, rank = vectors.shape
    nearest = np.full(n, -1.0)
    taken = np.zeros(n, np.bool_)
    for step in range(len(out)):
        best, best_value = -1, -np.inf
        for row in range(n):
            if not taken[row]:
                penalty = nearest[row] if step else 0.0
                value = (1.0 - weight) * relevance[row] - weight * penalty
                if value > best_value or best < 0:
                    best, best_value = row, value
        out[step] = best
        taken[best] = True
        for row in range(n):
            cosine = 0.0
            for factor in range(rank):
                cosine += np.float64(vectors[row, factor]) * vectors[best, factor]
            nearest[row] = max(nearest[row], cosine)
