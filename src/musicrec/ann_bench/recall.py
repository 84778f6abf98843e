"""What a search found of what there is to find: recall, and the loss in MAP and nDCG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicrec.ann_bench.methods import QUERY_BLOCK, Ids, Method
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import blocks, for_blocks
from musicrec.metrics.ranking import score_lists
from musicrec.search.kernels import inner_products

TIE = 1e-5  # relative: scores that float32 arithmetic cannot tell apart count as ties


@dataclass(frozen=True)
class QueryPlays:
    """What the query users played: row i belongs to query i.

    Attributes
    ----------
    seen : Interactions (n_queries, n_items)
        Training plays, left out of recommendations.
    truth : Interactions (n_queries, n_all_items)
        Held-out plays.
    """

    seen: Interactions
    truth: Interactions


def recall(
    items: np.ndarray, queries: np.ndarray, answers: Sequence[Ids], exact_scores: np.ndarray
) -> float:
    """Share of the wanted items that were found, by score threshold.

    An item counts as found when its own score reaches that of the last of the exact list, so that
    any of several tied items will do (as ann-benchmarks does by distance).

    Parameters
    ----------
    items, queries : float32 arrays (n_items, rank), (n_queries, rank)
    answers : ids of each query; negative ones are padding
    exact_scores : float32 array (n_queries, k), falling, padded with -inf
    """
    found = wanted = 0
    for query, answer, scores in zip(queries, answers, exact_scores, strict=True):
        length = int(np.isfinite(scores).sum())
        if length == 0:
            continue
        ids = np.unique(np.asarray(answer, dtype=np.int64))
        ids = ids[ids >= 0]
        own = np.empty(len(ids), np.float32)
        inner_products(items, ids, query, own)
        threshold = scores[length - 1] - TIE * abs(scores[length - 1])
        found += min(length, int((own >= threshold).sum()))
        wanted += length
    return found / wanted if wanted else 1.0


def ask_all(method: Method, queries: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Ask every query, side by side and by no clock, for as many items as `lengths` says.

    Parameters
    ----------
    queries : float32 array (n_queries, rank)
    lengths : int array (n_queries)

    Returns
    -------
    list of int64 arrays
        Item ids, the best first, without padding.
    """
    answers: list[np.ndarray] = [np.empty(0, np.int64)] * len(queries)

    def ask(start: int, stop: int) -> None:
        for row in range(start, stop):
            answer = np.asarray(method.query(queries[row], int(lengths[row])), dtype=np.int64)
            answers[row] = answer[answer >= 0]

    for_blocks(ask, blocks(len(queries), QUERY_BLOCK))
    return answers


def list_quality(answers: Sequence[np.ndarray], plays: QueryPlays, k: int) -> dict[str, np.ndarray]:
    """Judge what is left of the first queries' answers without the tracks seen."""
    lists = np.full((len(answers), k), -1, np.int32)
    for row, answer in enumerate(answers):
        fresh = answer[~np.isin(answer, plays.seen.row(row))][:k]
        lists[row, : len(fresh)] = fresh
    return judge_lists(lists, plays.truth, k)


def judge_lists(lists: np.ndarray, truth: Interactions, k: int) -> dict[str, np.ndarray]:
    """Average precision at k and nDCG@k of the first queries' lists: `map` and `ndcg`, each (n)."""
    indptr = truth.indptr[: len(lists) + 1]
    columns = score_lists(lists, indptr, truth.indices[: indptr[-1]], [k]).columns()
    return {name: columns[f"{name}@{k}"] for name in ("map", "ndcg")}
