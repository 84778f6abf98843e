"""Alternating least squares on implicit feedback, compiled, on one machine.

The objective is the one Spark MLlib minimises with `implicitPrefs` (Hu, Koren and Volinsky 2008,
ICDM; regularised as by Zhou, Wilkinson, Schreiber and Pan 2008, AAIM): for users x and items y

    sum over all (u, i) of c_ui (p_ui - x_u.y_i)^2
        + reg_param (sum_u n_u |x_u|^2 + sum_i n_i |y_i|^2),

with p = 1 and c = 1 + alpha r where user u played item i, p = 0 and c = 1 elsewhere, and n the
number of plays of a row. Three parameters go beyond it: the weight of the unobserved entries, the
exponent e of n, and a share a of the N rows of the other side that is added to n: a row is
regularised by reg_param (n + a N)^e. They are those of Rendle, Krichene, Zhang and Koren (RecSys
2022, "Revisiting the performance of iALS on item recommendation benchmarks"); docs/als.md maps
their names to ours. One iteration solves all items, then all users.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from musicrec.als.gram import gram
from musicrec.als.half_step import HalfStep, in_whole_vectors, regularisation
from musicrec.als.start import start_users
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams

CG_FROM_RANK = 48  # solver auto: from this rank on, a few steps a row beat a factorisation


@dataclass
class Factors:
    """A model.

    Attributes
    ----------
    users, items : float32 arrays (n_users, rank), (n_items, rank)
    losses : list of float
        The objective after each iteration up to that of these factors.
    scores : list of float
        What `score` gave after each iteration; with early stopping, later ones too.
    """

    users: np.ndarray
    items: np.ndarray
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def copy(self) -> Factors:
        """Arrays and lists of their own."""
        return Factors(self.users.copy(), self.items.copy(), list(self.losses), list(self.scores))


def fit(
    plays: Interactions,
    params: ALSParams,
    *,
    start: Factors | None = None,
    threads: int | None = None,
    score: Callable[[Factors], float] | None = None,
    on_iteration: Callable[[int, Factors], None] | None = None,
    on_rows: Callable[[str, int, int], None] | None = None,
    track_loss: bool = True,
) -> Factors:
    """Factorise the plays; the same bits for any number of threads.

    Parameters
    ----------
    plays : Interactions
        Users x items; counts as `feedback` left them.
    start : Factors, optional
        Where to start (overwritten); by default users as `als.init` says.
    threads : int, optional
        See `parallel.thread_count`.
    score : callable, optional
        Judges the factors of each iteration, the higher the better. Training ends when
        `als.early_stopping` iterations (0: never) have passed without a better score, and the
        factors of the best are returned.
    on_iteration : callable, optional
        Called after each iteration as (iteration from 1, factors).
    on_rows : callable, optional
        Called within a half step as ("users" or "tracks", rows done, rows), by several threads.
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
    by_item = plays.transpose()
    factors = start or Factors(
        start_users(plays, params, by_item, threads),
        np.zeros((plays.n_items, params.rank), np.float32),
    )
    users, items = factors.users, factors.items
    if iterative:
        users, items = in_whole_vectors(users), in_whole_vectors(items)
        factors.users, factors.items = users[:, : params.rank], items[:, : params.rank]
    item_rows = HalfStep(by_item, params)
    user_rows = HalfStep(plays, params)
    if on_rows is not None:
        item_rows.on_rows = functools.partial(on_rows, "tracks")
        user_rows.on_rows = functools.partial(on_rows, "users")
    best = factors
    for iteration in range(1, params.max_iter + 1):
        if iterative:
            item_rows.improve(users, items, measure=False, threads=threads)
            gain = user_rows.improve(items, users, measure=track_loss, threads=threads)
        else:
            item_rows.solve(users, items, measure=False, threads=threads)
            gain = user_rows.solve(items, users, measure=track_loss, threads=threads)
        if track_loss:
            factors.losses.append(user_rows.loss_at_zero - gain + item_rows.penalty(items))
        if score is not None:
            factors.scores.append(score(factors))
        if on_iteration is not None:
            on_iteration(iteration, factors)
        if factors.scores and params.early_stopping:
            waited = len(factors.scores) - 1 - int(np.argmax(factors.scores))
            if waited == 0:
                best = factors.copy()
            if waited >= params.early_stopping:
                break
    best.scores = factors.scores
    if iterative:  # so that folding a user's training plays in gives the exported factor
        best.users, best.items = (np.ascontiguousarray(f) for f in (best.users, best.items))
        gain = user_rows.solve(best.items, best.users, measure=track_loss, threads=threads)
        if track_loss:
            best.losses[-1] = user_rows.loss_at_zero - gain + item_rows.penalty(best.items)
    return best


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
    for lengths, factors, n_fixed in (
        (plays.lengths, users, len(items)),
        (plays.users_of(), items, len(users)),
    ):
        squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
        penalty += float(np.sum(regularisation(lengths, n_fixed, params) * squares))
    return every + observed + penalty
