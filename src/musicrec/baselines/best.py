"""The best of many scored items, ties by the lower id, whatever the order of the offers."""

from __future__ import annotations

from musicrec.jit.kernel import kernel


@kernel()
def offer(scores, ids, size, score, item):
    """Offer (score, item) to a heap of the best, its worst on top; returns the heap's new size."""
    if size < len(scores):
        place = size
        while place > 0:  # sift up
            parent = (place - 1) // 2
            if not _worse(score, item, scores[parent], ids[parent]):
                break
            scores[place], ids[place] = scores[parent], ids[parent]
            place = parent
        scores[place], ids[place] = score, item
        return size + 1
    if _worse(scores[0], ids[0], score, item):
        _sift_down(scores, ids, size, score, item)
    return size


@kernel()
def sort_best_first(scores, ids, size):
    """Turn the heap into a list by falling score, ties by the lower id."""
    for last in range(size - 1, 0, -1):
        score, item = scores[last], ids[last]
        scores[last], ids[last] = scores[0], ids[0]
        _sift_down(scores, ids, last, score, item)


@kernel()
def _sift_down(scores, ids, size, score, item):
    """Put (score, item) in the place of the heap's top and restore the order."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _worse(
            scores[child + 1], ids[child + 1], scores[child], ids[child]
        ):
            child += 1
        if not _worse(scores[child], ids[child], score, item):
            break
        scores[place], ids[place] = scores[child], ids[child]
        place = child
    scores[place], ids[place] = score, item


@kernel()
def _worse(score, item, other_score, other_item):
    """Whether the first pair ranks below the second: a lower score, or equal and a higher id."""
    return score < other_score or (score == other_score and item > other_item)
