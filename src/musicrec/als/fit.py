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

import numpy as np

from musicrec.als.gram import gram
from musicrec.als.half_step import Side, in_whole_vectors, regularisation
from musicrec.als.start import start_users
from musicrec.errors import MusicRecError
from musicrec.interactions import Interactions
from musicrec.params.als import ALSParams

CG_FROM_RANK = 48  # solver auto: from this rank on, a few steps a row beat a factorisation


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
        False: add nothing to `losses`.

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
        if track_loss:
            factors.losses[-1] = loss(gain)
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
