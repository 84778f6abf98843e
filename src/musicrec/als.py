"""Alternating least squares on implicit feedback, compiled, on one machine.

The objective is the one Spark MLlib minimises with `implicitPrefs` (Hu, Koren and Volinsky 2008,
ICDM; regularised as by Zhou, Wilkinson, Schreiber and Pan 2008, AAIM): for users x and items y

    sum over all (u, i) of c_ui (p_ui - x_u.y_i)^2
        + reg_param (sum_u n_u |x_u|^2 + sum_i n_i |y_i|^2),

with p = 1 and c = 1 + alpha r where user u played item i, p = 0 and c = 1 elsewhere, and n the
number of plays of a row. Two parameters go beyond it (Rendle, Krichene, Zhang and Koren 2022,
RecSys, "Revisiting the performance of iALS on item recommendation benchmarks"): the weight of the
unobserved entries, and the exponent of n. One iteration solves all items, then all users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from musicrec.als_cg import improve_rows
from musicrec.als_kernels import CHUNK, Fixed, Rows, layout, rotate_rows, solve_rows
from musicrec.als_start import start_users
from musicrec.errors import MusicRecError
from musicrec.gramian import eigenbasis, gram
from musicrec.interactions import Interactions
from musicrec.nonnegative import solve_rows_nonnegative
from musicrec.parallel import for_blocks
from musicrec.params import ALSParams
from musicrec.simd import LANES, aligned

BLOCKS = 96  # of rows: a fixed number, several a core
WIDEST = 64  # rows of more plays are never solved in the space of their plays
RIDGE = 1e-7  # of the mean eigenvalue: the least regularisation, against singular systems
CG_STEPS = 3
CG_FROM_RANK = 257  # solver auto: from this rank on, three steps a row beat a factorisation


@dataclass
class Factors:
    """A model: float32 `users` (n_users, rank), `items` (n_items, rank), and its losses."""

    users: np.ndarray
    items: np.ndarray
    losses: list[float] = field(default_factory=list)


class Catalogue(NamedTuple):
    """The quadratic term that all rows share, over every fixed row.

    `gram` is unobserved_weight times the sum of the outer products, padded to a multiple of four
    and in the coordinates given by the columns of `basis`; float64 (padded, padded). `least` (1)
    holds its smallest eigenvalue.
    """

    gram: np.ndarray
    basis: np.ndarray
    least: np.ndarray


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
        Where to start (overwritten); by default the seeded users that MLlib starts with.
    threads : int, optional
        See `parallel.thread_count`.
    on_iteration : callable, optional
        Called after each iteration as (iteration from 1, factors); True ends the training.

    Returns
    -------
    Factors
        Rows without plays are zero. `losses` holds the objective after each iteration, computed
        within the users' half step; exact solvers never raise it.

    Raises
    ------
    MusicRecError
        `als.solver` is cg and `als.nonnegative` true.
    """
    iterative = uses_cg(params)
    factors = start or Factors(
        start_users(plays, params), np.zeros((plays.n_items, params.rank), np.float32)
    )
    items = Side(plays.transpose(), params)
    users = Side(plays, params)
    observed = len(plays.counts) + params.alpha * float(plays.counts.sum(dtype=np.float64))

    def loss(gain: float) -> float:
        squares = np.einsum("ij,ij->i", factors.items, factors.items, dtype=np.float64)
        return observed - gain + float(np.sum(items.reg * squares))

    for iteration in range(1, params.max_iter + 1):
        items.solve(factors.users, factors.items, exact=not iterative, threads=threads)
        gain = users.solve(factors.items, factors.users, exact=not iterative, threads=threads)
        factors.losses.append(loss(gain))
        if on_iteration is not None and on_iteration(iteration, factors):
            break
    if iterative:  # so that folding a user's training plays in gives the exported factor
        factors.losses[-1] = loss(users.solve(factors.items, factors.users, threads=threads))
    return factors


def uses_cg(params: ALSParams) -> bool:
    """Whether rows are improved by conjugate gradients rather than solved.

    Raises
    ------
    MusicRecError
        `als.solver` is cg and `als.nonnegative` true.
    """
    if params.solver == "cg" and params.nonnegative:
        raise MusicRecError(
            "als.solver = cg cannot keep factors nonnegative; use als.solver = auto or "
            "als.nonnegative = false"
        )
    automatic = params.solver == "auto" and params.rank >= CG_FROM_RANK
    return params.solver == "cg" or (automatic and not params.nonnegative)


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

    def solve(
        self,
        fixed: np.ndarray,
        solved: np.ndarray,
        *,
        exact: bool = True,
        catalogue: Catalogue | None = None,
        threads: int | None = None,
    ) -> float:
        """Solve every row given the other side's factors.

        Parameters
        ----------
        fixed : float32 array (n_columns, rank)
        solved : float32 array (n_rows, rank)
            Overwritten; its old values start the iterative solvers.
        exact : bool
            False: a few steps of conjugate gradients instead.
        catalogue : Catalogue, optional
            By default that of `fixed`.

        Returns
        -------
        float
            What the rows take off the loss that zero factors would leave.
        """
        params = self.params
        gram_matrix, basis, smallest = catalogue or shared_term(fixed, params, threads)
        other = Fixed(in_basis(fixed, basis, threads), gram_matrix, basis, smallest)
        least = RIDGE * float(np.trace(gram_matrix)) / len(gram_matrix)
        rows = self._rows._replace(reg=np.maximum(self.reg, least))
        solved[self._empty] = 0
        gains = np.zeros(len(solved))
        confidence = params.alpha, params.unobserved_weight
        widest = min(len(basis), WIDEST)
        at = layout(len(basis), widest)

        def work(start: int, stop: int) -> None:
            if not exact:
                improve_rows(rows, other, *confidence, CG_STEPS, solved, gains, start, stop)
                return
            ws = aligned(at.size)
            offsets = np.zeros(LANES * max(CHUNK, widest), np.int64)
            single = aligned(at.matrix, np.float32)
            scratch = ws, single, offsets, at, solved, gains, start, stop
            if params.nonnegative:
                solve_rows_nonnegative(rows, other, *confidence, *scratch)
            else:
                solve_rows(rows, other, *confidence, widest, *scratch)

        for_blocks(work, self._bounds, threads)
        return float(gains.sum())


def shared_term(fixed: np.ndarray, params: ALSParams, threads: int | None = None) -> Catalogue:
    """The term of all fixed rows: diagonal, unless that would turn the nonnegative cone."""
    rank = params.rank
    padded = -(-rank // 4) * 4
    matrix = np.eye(padded)  # the padding solves to 0
    basis = np.eye(padded)
    matrix[:rank, :rank] = params.unobserved_weight * gram(fixed, threads)
    values, vectors = eigenbasis(matrix[:rank, :rank])
    values = np.maximum(values, 0.0)
    if not params.nonnegative:
        basis[:rank, :rank] = vectors
        matrix = np.eye(padded)
        matrix[:rank, :rank] = np.diag(values)
    return Catalogue(matrix, basis, values.min(keepdims=True))


def in_basis(fixed: np.ndarray, basis: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Copy rows into the coordinates of `basis`: flat float32, each row of padded width."""
    n, rank = fixed.shape
    padded = len(basis)
    if np.array_equal(basis, np.eye(padded)):
        flat = np.zeros(n * padded, np.float32)
        flat.reshape(n, padded)[:, :rank] = fixed
        return flat
    flat = np.empty(n * padded, np.float32)

    def work(start: int, stop: int) -> None:
        rotate_rows(fixed, basis, aligned(2 * LANES * padded), flat, start, stop)

    size = max(LANES, -(-n // BLOCKS))
    for_blocks(work, [*range(0, n, size), n], threads)
    return flat


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
    """Factors of users by their plays, the item factors held fixed, for serving.

    A user folded in with their training plays gets the factor that training gave them.
    """

    def __init__(self, item_factors: np.ndarray, params: ALSParams) -> None:
        """Take item factors, float32 (n_items, rank), and the parameters they were trained with.

        This is the slow part, one pass over all items; a call then costs what the user's plays
        cost.
        """
        self._items = item_factors
        self._params = params
        self._catalogue = shared_term(item_factors, params)

    def __call__(self, items: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Fold one user in.

        Parameters
        ----------
        items : int array (n)
            Each item at most once, in any order.
        counts : float array (n)
            What `feedback.apply_feedback` makes of the play counts.

        Returns
        -------
        float32 array (rank)
            Zero without plays.
        """
        n = len(items)
        indptr = np.array([0, n], np.int64)
        order = np.argsort(items)
        ratings = np.asarray(counts, np.float32)[order]
        plays = Interactions(indptr, np.arange(n, dtype=np.int32), ratings, n)
        user = np.zeros((1, self._params.rank), np.float32)
        fixed = np.asarray(self._items[np.asarray(items)[order]], np.float32)
        Side(plays, self._params).solve(fixed, user, catalogue=self._catalogue, threads=1)
        return user[0]


def fold_in(
    item_factors: np.ndarray, items: np.ndarray, counts: np.ndarray, params: ALSParams
) -> np.ndarray:
    """Fold one user in; see `FoldIn`, which is faster for many."""
    return FoldIn(item_factors, params)(items, counts)


def objective(
    plays: Interactions, users: np.ndarray, items: np.ndarray, params: ALSParams
) -> float:
    """Evaluate the objective of any factors, whichever solver made them.

    Independent of the solvers: the sum over all pairs is that over the plays plus the product of
    the two Gram matrices.
    """
    every = params.unobserved_weight * float(np.sum(gram(users) * gram(items)))
    observed = 0.0
    for first in range(0, len(plays.indices), 1 << 20):
        block = slice(first, min(first + (1 << 20), len(plays.indices)))
        at = np.arange(block.start, block.stop)
        rows = np.searchsorted(plays.indptr, at, side="right") - 1
        scores = np.einsum("ij,ij->i", users[rows], items[plays.indices[block]], dtype=np.float64)
        confidence = 1.0 + params.alpha * plays.counts[block].astype(np.float64)
        observed += float(
            np.sum(confidence * (1.0 - scores) ** 2 - params.unobserved_weight * scores**2)
        )
    penalty = 0.0
    for rows_of, factors in ((np.diff(plays.indptr), users), (item_lengths(plays), items)):
        squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
        penalty += float(np.sum(regularisation(rows_of, params) * squares))
    return every + observed + penalty


def item_lengths(plays: Interactions) -> np.ndarray:
    """Number of plays of every item."""
    return np.bincount(plays.indices, minlength=plays.n_items)
