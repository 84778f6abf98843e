"""Half an iteration: all users, or all items, given the other side's factors."""

from __future__ import annotations

import numpy as np

from musicrec.als.cholesky import TILE_ROWS
from musicrec.als.conjugate_gradients import improve_rows, step_workspace
from musicrec.als.exact import solve_rows
from musicrec.als.gram import eigenbasis, gram, rotate
from musicrec.als.lanes import LANES, aligned
from musicrec.als.nonnegative import nonnegative_workspace, solve_rows_nonnegative
from musicrec.als.problem import Problem, SharedTerm, Solution, workspace
from musicrec.interactions.matrix import Interactions
from musicrec.interactions.portable import power
from musicrec.jit.parallel import for_blocks
from musicrec.params import ALSParams

ROW_BLOCKS = 96  # a fixed number, several a core, so that the last core to finish is not late
RIDGE = 1e-7  # of the mean eigenvalue (float32's precision): the least regularisation
TINY = 1e-30  # stands for 0 on a diagonal that is divided by


class HalfStep:
    """Users or items as the rows to solve: what stays the same in every iteration.

    Attributes
    ----------
    reg : float64 array (n_rows)
        Weight of each row's squared norm in the objective.
    loss_at_zero : float
        The objective where all factors are zero: the weights of all plays.
    """

    def __init__(self, plays: Interactions, params: ALSParams, n_fixed: int | None = None) -> None:
        """Take the rows' plays; sort rows by length, so that eight neighbours are an even batch.

        `n_fixed` is the number of rows of the other side, where `plays` holds not all of them.
        """
        lengths = plays.lengths
        self.params = params
        self.reg = regularisation(lengths, plays.n_items if n_fixed is None else n_fixed, params)
        of_plays = params.alpha * float(plays.counts.sum(dtype=np.float64))
        self.loss_at_zero = len(plays.counts) + of_plays
        self._plays = plays
        self._empty = lengths == 0
        self._order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        self._bounds = block_bounds(lengths[self._order], params.rank)

    def solve(
        self,
        fixed: np.ndarray,
        solved: np.ndarray,
        shared: SharedTerm | None = None,
    ) -> float:
        """Solve every row given the other side's factors.

        Parameters
        ----------
        fixed : float32 array (n_columns, rank)
        solved : float32 array (n_rows, rank)
            Overwritten; its old values start the search for nonnegative rows.
        shared : SharedTerm, optional
            By default that of `fixed`.

        Returns
        -------
        float
            What the rows take off the loss that zero factors would leave.
        """
        shared = shared or shared_term(gram(fixed), self.params)
        rows = in_whole_vectors(fixed, TILE_ROWS)
        if not self.params.nonnegative:
            rank = fixed.shape[1]
            rotate(fixed, shared.basis[:rank, :rank], rows)
        problem = self._problem(rows, shared.gram)
        out = self._solution(solved)

        def work(start: int, stop: int) -> None:
            if self.params.nonnegative:
                memory = nonnegative_workspace(problem.padded)
                solve_rows_nonnegative(problem, shared, memory, out, start, stop)
            else:
                solve_rows(problem, shared, workspace(problem.padded), out, start, stop)

        for_blocks(work, self._bounds)
        return float(out.gains.sum())

    def improve(self, fixed: np.ndarray, solved: np.ndarray) -> float:
        """Improve every row by conjugate gradients, given the other side's factors.

        Both arrays are rotated to the coordinates where the Gram matrix of `fixed` is diagonal,
        which changes no score and no norm.

        Parameters
        ----------
        fixed, solved : float32 arrays (n_columns, padded), (n_rows, padded)
            From `in_whole_vectors`; overwritten. The rest is as of `solve`.
        """
        gram_matrix, values = self.turn(fixed, solved)
        shared = np.maximum(values, TINY).astype(np.float32)
        problem = self._problem(fixed, gram_matrix)
        out = self._solution(solved)

        def work(start: int, stop: int) -> None:
            longest = len(self._plays.row(self._order[start]))
            memory = step_workspace(problem.padded, longest)
            improve_rows(problem, shared, memory, out, start, stop)

        for_blocks(work, self._bounds)
        return float(out.gains.sum())

    def turn(self, fixed: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotate padded tables, in place, to where the weighted Gram matrix of `fixed` is diagonal.

        Returns that matrix as it was, float64 (padded, padded), and its eigenvalues.
        """
        gram_matrix = self.params.unobserved_weight * gram(fixed)
        values, axes = eigenbasis(gram_matrix)
        for factors in (fixed, *others):
            rotate(factors, axes, factors, np.float32)
        return gram_matrix, values

    def _problem(self, factors: np.ndarray, gram_matrix: np.ndarray) -> Problem:
        """The rows with their ridge, given padded factors and their weighted Gram matrix."""
        least = RIDGE * float(np.trace(gram_matrix)) / len(gram_matrix)
        return Problem(
            order=self._order,
            plays=self._plays,
            reg=np.maximum(self.reg, least),
            factors=factors.reshape(-1),
            padded=len(gram_matrix),
            alpha=float(self.params.alpha),
            unobserved=float(self.params.unobserved_weight),
        )

    def _solution(self, solved: np.ndarray) -> Solution:
        """Where the rows go; those without plays are zero from the start."""
        solved[self._empty] = 0
        return Solution(solved, np.zeros(len(solved)))


def penalty(reg: np.ndarray, factors: np.ndarray) -> float:
    """Sum over the rows of their weight `reg` times their squared norm."""
    squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    return float(np.sum(reg * squares))


def shared_term(gram_matrix: np.ndarray, params: ALSParams) -> SharedTerm:
    """The term of all fixed rows, from their Gram matrix, float64 (rank, rank).

    Diagonal, unless that would rotate the nonnegative cone. Padded to
    whole tiles by a unit matrix, so that the padding of a solution is 0.
    """
    rank = params.rank
    padded = -(-rank // TILE_ROWS) * TILE_ROWS
    matrix, basis = np.eye(padded), np.eye(padded)
    weighted = params.unobserved_weight * gram_matrix
    values, vectors = eigenbasis(weighted)
    values = np.maximum(values, 0.0)
    if params.nonnegative:
        matrix[:rank, :rank] = weighted
    else:
        matrix[:rank, :rank] = np.diag(values)
        basis[:rank, :rank] = vectors
    return SharedTerm(matrix, basis, values.min(keepdims=True))


def in_whole_vectors(factors: np.ndarray, size: int = LANES) -> np.ndarray:
    """Copy factors to memory that starts at a cache line, padded with zeros to whole vectors."""
    n, rank = factors.shape
    padded = -(-rank // size) * size
    rows = aligned(n * padded, np.float32).reshape(n, padded)
    rows[:, :rank] = factors
    return rows


def regularisation(lengths: np.ndarray, n_fixed: int, params: ALSParams) -> np.ndarray:
    """Weight of each row's squared norm in the objective: float64 array (n_rows).

    reg_param (n + reg_unobserved N)^reg_exponent of a row with n plays (`lengths`), 0 where n is 0;
    N, `n_fixed`, counts all rows of the other side, those without plays as well: lambda (n + alpha0
    N)^nu of Rendle, Krichene, Zhang and Koren, RecSys 2022.
    """
    n = lengths.astype(np.float64)
    pairs = n + params.reg_unobserved * n_fixed
    return params.reg_param * np.where(n > 0, power(pairs, params.reg_exponent), 0.0)


def block_bounds(lengths: np.ndarray, rank: int) -> list[int]:
    """Cut the sorted rows into batches of about equal work, for any number of threads."""
    if len(lengths) <= LANES:  # one batch; folding a user in takes microseconds
        return sorted({0, len(lengths)})
    work = np.concatenate(([0.0], np.cumsum(lengths + rank / 2)))
    marks = np.searchsorted(work, np.linspace(0, work[-1], ROW_BLOCKS + 1)[1:-1]) // LANES * LANES
    return np.unique(np.concatenate(([0], marks, [len(lengths)]))).tolist()
