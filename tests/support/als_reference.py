"""Alternating least squares in the plainest float64: dense matrices, one row at a time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.params import ALSParams


def random_plays(n_users: int, n_items: int, seed: int = 0) -> Interactions:
    """Plays with a long-tailed popularity; user 5 and item 7 have none."""
    rng = np.random.default_rng(seed)
    popularity = np.minimum(1.0, rng.pareto(1.0, n_items) * 0.15)
    counts = (rng.random((n_users, n_items)) < popularity) * rng.geometric(0.3, (n_users, n_items))
    counts[5], counts[:, 7] = 0, 0
    users, items = np.nonzero(counts)
    return from_triples(users, items, counts[users, items], n_users, n_items)


def dense(plays: Interactions) -> np.ndarray:
    """Users x items matrix of r."""
    matrix = np.zeros((plays.n_users, plays.n_items))
    rows = np.repeat(np.arange(plays.n_users), np.diff(plays.indptr))
    matrix[rows, plays.indices] = plays.counts
    return matrix


def solve_rows(r: np.ndarray, fixed: np.ndarray, params: ALSParams) -> np.ndarray:
    """The exact factors of the rows of `r`, given the factors of its columns."""
    solved = np.zeros((len(r), fixed.shape[1]))
    for row, ratings in enumerate(r):
        n = np.count_nonzero(ratings)
        if n == 0:
            continue
        confidence = np.where(ratings > 0, 1 + params.alpha * ratings, params.unobserved_weight)
        reg = params.reg_param * (n + params.reg_unobserved * len(fixed)) ** params.reg_exponent
        a = (fixed.T * confidence) @ fixed + reg * np.eye(fixed.shape[1])
        b = fixed.T @ (confidence * (ratings > 0))
        if params.nonnegative:
            lower = np.linalg.cholesky(a)
            solved[row] = nnls(lower.T, np.linalg.solve(lower, b))[0]
        else:
            solved[row] = np.linalg.solve(a, b)
    return solved


def loss(r: np.ndarray, users: np.ndarray, items: np.ndarray, params: ALSParams) -> float:
    """The objective, summed over every pair."""
    confidence = np.where(r > 0, 1 + params.alpha * r, params.unobserved_weight)
    total = np.sum(confidence * ((r > 0) - users.astype(float) @ items.T.astype(float)) ** 2)
    for axis, factors in ((1, users), (0, items)):
        n = np.count_nonzero(r, axis=axis).astype(float)
        pairs = n + params.reg_unobserved * r.shape[axis]
        weight = np.where(n > 0, pairs**params.reg_exponent, 0.0)
        total += params.reg_param * np.sum(weight * np.sum(factors.astype(float) ** 2, axis=1))
    return float(total)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference as a share of the largest entry."""
    return float(np.abs(a - b).max() / np.abs(b).max())
