"""One side of the factorisation: all users, or all items, given the other side's factors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicrec.als.cholesky import CHUNK, Fixed, Rows, layout, solve_rows
from musicrec.als.conjugate_gradients import improve_rows, space
from musicrec.als.gram import eigenbasis, gram, turn
from musicrec.als.lanes import LANES, aligned
from musicrec.als.nonnegative import solve_rows_nonnegative
from musicrec.interactions import Interactions
from musicrec.parallel import for_blocks
from musicrec.params.als import ALSParams

BLOCKS = 96  # of rows: a fixed number, several a core
WIDEST = 64  # rows of more plays are never solved in the space of their plays
RIDGE = 1e-7  # of the mean eigenvalue: the least regularisation, against singular systems
TINY = 1e-30  # stands for 0 on a diagonal that is divided by


class Catalogue(NamedTuple):
    """The quadratic term that all rows share, over every fixed row.

    `gram` is unobserved_weight times the sum of the outer products, padded to a multiple of four
    and in the coordinates given by the columns of `basis`; float64 (padded, padded). `least` (1)
    holds its smallest eigenvalue.
    """

    gram: np.ndarray
    basis: np.ndarray
    least: np.ndarray


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
    return shared_term_of_gram(gram(fixed, threads), params)


def shared_term_of_gram(gram_matrix: np.ndarray, params: ALSParams) -> Catalogue:
    """The term of all fixed rows, from their Gram matrix, float64 (rank, rank)."""
    rank = params.rank
    padded = -(-rank // 4) * 4
    matrix = np.eye(padded)  # the padding solves to 0
    basis = np.eye(padded)
    matrix[:rank, :rank] = params.unobserved_weight * gram_matrix
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
