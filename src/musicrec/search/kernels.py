"""Compiled kernels of the exact top-k search (`musicrec.search.exact`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.jit.kernel import kernel

BLOCK = 64  # items scored together: one factor's 8-bit copies of all are one cache line
RUN_BLOCKS = 64  # blocks of items of like norm, which are put in order of dominant factor
UNROLL = 4  # factors of one sweep over a block; the 8-bit copies are padded to a multiple
LEVELS = 127  # of an 8-bit copy, on either side of zero
BINS = 2048  # of the histogram that finds the k-th best lower bound: finer than the 8-bit copies
UNIT_ROUNDOFF = 2.0**-24  # of float32
SUBNORMAL = 2.0**-149  # the smallest float32 above zero
NEGLIGIBLE = 2.0**-100  # beside the largest norm: far below float32's rounding of it
LARGEST_SCORE = float(np.finfo(np.float32).max) / 2


class Index(NamedTuple):
    """Items prepared for the search, in units of the largest norm.

    `order` (int32) are the items with a vector, in the order of their blocks; `codes` int8
    (n_blocks, padded rank, BLOCK) 8-bit copies, one factor of a block after the other, and `scales`
    (n_blocks, BLOCK) what a code of 1 stands for. For a query of norm 1 scale * (query . code) lies
    within `errors` of the score; -inf where a block has no item. `boxes` (n_blocks, 2 padded rank +
    1) hold each factor's maximum, each one's minimum, and what rounding may add to a bound from
    them; `bounds` (float64, n_blocks) the largest norm of a block and all behind it.
    """

    factors: np.ndarray
    order: np.ndarray
    largest: float
    codes: np.ndarray
    scales: np.ndarray
    errors: np.ndarray
    boxes: np.ndarray
    bounds: np.ndarray


class Scratch(NamedTuple):
    """Memory of one call of `search`.

    `unit` is the query at norm 1, `corner` its positive part and then its negative part, `upper`
    bounds a block's items; `positions` are the survivors, where they stand in `order`, `uppers`
    their bounds; `blocks` may hold survivors, bounded by `box_bounds`; `histogram` is of the
    survivors' lower bounds from -1 to 1; `seen` is a bit an item, or empty.
    """

    unit: np.ndarray
    corner: np.ndarray
    upper: np.ndarray
    positions: np.ndarray
    uppers: np.ndarray
    blocks: np.ndarray
    box_bounds: np.ndarray
    histogram: np.ndarray
    seen: np.ndarray


class Progress(NamedTuple):
    """Where the search for one query stands.

    `survivors` so far, of which `above` lie in bin `floor` of the histogram or higher; an item
    whose upper bound is below `threshold` is not among the k best.
    """

    survivors: int
    above: int
    floor: int
    threshold: np.float32


@kernel(allocates=False)
def slack(rank):
    """Relative error of a bound or score in float32: a few roundings a factor, and to spare."""
    return (8 * rank + 64) * UNIT_ROUNDOFF


@kernel()
def dominant_factors(factors, order, start, stop, dominant):
    """Find the factor of largest magnitude of the items at positions `start` to `stop`."""
    for position in range(start, stop):
        vector = factors[order[position]]
        best = 0
        for factor in range(len(vector)):
            if abs(vector[factor]) > abs(vector[best]):
                best = factor
        dominant[position] = best


@kernel(allocates=False)
def enclose(index, norms, start, stop):
    """Write the boxes of blocks `start` to `stop`, and the largest norm of each alone."""
    factors, order, largest = index.factors, index.order, index.largest
    boxes, bounds = index.boxes, index.bounds
    rank = factors.shape[1]
    padded = boxes.shape[1] // 2
    for block in range(start, stop):
        squared = 0.0
        for factor in range(rank):
            high, low = -np.inf, np.inf
            for position in range(block * BLOCK, min((block + 1) * BLOCK, len(order))):
                value = np.float64(factors[order[position], factor]) / largest
                high, low = max(high, value), min(low, value)
            boxes[block, factor] = high
            boxes[block, padded + factor] = low
            squared += max(high * high, low * low)
        boxes[block, 2 * padded] = slack(2 * rank) * np.sqrt(squared) + NEGLIGIBLE
        for position in range(block * BLOCK, min((block + 1) * BLOCK, len(order))):
            bound = norms[order[position]] / largest * (1.0 + slack(rank))
            bounds[block] = max(bounds[block], bound)


@kernel(allocates=False)
def encode(index, norms, start, stop):
    """Write the 8-bit copies of blocks `start` to `stop`, their scales and errors.

    An error is the norm of what rounding to 8 bits took away, and slack for float32 arithmetic.
    """
    factors, order = index.factors, index.order
    codes, scales, errors = index.codes, index.scales, index.errors
    rank = factors.shape[1]
    for block in range(start, stop):
        for lane in range(min(BLOCK, len(order) - block * BLOCK)):
            item = order[block * BLOCK + lane]
            largest = 0.0
            for factor in range(rank):
                largest = max(largest, abs(np.float64(factors[item, factor])))
            step = largest / index.largest / LEVELS
            scale = np.float32(step if step > NEGLIGIBLE else 0.0)
            squared = 0.0
            for factor in range(rank):
                value = np.float64(factors[item, factor]) / index.largest
                if scale > 0.0:
                    code = max(-LEVELS, min(LEVELS, np.rint(value / scale)))
                    codes[block, factor, lane] = np.int8(code)
                lost = value - np.float64(scale) * codes[block, factor, lane]
                squared += lost * lost
            lost_norm = np.sqrt(squared)
            scales[block, lane] = scale
            norm = norms[item] / index.largest
            errors[block, lane] = lost_norm + slack(rank) * (norm + lost_norm) + NEGLIGIBLE


@kernel()
def search(index, queries, excluded, lists, start, stop):
    """Answer queries `start` to `stop`, writing their rows of `lists`.

    Numba takes plain tuples in a third of the time of named ones. `index` holds what `Index` does.
    `excluded` are (indptr, indices, mask): query i never gets `indices[indptr[i]:indptr[i + 1]]`,
    and none those of `mask`, a bit an item, the lowest first: uint8 array (n_items // 8 + 1). What
    excludes nothing is empty. `lists` are ids (int32) and scores (float32), (n_queries, k), padded
    with -1 and -inf.

    Returns the length of the last list, or -1 - i of the first query i whose scores are not finite.
    """
    index = Index(*index)
    indptr, indices, mask = excluded
    ids, scores = lists
    scratch = _scratch(index, len(indices) > 0, mask)
    n_items, k = len(index.factors), min(ids.shape[1], len(index.order))
    length = 0
    for row in range(start, stop):
        ids[row] = -1
        scores[row] = -np.inf
        length = 0
        norm = _set_query(queries[row], scratch)
        if not norm * max(index.largest, 1.0) <= LARGEST_SCORE:
            return -1 - row
        if norm == 0.0 or k == 0:
            continue
        items = indices[indptr[row] : indptr[row + 1]] if len(indices) else indices
        for item in items:
            if 0 <= item < n_items:
                scratch.seen[item >> 3] |= np.uint8(1 << (item & 7))
        # What underflow can add to a score, in units of the query's and the largest item's norm;
        # beyond 4 no bound prunes.
        lost = (2 * queries.shape[1] + 4) * SUBNORMAL / (norm * index.largest)
        count = _collect(index, scratch, k, np.float32(min(4.0, lost)))
        for item in items:
            if 0 <= item < n_items:
                scratch.seen[item >> 3] = mask[item >> 3] if len(mask) else 0
        survivors = index.order[scratch.positions[:count]]
        length = _rank(index.factors, survivors, queries[row], ids[row], scores[row])
    return length


@kernel()
def _scratch(index, excludes, mask):
    """Allocate the memory of a call."""
    n_blocks, padded, _ = index.codes.shape
    seen = np.zeros(len(index.factors) // 8 + 1 if excludes else 0, np.uint8)
    if len(mask):
        seen = mask.copy()
    return Scratch(
        np.zeros(padded, np.float32),
        np.zeros(2 * padded, np.float32),
        np.empty(BLOCK, np.float32),
        np.empty(n_blocks * BLOCK, np.int32),
        np.empty(n_blocks * BLOCK, np.float32),
        np.empty(RUN_BLOCKS, np.int32),
        np.empty(RUN_BLOCKS, np.float32),
        np.empty(BINS, np.int32),
        seen,
    )


@kernel(allocates=False)
def _set_query(query, scratch):
    """Write the query at norm 1 and its two parts; returns its norm."""
    norm = 0.0
    for factor in range(len(query)):
        norm += np.float64(query[factor]) ** 2
    norm = np.sqrt(norm)
    padded = len(scratch.unit)
    if norm > 0.0:
        for factor in range(len(query)):
            value = np.float32(query[factor] / norm)
            scratch.unit[factor] = value
            scratch.corner[factor] = max(value, np.float32(0.0))
            scratch.corner[padded + factor] = min(value, np.float32(0.0))
    return norm


@kernel()
def _collect(index, scratch, k, underflow):
    """Find the items that may be among the k best, in `scratch.positions`; returns how many."""
    bounds, blocks, box_bounds = index.bounds, scratch.blocks, scratch.box_bounds
    scratch.histogram[:] = 0
    progress = Progress(0, 0, 0, np.float32(-LARGEST_SCORE))
    for first in range(0, len(bounds), RUN_BLOCKS):
        if bounds[first] + underflow < progress.threshold:
            break
        likely = _likely_blocks(index, scratch, first, underflow, progress.threshold)
        # The best first, so that the threshold rises soon.
        for position in np.argsort(-box_bounds[:likely]):
            if box_bounds[position] < progress.threshold:
                break
            block = blocks[position]
            if _upper_bounds(index, scratch, block, underflow, progress.threshold):
                progress = _keep(index, scratch, block, underflow, progress, k)
    return _prune(scratch.positions, scratch.uppers, progress.survivors, progress.threshold)


@kernel(allocates=False, forceinline=True)
def _likely_blocks(index, scratch, first, underflow, threshold):
    """List the blocks of the run from `first` on whose boxes reach the threshold; how many."""
    boxes, corner = index.boxes, scratch.corner
    blocks, box_bounds = scratch.blocks, scratch.box_bounds
    likely = 0
    for block in range(first, min(first + RUN_BLOCKS, len(boxes))):
        bound = _box_bound(boxes, block, corner) + underflow
        if bound >= threshold:
            box_bounds[likely], blocks[likely] = bound, block
            likely += 1
    return likely


@kernel(allocates=False, forceinline=True)
def _keep(index, scratch, block, underflow, progress, k):
    """Add a block's items that reach the threshold to the survivors, and raise the threshold."""
    order, errors, seen = index.order, index.errors, scratch.seen
    upper, positions, uppers, histogram = (
        scratch.upper,
        scratch.positions,
        scratch.uppers,
        scratch.histogram,
    )
    count, above, floor, threshold = progress
    for lane in range(BLOCK):
        if upper[lane] < threshold:
            continue
        position = block * BLOCK + lane
        if len(seen) and seen[order[position] >> 3] >> (order[position] & 7) & 1:
            continue
        positions[count] = position
        uppers[count] = upper[lane]
        count += 1
        lower = upper[lane] - np.float32(2.0) * (errors[block, lane] + underflow)
        bin = int(max(0.0, min(BINS - 1.0, (lower + 1.0) * (BINS / 2))))
        histogram[bin] += 1
        above += bin >= floor
    while above - histogram[floor] >= k:
        above -= histogram[floor]
        floor += 1
    if floor > 0:  # a bin lower than it need be: room for rounding
        threshold = np.float32((floor - 1) / (BINS / 2) - 1.0)
    return Progress(count, above, floor, threshold)


@kernel(fastmath={"contract", "reassoc"}, allocates=False)
def _box_bound(boxes, block, corner):
    """Bound from above the scores of all of a block's items with a query of norm 1."""
    bound = boxes[block, len(corner)]
    for i in range(len(corner)):
        bound += boxes[block, i] * corner[i]
    return bound


@kernel(fastmath={"contract"}, allocates=False, forceinline=True)
def _upper_bounds(index, scratch, block, underflow, threshold):
    """Bound from above the scores of a block's items with a query of norm 1.

    Returns how many reach the threshold.
    """
    codes, scales, errors = index.codes, index.scales, index.errors
    unit, upper = scratch.unit, scratch.upper
    for lane in range(BLOCK):
        upper[lane] = 0.0
    for factor in range(0, len(unit), UNROLL):
        a, b, c, d = unit[factor], unit[factor + 1], unit[factor + 2], unit[factor + 3]
        for lane in range(BLOCK):
            upper[lane] += (
                a * np.float32(codes[block, factor, lane])
                + b * np.float32(codes[block, factor + 1, lane])
                + c * np.float32(codes[block, factor + 2, lane])
                + d * np.float32(codes[block, factor + 3, lane])
            )
    reaching = 0
    for lane in range(BLOCK):
        upper[lane] = upper[lane] * scales[block, lane] + (errors[block, lane] + underflow)
        reaching += upper[lane] >= threshold
    return reaching


@kernel(allocates=False)
def _prune(positions, uppers, count, threshold):
    """Keep, in order, the survivors whose upper bound reaches the threshold; return how many."""
    kept = 0
    for i in range(count):
        positions[kept] = positions[i]
        uppers[kept] = uppers[i]
        kept += uppers[i] >= threshold
    return kept


@kernel()
def _rank(factors, items, query, out_ids, out_scores):
    """Score the survivors in full and write the best, as `write_best`."""
    scores = np.empty(len(items), np.float32)
    inner_products(factors, items, query, scores)
    return write_best(items, scores, out_ids, out_scores)


@kernel()
def inner_products(factors, items, query, scores):
    """Score items: products and sums in the order of the factors, in the precision of the query.

    That is float32 but for cosines. Four items at a time, so that their chains of sums overlap.
    """
    rank = len(query)
    whole = len(items) // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = items[i], items[i + 1], items[i + 2], items[i + 3]
        sum_a = sum_b = sum_c = sum_d = np.float32(0.0)
        for factor in range(rank):
            value = query[factor]
            sum_a += value * factors[a, factor]
            sum_b += value * factors[b, factor]
            sum_c += value * factors[c, factor]
            sum_d += value * factors[d, factor]
        scores[i], scores[i + 1], scores[i + 2], scores[i + 3] = sum_a, sum_b, sum_c, sum_d
    for i in range(whole, len(items)):
        total = np.float32(0.0)
        for factor in range(rank):
            total += query[factor] * factors[items[i], factor]
        scores[i] = total


@kernel()
def write_best(items, scores, out_ids, out_scores):
    """Write the best items by falling score, ties by lower id, as many as there is room for.

    Returns how many; what lies behind them is left as it was. Scores sort as unsigned integers
    whose lower half is the item, so that one comparison decides.
    """
    bits = scores.view(np.uint32)
    keys = np.empty(len(items), np.uint64)
    for i in range(len(items)):
        ordered = bits[i]
        if ordered == np.uint32(0x80000000):  # -0.0 ties with 0.0
            ordered = np.uint32(0)
        negative = ordered >> np.uint32(31)
        ordered = ~ordered if negative else ordered | np.uint32(0x80000000)
        rest = np.uint32(0xFFFFFFFF) - np.uint32(items[i])
        keys[i] = (np.uint64(ordered) << np.uint64(32)) | np.uint64(rest)
    count = min(len(keys), len(out_ids))
    _select(keys, len(keys), count)
    keys = np.sort(keys[:count])[::-1]
    for i in range(count):
        ordered = np.uint32(keys[i] >> np.uint64(32))
        positive = ordered >> np.uint32(31)
        out_scores[i] = np.uint32(ordered ^ np.uint32(0x80000000) if positive else ~ordered).view(
            np.float32
        )
        out_ids[i] = np.uint32(0xFFFFFFFF) - np.uint32(keys[i] & np.uint64(0xFFFFFFFF))
    return count


@kernel()
def _select(values, count, k):
    """Move the k largest of the first `count` values to the front, in any order: quickselect."""
    low, high = 0, count - 1
    while low < high:
        a, b, c = values[low], values[(low + high) >> 1], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return
