"""Alternating least squares on implicit feedback, compiled, on one machine.

The objective is the one Spark MLlib minimises with `implicitPrefs` (Hu, Koren and Volinsky 2008,
ICDM; regularised as by Zhou, Wilkinson, Schreiber and Pan 2008, AAIM): for users x and items y

    sum over all (u, i) of c_ui (p_ui - x_u.y_i)^2
        + reg_param (sum_u n_u |x_u|^2 + sum_i n_i |y_i|^2),

with p = 1 and c = 1 + alpha r where user u played item i, p = 0 and c = 1 elsewhere, and n the
number of plays of a row. Two parameters go beyond it (Rendle, Krichene, Zhang and Koren 2021,
"Revisiting the performance of iALS on item recommendation benchmarks"): the weight of the
unobserved entries, and the exponent of n. One iteration solves all items exactly, then all users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from musicrec.als_kernels import CHUNK, Fixed, Rows, layout, rotate_rows, solve_rows
from musicrec.als_start import start_users
from musicrec.gramian import eigenbasis, gram
from musicrec.interactions import Interactions
from musicrec.nonnegative import solve_rows_nonnegative
from musicrec.parallel import for_blocks
from musicrec.params import ALSParams
from musicrec.simd import LANES, aligned

BLOCKS = 96  # of rows: a fixed number, several a core
RIDGE = 1e-7  # of the mean eigenvalue: the least regularisation, against singular systems
WIDEST = 64  # no more plays are solved in their own space, whatever the rank


@dataclass
class Factors:
    """A model: float32 `users` (n_users, rank), `items` (n_items, rank), and its losses."""

    users: np.ndarray
    items: np.ndarray
    losses: list[float] = field(default_factory=list)


def fit(
    plays: Interactions,
    params: ALSParams,
    *,
    start: Factors | None = None,
    threads: int | None = None,
    on_iteration: Callable[[int, Factors], bool] | None = None,
) -> Factors:
    """Factorise the plays; the same bits for any number of threads.

    Parameters
    ----------
    plays : Interactions
        Users x items; counts as `feedback` left them.
    start : Factors, optional
        Where to start; by default the seeded users that MLlib starts with.
    threads : int, optional
        See `parallel.thread_count`.
    on_iteration : callable, optional
        Called after each iteration as (iteration from 1, factors); True ends the training.

    Returns
    -------
    Factors
        Rows without plays are zero. `losses` holds the objective after each iteration, computed
        within the users' half step; exact solvers never raise it.
    """
    factors = start or Factors(
        start_users(plays, params), np.zeros((plays.n_items, params.rank), np.float32)
    )
    items = Side(plays.transpose(), params)
    users = Side(plays, params)
    observed = float(np.sum(1.0 + params.alpha * plays.counts.astype(np.float64)))
    for iteration in range(1, params.max_iter + 1):
        items.solve(factors.users, factors.items, threads)
        gain = users.solve(factors.items, factors.users, threads)
        norms = np.einsum("ij,ij->i", factors.items, factors.items, dtype=np.float64)
        factors.losses.append(observed - gain + float(np.sum(items.reg * norms)))
        if on_iteration is not None and on_iteration(iteration, factors):
            break
    return factors


class Side:
    """Users or items as the rows to solve: what stays the same in every iteration."""

    def __init__(self, rows: Interactions, params: ALSParams) -> None:
        """Sort the rows by length, so that eight neighbours make an even batch."""
        lengths = np.diff(rows.indptr)
        order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        self.params = params
        self.reg = regularisation(lengths, params)
        self._empty = lengths == 0
        self._rows = Rows(order, rows.indptr, rows.indices, rows.counts, self.reg)
        self._bounds = block_bounds(lengths[order], params.rank)

    def solve(self, fixed: np.ndarray, solved: np.ndarray, threads: int | None = None) -> float:
        """Solve every row given the other side's factors.

        Parameters
        ----------
        fixed : float32 array (n_columns, rank)
        solved : float32 array (n_rows, rank)
            Overwritten; its old values start the iterative solvers.

        Returns
        -------
        float
            What the rows take off the loss that zero factors would leave.
        """
        params = self.params
        solved[self._empty] = 0
        gains = np.zeros(len(solved))
        padded = -(-params.rank // 4) * 4
        matrix = np.eye(padded)  # the padding solves to 0
        matrix[: params.rank, : params.rank] = params.unobserved_weight * gram(fixed, threads)
        widest = 0 if params.nonnegative else min(padded, WIDEST)
        at = layout(padded, widest)
        other = prepare(fixed, matrix, params, threads)
        least = (
            RIDGE * float(np.trace(matrix)) / padded
        )  # reg_param 0 may leave no minimiser unique
        rows = self._rows._replace(reg=np.maximum(self.reg, least))

        def work(start: int, stop: int) -> None:
            ws = aligned(at.size)
            offsets = np.zeros(LANES * max(CHUNK, widest), np.int64)
            confidence = params.alpha, params.unobserved_weight
            if params.nonnegative:
                solve_rows_nonnegative(
                    rows, other, *confidence, ws, offsets, at, solved, gains, start, stop
                )
            else:
                solve_rows(
                    rows,
                    other,
                    *confidence,
                    widest,
                    ws,
                    offsets,
                    at,
                    solved,
                    gains,
                    start,
                    stop,
                )

        for_blocks(work, self._bounds, threads)
        return float(gains.sum())


def prepare(fixed: np.ndarray, matrix: np.ndarray, params: ALSParams, threads: int | None) -> Fixed:
    """Copy the fixed factors to padded rows, turned to where `matrix` is diagonal if that is allowed."""
    n, padded = len(fixed), len(matrix)
    flat = np.zeros(n * padded, np.float32)
    flat.reshape(n, padded)[:, : params.rank] = fixed
    if params.nonnegative:
        return Fixed(flat, matrix, np.eye(padded))
    rank = params.rank
    values, basis = np.ones(padded), np.eye(padded)
    values[:rank], basis[:rank, :rank] = eigenbasis(matrix[:rank, :rank])

    def work(start: int, stop: int) -> None:
        rotate_rows(flat, basis, aligned(2 * LANES * padded), start, stop)

    size = max(LANES, -(-n // BLOCKS))
    for_blocks(work, [*range(0, n, size), n], threads)
    return Fixed(flat, np.diag(np.maximum(values, 0.0)), basis)


def regularisation(lengths: np.ndarray, params: ALSParams) -> np.ndarray:
    """Weight of |x|^2 of rows with `lengths` plays: reg_param n^reg_exponent, 0 where n is 0."""
    n = lengths.astype(np.float64)
    return params.reg_param * np.where(n > 0, n**params.reg_exponent, 0.0)


def block_bounds(lengths: np.ndarray, rank: int) -> list[int]:
    """Cut the sorted rows into batches of about equal work, for any number of threads."""
    work = np.concatenate(([0.0], np.cumsum(lengths + rank / 2)))
    marks = np.searchsorted(work, np.linspace(0, work[-1], BLOCKS + 1)[1:-1]) // LANES * LANES
    return np.unique(np.concatenate(([0], marks, [len(lengths)]))).tolist()


class FoldIn:
    """User factors of given plays under fixed item factors, for serving.

    A user folded in with their training plays gets the factor that training gave them.
    """

    def __init__(self, item_factors: np.ndarray, params: ALSParams) -> None:
        """Take float32 item factors (n_items, rank) and the parameters they were trained with."""
        self._items = np.ascontiguousarray(item_factors, dtype=np.float32)
        self._params = params

    def __call__(self, plays: Interactions, threads: int | None = None) -> np.ndarray:
        """Fold many users in: plays (n, n_items), counts transformed; float32 (n, rank)."""
        users = np.zeros((plays.n_users, self._params.rank), np.float32)
        Side(plays, self._params).solve(self._items, users, threads)
        return users
