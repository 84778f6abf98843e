"""Compiled kernels of the exact top-k search (`musicrec.search.exact`)."""

from __future__ import annotations

import numpy as np

from musicrec.jit import kernel

LANES = 64  # items of a block, scored together: one factor of all is one contiguous load
RUN_BLOCKS = 64  # blocks of items of like norm, which are put in order of dominant factor
UNROLL = 4  # factors of one sweep over the lanes; the 8-bit copies are padded to a multiple
LEVELS = 127  # of an 8-bit copy, on either side of zero
BINS = 4096  # of the histogram that finds the k-th best lower bound
UNIT_ROUNDOFF = 2.0**-24  # of float32
SUBNORMAL = 2.0**-149  # the smallest float32 above zero
NEGLIGIBLE = 2.0**-100  # beside the largest norm: far below float32's rounding of it
LARGEST_SCORE = float(np.finfo(np.float32).max) / 2


@kernel()
def slack(rank):
    """Relative error of a bound or score in float32: a few roundings a factor, and to spare."""
    return (8 * rank + 64) * UNIT_ROUNDOFF


@kernel()
def dominant_factors(factors, order, start, stop, dominant):
    """Find the factor of largest magnitude of the items at places `start` to `stop`."""
    for place in range(start, stop):
        vector = factors[order[place]]
        best = 0
        for factor in range(len(vector)):
            if abs(vector[factor]) > abs(vector[best]):
                best = factor
        dominant[place] = best


@kernel()
def enclose(factors, norms, order, largest, start, stop, boxes, bounds):
    """Write the boxes of blocks `start` to `stop`, in units of the largest norm.

    A row of `boxes` holds each factor's maximum, each one's minimum, and what rounding may add
    to a bound from them; `bounds` the largest norm of the block.
    """
    rank = factors.shape[1]
    padded = boxes.shape[1] // 2
    for block in range(start, stop):
        squared = 0.0
        for factor in range(rank):
            high, low = -np.inf, np.inf
            for place in range(block * LANES, min((block + 1) * LANES, len(order))):
                value = np.float64(factors[order[place], factor]) / largest
                high, low = max(high, value), min(low, value)
            boxes[block, factor] = high
            boxes[block, padded + factor] = low
            squared += max(high * high, low * low)
        boxes[block, 2 * padded] = slack(2 * rank) * np.sqrt(squared) + NEGLIGIBLE
        for place in range(block * LANES, min((block + 1) * LANES, len(order))):
            bound = norms[order[place]] / largest * (1.0 + slack(rank))
            bounds[block] = max(bounds[block], bound)


@kernel()
def encode(factors, norms, order, largest_norm, start, stop, codes, scales, errors):
    """Write the 8-bit copies of blocks `start` to `stop`, in units of the largest norm.

    `errors` bounds, for a query of norm 1, how far scale * (query . code) may lie from the score:
    the norm of what rounding to 8 bits took away, and slack for float32 arithmetic.
    """
    rank = factors.shape[1]
    for block in range(start, stop):
        for lane in range(min(LANES, len(order) - block * LANES)):
            item = order[block * LANES + lane]
            largest = 0.0
            for factor in range(rank):
                largest = max(largest, abs(np.float64(factors[item, factor])))
            step = largest / largest_norm / LEVELS
            scale = np.float32(step if step > NEGLIGIBLE else 0.0)
            squared = 0.0
            for factor in range(rank):
                value = np.float64(factors[item, factor]) / largest_norm
                if scale > 0.0:
                    code = max(-LEVELS, min(LEVELS, np.rint(value / scale)))
                    codes[block, factor, lane] = np.int8(code)
                lost = value - np.float64(scale) * codes[block, factor, lane]
                squared += lost * lost
            lost_norm = np.sqrt(squared)
            scales[block, lane] = scale
            norm = norms[item] / largest_norm
            errors[block, lane] = lost_norm + slack(rank) * (norm + lost_norm) + NEGLIGIBLE


@kernel()
def search(
    factors, order, largest, codes, scales, errors, boxes, bounds,
    queries, indptr, indices, start, stop, out_ids, out_scores,
):  # fmt: skip
    """Answer queries `start` to `stop`, writing their rows of `out_ids` and `out_scores`.

    Returns the first query whose scores are not finite, or -1.
    """
    n_blocks, padded_rank, _ = codes.shape
    rank = queries.shape[1]
    k = min(out_ids.shape[1], len(order))
    unit = np.zeros(padded_rank, np.float32)
    corner = np.zeros(2 * padded_rank, np.float32)  # the query's positive part, then its negative
    upper = np.empty(LANES, np.float32)
    places = np.empty(n_blocks * LANES, np.int32)  # survivors: where in `order`
    uppers = np.empty(n_blocks * LANES, np.float32)  # and their upper bounds
    reaches = np.empty(RUN_BLOCKS, np.float32)
    blocks = np.empty(RUN_BLOCKS, np.int32)
    histogram = np.empty(BINS, np.int32)  # of the survivors' lower bounds
    seen = np.zeros(len(factors) // 8 + 1 if len(indices) else 1, np.uint8)  # a bit an item
    for row in range(start, stop):
        out_ids[row] = -1
        out_scores[row] = -np.inf
        norm = 0.0
        for factor in range(rank):
            norm += np.float64(queries[row, factor]) ** 2
        norm = np.sqrt(norm)
        if not norm * max(largest, 1.0) <= LARGEST_SCORE:
            return row
        if norm == 0.0 or k == 0:
            continue
        for factor in range(rank):
            unit[factor] = queries[row, factor] / norm
            corner[factor] = max(unit[factor], np.float32(0.0))
            corner[padded_rank + factor] = min(unit[factor], np.float32(0.0))
        excluded = indices[indptr[row] : indptr[row + 1]]
        for item in excluded:
            if 0 <= item < len(factors):
                seen[item >> 3] |= np.uint8(1 << (item & 7))
        # What underflow can add to a score, in units of the query's and the largest item's norm;
        # beyond 4 no bound prunes.
        underflow = np.float32(min(4.0, (2 * rank + 4) * SUBNORMAL / (norm * largest)))
        threshold = np.float32(-LARGEST_SCORE)
        histogram[:] = 0
        count = above = floor = 0  # `above` survivors lie in bin `floor` or higher
        for first in range(0, n_blocks, RUN_BLOCKS):
            if bounds[first] + underflow < threshold:
                break
            likely = 0
            for block in range(first, min(first + RUN_BLOCKS, n_blocks)):
                reach = _box_bound(boxes, block, corner) + underflow
                if reach >= threshold:
                    reaches[likely], blocks[likely] = reach, block
                    likely += 1
            for at in np.argsort(-reaches[:likely]):  # the best first, so that the bound rises soon
                block = blocks[at]
                if reaches[at] < threshold:
                    break
                if not _upper_bounds(
                    codes, scales, errors, block, unit, underflow, threshold, upper
                ):
                    continue
                for lane in range(LANES):
                    if upper[lane] < threshold:
                        continue
                    place = block * LANES + lane
                    if len(excluded) and seen[order[place] >> 3] >> (order[place] & 7) & 1:
                        continue
                    places[count] = place
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
        for item in excluded:
            if 0 <= item < len(factors):
                seen[item >> 3] = 0
        count = _prune(places, uppers, count, threshold)
        _rank(factors, order, places[:count], queries[row], out_ids[row], out_scores[row])
    return -1


@kernel(fastmath={"contract", "reassoc"})
def _box_bound(boxes, block, corner):
    """Bound from above the scores of all of a block's items with a query of norm 1."""
    bound = boxes[block, len(corner)]
    for i in range(len(corner)):
        bound += boxes[block, i] * corner[i]
    return bound


@kernel(fastmath={"contract"})
def _upper_bounds(codes, scales, errors, block, unit, underflow, threshold, upper):
    """Bound from above the scores of a block's items with a query of norm 1.

    Returns how many reach the threshold.
    """
    for lane in range(LANES):
        upper[lane] = 0.0
    for factor in range(0, len(unit), UNROLL):
        a, b, c, d = unit[factor], unit[factor + 1], unit[factor + 2], unit[factor + 3]
        for lane in range(LANES):
            upper[lane] += (
                a * np.float32(codes[block, factor, lane])
                + b * np.float32(codes[block, factor + 1, lane])
                + c * np.float32(codes[block, factor + 2, lane])
                + d * np.float32(codes[block, factor + 3, lane])
            )
    reaching = 0
    for lane in range(LANES):
        upper[lane] = upper[lane] * scales[block, lane] + (errors[block, lane] + underflow)
        reaching += upper[lane] >= threshold
    return reaching


@kernel()
def _prune(places, uppers, count, threshold):
    """Keep, in order, the survivors whose upper bound reaches the threshold; return how many."""
    kept = 0
    for i in range(count):
        places[kept] = places[i]
        uppers[kept] = uppers[i]
        kept += uppers[i] >= threshold
    return kept


@kernel()
def _rank(factors, order, places, query, out_ids, out_scores):
    """Score the survivors in full and write the best by falling score, ties by lower id."""
    items = order[places]
    scores = np.empty(len(items), np.float32)
    inner_products(factors, items, query, scores)
    write_best(items, scores, out_ids, out_scores)


@kernel()
def inner_products(factors, items, query, scores):
    """Score items: float32 products and sums in the order of the factors, as everywhere.

    Four items at a time, so that their chains of sums overlap.
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
