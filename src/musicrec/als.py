"""Alternating least squares on implicit feedback, compiled, on one machine.

The objective is MLlib's (Hu, Koren and Volinsky 2008, with the regularisation of Zhou et al.
2008): confidence 1 + alpha r of the preference 1 where r > 0, weight 1 of the preference 0
elsewhere, and reg_param n |x|^2 for a row of n plays. One iteration solves all items, then all
users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from musicrec.als_kernels import gram_block, solve_rows
from musicrec.interactions import Interactions
from musicrec.parallel import for_blocks
from musicrec.params import ALSParams

GRAM_BLOCKS = 16  # partial sums of a Gram matrix: fixed, so that its bits are
PLAYS_A_BLOCK = 1 << 15


@dataclass
class Factors:
    """A fitted model: float32 user (n_users, rank) and item (n_items, rank) factors, losses."""

    users: np.ndarray
    items: np.ndarray
    losses: list[float] = field(default_factory=list)


def fit(
    plays: Interactions,
    params: ALSParams,
    *,
    threads: int | None = None,
    on_iteration: Callable[[int, float, Factors], bool] | None = None,
) -> Factors:
    """Factorise the plays.

    Parameters
    ----------
    plays : Interactions
        Users x items, counts already transformed.
    on_iteration : callable, optional
        Called as (iteration from 1, loss, factors); return True to stop.
    """
    by_item = plays.transpose()
    factors = start_factors(plays, params)
    constant = float(np.sum(1.0 + params.alpha * plays.counts.astype(np.float64)))
    item_reg = regularisation(by_item, params)
    for iteration in range(1, params.max_iter + 1):
        half_step(by_item, factors.users, factors.items, params, threads)
        gains = half_step(plays, factors.items, factors.users, params, threads)
        norms = np.einsum("ij,ij->i", factors.items, factors.items, dtype=np.float64)
        loss = constant - float(gains.sum()) + float(item_reg @ norms)
        factors.losses.append(loss)
        if on_iteration is not None and on_iteration(iteration, loss, factors):
            break
    return factors


def start_factors(plays: Interactions, params: ALSParams) -> Factors:
    """Seeded unit vectors for the users with plays, zeros elsewhere."""
    generator = np.random.default_rng(params.seed)
    users = generator.standard_normal((plays.n_users, params.rank)).astype(np.float32)
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    users[np.diff(plays.indptr) == 0] = 0
    return Factors(users, np.zeros((plays.n_items, params.rank), np.float32))


def regularisation(rows: Interactions, params: ALSParams) -> np.ndarray:
    """Weight of |x|^2 of each row: reg_param n^reg_exponent, float64."""
    lengths = np.diff(rows.indptr).astype(np.float64)
    return params.reg_param * np.where(lengths > 0, lengths**params.reg_exponent, 0.0)


def gram(factors: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Sum of the outer products of all rows, float64, with the same bits for any thread count."""
    n, rank = factors.shape
    size = max(1, -(-n // GRAM_BLOCKS))
    parts = np.zeros((GRAM_BLOCKS, rank, rank))

    def work(start: int, stop: int) -> None:
        gram_block(factors, start, stop, parts[start // size])

    for_blocks(work, [*range(0, n, size), n], threads)
    return parts.sum(axis=0)


def half_step(
    rows: Interactions,
    fixed: np.ndarray,
    solved: np.ndarray,
    params: ALSParams,
    threads: int | None = None,
) -> np.ndarray:
    """Solve every row given the other side's factors; returns b.x of each row (float64)."""
    gains = np.empty(rows.n_users)
    reg = regularisation(rows, params)
    matrix = params.unobserved_weight * gram(fixed, threads)

    def work(start: int, stop: int) -> None:
        solve_rows(
            rows.indptr,
            rows.indices,
            rows.counts,
            fixed,
            matrix,
            params.alpha,
            params.unobserved_weight,
            reg,
            solved,
            gains,
            start,
            stop,
        )

    for_blocks(work, block_bounds(rows.indptr, PLAYS_A_BLOCK), threads)
    return gains


def block_bounds(indptr: np.ndarray, plays: int) -> list[int]:
    """Cut rows into blocks of about `plays` plays each."""
    marks = np.searchsorted(indptr, np.arange(0, indptr[-1], plays))
    return np.unique(np.concatenate(([0], marks, [len(indptr) - 1]))).tolist()
