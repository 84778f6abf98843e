"""Alternating least squares on implicit feedback, compiled, on one machine.

For users x and items y it minimises

    sum over all (u, i) of c_ui (p_ui - x_u.y_i)^2
        + reg_param (sum_u (n_u + a N)^e |x_u|^2 + sum_i (n_i + a N)^e |y_i|^2),

with p = 1 and c = 1 + alpha r where user u played item i, p = 0 and c = w elsewhere, n the number
of plays of a row and N that of the rows of the other side. At e = w = 1 and a = 0 it is Spark
MLlib's with `implicitPrefs` (Hu, Koren and Volinsky 2008; Zhou et al. 2008); docs/als.md maps the
parameters to those of Rendle et al. (RecSys 2022). An iteration solves all items, then all users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from musicrec.als.gram import gram
from musicrec.als.half_step import HalfStep, in_whole_vectors, penalty, regularisation
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.interactions.portable import LN2, scalar_log2
from musicrec.jit.kernel import kernel
from musicrec.params import ALSParams

CG_FROM_RANK = 48  # solver auto: from this rank on, a few steps a row beat a factorisation
_MIX = 0x9E3775CD9E3775CD
_LOW = 0xFFFFFFFF
_ARRAY_SEED = 0x3C074A61  # Scala's seed for hashing arrays


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


def fit(
    plays: Interactions,
    params: ALSParams,
    *,
    start: Factors | None = None,
    score: Callable[[Factors], float] | None = None,
    on_iteration: Callable[[int, Factors], None] | None = None,
) -> Factors:
    """Factorise the plays; the same bits for any number of threads.

    Parameters
    ----------
    plays : Interactions
        Users x items; counts as `feedback` left them.
    start : Factors, optional
        Where to start (overwritten); by default users where MLlib's start.
    score : callable, optional
        Judges the factors of each iteration, the higher the better. Training ends when
        `als.early_stopping` iterations (0: never) have passed without a better score, and the
        factors of the best are returned.
    on_iteration : callable, optional
        Called after each iteration as (iteration from 1, factors).

    Returns
    -------
    Factors
        Rows without plays are zero; exact solvers never raise the losses. The last users are solved
        exactly by any solver, so that folding a user's training plays in gives the factor again.

    Raises
    ------
    MusicRecError
        `als.solver` is cg and `als.nonnegative` true.
    """
    iterative = uses_cg(params)
    by_item = plays.transpose()
    factors = start or Factors(
        start_users(plays, params), np.zeros((plays.n_items, params.rank), np.float32)
    )
    users, items = factors.users, factors.items
    if iterative:
        users, items = in_whole_vectors(users), in_whole_vectors(items)
        factors.users, factors.items = users[:, : params.rank], items[:, : params.rank]
    item_rows = HalfStep(by_item, params)
    user_rows = HalfStep(plays, params)
    best, half_step = factors, HalfStep.improve if iterative else HalfStep.solve
    for iteration in range(1, params.max_iter + 1):
        half_step(item_rows, users, items)
        if iterative and iteration == params.max_iter:
            user_rows.turn(items)  # as after `improve`, so that the model is that of a longer fit
            users, items, half_step = *_contiguous(factors), HalfStep.solve
        gain = half_step(user_rows, items, users)
        factors.losses.append(user_rows.loss_at_zero - gain + penalty(item_rows.reg, items))
        if score is not None:
            factors.scores.append(score(factors))
        if on_iteration is not None:
            on_iteration(iteration, factors)
        if factors.scores and params.early_stopping:
            waited = len(factors.scores) - 1 - int(np.argmax(factors.scores))
            if waited == 0:
                best = Factors(factors.users.copy(), factors.items.copy(), list(factors.losses))
            if waited >= params.early_stopping:
                break
    best.scores = factors.scores
    if iterative and len(best.losses) < len(factors.losses):  # of an earlier iteration
        users, items = _contiguous(best)
        gain = user_rows.solve(items, users)
        best.losses[-1] = user_rows.loss_at_zero - gain + penalty(item_rows.reg, items)
    return best


def _contiguous(factors: Factors) -> tuple[np.ndarray, np.ndarray]:
    """Users and items for an exact solver, which conjugate gradients keep padded."""
    factors.users, factors.items = map(np.ascontiguousarray, (factors.users, factors.items))
    return factors.users, factors.items


def uses_cg(params: ALSParams) -> bool:
    """Whether rows are improved by conjugate gradients rather than solved."""
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

    The sum over all pairs is that over the plays plus the product of the two Gram matrices.
    """
    total = params.unobserved_weight * float(np.sum(gram(users) * gram(items)))
    for first in range(0, len(plays.indices), 1 << 20):
        block = slice(first, first + (1 << 20))
        columns = plays.indices[block]
        at = np.arange(first, first + len(columns))
        rows = np.searchsorted(plays.indptr, at, side="right") - 1
        scores = np.einsum("ij,ij->i", users[rows], items[columns], dtype=np.float64)
        confidence = 1.0 + params.alpha * plays.counts[block].astype(np.float64)
        losses = confidence * (1.0 - scores) ** 2 - params.unobserved_weight * scores**2
        total += float(losses.sum())
    for lengths, factors, n_fixed in (
        (plays.lengths, users, len(items)),
        (plays.users_of(), items, len(users)),
    ):
        total += penalty(regularisation(lengths, n_fixed, params), factors)
    return total


def start_users(plays: Interactions, params: ALSParams) -> np.ndarray:
    """Where the users start: unit vectors of random direction, zero for those without plays.

    The same numbers as MLlib's with `als.seed` and `als.num_blocks` (user u lies in block
    u mod num_blocks, a generator a block), to the last bit or the one before it.

    Returns
    -------
    float32 array (n_users, rank)
    """
    users = np.zeros((plays.n_users, params.rank), np.float32)
    first_long = _next_long(xorshift_state(params.seed))
    present = np.flatnonzero(plays.lengths)
    for block in range(params.num_blocks):
        members = present[present % params.num_blocks == block]
        _fill_unit_vectors(users, members, xorshift_state(_byteswap(first_long ^ block)))
    return users


def xorshift_state(seed: int) -> np.ndarray:
    """State, as one uint64, of Spark's XORShiftRandom of a seed."""
    text = (seed & (2**64 - 1)).to_bytes(8, "big")
    low = _murmur3(text, _ARRAY_SEED)
    high = _murmur3(text, low)
    return np.array([high << 32 | low], np.uint64)


def _byteswap(value: int) -> int:
    value = value * _MIX % 2**64
    return int.from_bytes(value.to_bytes(8, "little"), "big") * _MIX % 2**64


def _murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3 x86 32 (A. Appleby) of whole four-byte words."""
    h = seed
    for i in range(0, len(data), 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 & _LOW
        k = (k << 15 | k >> 17) & _LOW
        h ^= k * 0x1B873593 & _LOW
        h = (h << 13 | h >> 19) & _LOW
        h = (h * 5 + 0xE6546B64) & _LOW
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _LOW
    h = (h ^ h >> 13) * 0xC2B2AE35 & _LOW
    return h ^ h >> 16


def _next_long(state: np.ndarray) -> int:
    high, low = _next_bits(state, 32), _next_bits(state, 32)
    return ((high << 32) + (low - (low >> 31 << 32))) % 2**64  # the low half counts as signed


@kernel()
def _next_bits(state, bits):
    """Advance Marsaglia's xorshift and return its low bits."""
    x = state[0]
    x ^= x << np.uint64(21)
    x ^= x >> np.uint64(35)
    x ^= x << np.uint64(4)
    state[0] = x
    return np.int64(x & np.uint64((1 << bits) - 1))


@kernel()
def _next_double(state):
    high = _next_bits(state, 26)
    return ((high << 27) + _next_bits(state, 27)) * 2.0**-53


@kernel()
def _fill_unit_vectors(users, members, state):
    """Fill rows with normal deviates (Marsaglia's polar method, as in Java) of unit length."""
    rank = users.shape[1]
    spare = 0.0
    has_spare = False
    for user in members:
        for k in range(rank):
            if has_spare:
                users[user, k] = spare
                has_spare = False
                continue
            s, x = 0.0, 0.0
            while s >= 1.0 or s == 0.0:
                x = 2.0 * _next_double(state) - 1.0
                spare = 2.0 * _next_double(state) - 1.0
                s = x * x + spare * spare
            scale = np.sqrt(-2.0 * LN2 * scalar_log2(s) / s)
            users[user, k] = x * scale
            spare *= scale
            has_spare = True
        squares = np.float64(0.0)
        for k in range(rank):
            squares += np.float64(users[user, k]) * np.float64(users[user, k])
        length = np.float32(np.sqrt(squares))
        for k in range(rank):
            users[user, k] *= np.float32(1.0) / length
