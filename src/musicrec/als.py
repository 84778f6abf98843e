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

from musicrec.als_cg import improve_rows, space
from musicrec.als_kernels import CHUNK, Fixed, Rows, layout, solve_rows
from musicrec.als_start import start_users
from musicrec.errors import MusicRecError
from musicrec.gramian import eigenbasis, gram, turn
from musicrec.interactions import Interactions
from musicrec.nonnegative import solve_rows_nonnegative
from musicrec.parallel import for_blocks
from musicrec.params import ALSParams
from musicrec.simd import LANES, aligned

BLOCKS = 96  # of rows: a fixed number, several a core
WIDEST = 64  # rows of more plays are never solved in the space of their plays
RIDGE = 1e-7  # of the mean eigenvalue: the least regularisation, against singular systems
TINY = 1e-30  # stands for 0 on a diagonal that is divided by
CG_FROM_RANK = 48  # solver auto: from this rank on, a few steps a row beat a factorisation


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
    track_loss: bool = True,
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
    track_loss : bool
        False: leave `losses` empty.

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
    users, items = factors.users, factors.items
    if iterative:
        users, items = in_whole_vectors(users), in_whole_vectors(items)
        factors = Factors(users[:, : params.rank], items[:, : params.rank], factors.losses)
    item_rows = Side(plays.transpose(), params)
    user_rows = Side(plays, params)
    observed = len(plays.counts) + params.alpha * float(plays.counts.sum(dtype=np.float64))

    def loss(gain: float) -> float:
        squares = np.einsum("ij,ij->i", items, items, dtype=np.float64)
        return observed - gain + float(np.sum(item_rows.reg * squares))

    for iteration in range(1, params.max_iter + 1):
        if iterative:
            item_rows.improve(users, items, measure=False, threads=threads)
            gain = user_rows.improve(items, users, measure=track_loss, threads=threads)
        else:
            item_rows.solve(users, items, measure=False, threads=threads)
            gain = user_rows.solve(items, users, measure=track_loss, threads=threads)
        if track_loss:
            factors.losses.append(loss(gain))
        if on_iteration is not None and on_iteration(iteration, factors):
            break
    if iterative:  # so that folding a user's training plays in gives the exported factor
        users, items = np.ascontiguousarray(factors.users), np.ascontiguousarray(factors.items)
        factors = Factors(users, items, factors.losses)
        gain = user_rows.solve(items, users, measure=track_loss, threads=threads)
        factors.losses[-1:] = [loss(gain)] if track_loss else []
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
        catalogue: Catalogue | None = None,
        measure: bool = True,
        threads: int | None = None,
    ) -> float:
        """Solve every row given the other side's factors.

        Parameters
        ----------
        fixed : float32 array (n_columns, rank)
        solved : float32 array (n_rows, rank)
            Overwritten; its old values start the search for nonnegative rows.
        catalogue : Catalogue, optional
            By default that of `fixed`.
        measure : bool
            False: spare the work and return 0.

        Returns
        -------
        float
            What the rows take off the loss that zero factors would leave.
        """
        params = self.params
        gram_matrix, basis, smallest = catalogue or shared_term(fixed, params, threads)
        other = Fixed(in_basis(fixed, basis, threads), gram_matrix, basis, smallest)
        rows = self._rows_with_ridge(gram_matrix)
        solved[self._empty] = 0
        gains = np.zeros(len(solved) if measure else 0)
        widest = min(len(basis), WIDEST)
        at = layout(len(basis), widest)

        def work(start: int, stop: int) -> None:
            ws = aligned(at.size)
            offsets = np.zeros(LANES * max(CHUNK, widest), np.int64)
            single = aligned(at.matrix, np.float32)
            scratch = ws, single, offsets, at, solved, gains, start, stop
            confidence = params.alpha, params.unobserved_weight
            if params.nonnegative:
                solve_rows_nonnegative(rows, other, *confidence, *scratch)
            else:
                solve_rows(rows, other, *confidence, widest, *scratch)

        for_blocks(work, self._bounds, threads)
        return float(gains.sum())

    def improve(
        self,
        fixed: np.ndarray,
        solved: np.ndarray,
        *,
        measure: bool = True,
        threads: int | None = None,
    ) -> float:
        """Improve every row by conjugate gradients, given the other side's factors.

        Both arrays turn into the coordinates where the Gram matrix of `fixed` is diagonal, which
        changes no score and no norm.

        Parameters
        ----------
        fixed, solved : float32 arrays (n_columns, padded), (n_rows, padded)
            From `in_whole_vectors`; overwritten.
        measure : bool
            False: spare the work and return 0.

        Returns
        -------
        float
            What the rows take off the loss that zero factors would leave.
        """
        params = self.params
        gram_matrix = params.unobserved_weight * gram(fixed, threads)
        values, axes = eigenbasis(gram_matrix)
        shared = np.maximum(values, TINY).astype(np.float32)
        for side in (fixed, solved):
            turn(side, axes, side, np.float32, threads)
        rows = self._rows_with_ridge(gram_matrix)
        solved[self._empty] = 0
        gains = np.zeros(len(solved) if measure else 0)

        def work(start: int, stop: int) -> None:
            longest = rows.order[start]
            at = space(len(shared), int(rows.indptr[longest + 1] - rows.indptr[longest]))
            scratch = aligned(at.size, np.float32), at, solved, gains, start, stop
            confidence = params.alpha, params.unobserved_weight
            improve_rows(rows, fixed.reshape(-1), shared, *confidence, *scratch)

        for_blocks(work, self._bounds, threads)
        return float(gains.sum())

    def _rows_with_ridge(self, gram_matrix: np.ndarray) -> Rows:
        least = RIDGE * float(np.trace(gram_matrix)) / len(gram_matrix)
        return self._rows._replace(reg=np.maximum(self.reg, least))


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
    flat = aligned(n * len(basis), np.float32)
    rows = flat.reshape(n, len(basis))
    if np.array_equal(basis, np.eye(len(basis))):
        rows[:, :rank] = fixed
    else:
        turn(fixed, basis[:rank, :rank], rows, threads=threads)
    return flat


def in_whole_vectors(factors: np.ndarray) -> np.ndarray:
    """Copy factors to memory that starts at a cache line, padded with zeros to whole vectors."""
    n, rank = factors.shape
    padded = -(-rank // LANES) * LANES
    rows = aligned(n * padded, np.float32).reshape(n, padded)
    rows[:, :rank] = factors
    return rows


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
