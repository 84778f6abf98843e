"""Checks of a training: feasible before it starts, converging, and of usable factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.interactions.factors import LARGEST_NORM, norms_of, warn
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams

# Sums in float64 hold 16 digits: of an unobserved entry's weight, 1, beside this one 4 are left.
LARGEST_WEIGHT = 1e12
RISE = 1e-3  # of the loss: more is not rounding, since no half step raises it
ROUNDING = 1e-6  # of the loss that zero factors leave
ADVICE = "lower als.alpha, or set feedback.transform to log1p"


def check_feasible(ratings: Interactions, als: ALSParams) -> None:
    """Refuse weights that no number holds and a rank beyond users and tracks.

    Warns of a rank beyond one of the two, and of plays of one user only.

    Parameters
    ----------
    ratings : Interactions
        Counts as `feedback` left them.

    Raises
    ------
    MusicRecError
        The sentence names the parameter and the largest count, or the users and tracks.
    """
    if als.alpha * float(ratings.counts.max()) > LARGEST_WEIGHT:
        raise MusicRecError(f"{_weight(ratings, als)}, too large to train with; {ADVICE}")
    users = int(np.count_nonzero(ratings.lengths))
    tracks = int(np.count_nonzero(ratings.users_of()))
    if users == 1:
        warn(
            "the training plays are of one user only, so there is nothing to learn from others; "
            "check data.columns.user"
        )
    fewer = min(users, tracks)
    if als.rank > max(users, tracks):
        raise MusicRecError(
            f"als.rank = {als.rank} is more than the {users:,} users and the {tracks:,} tracks "
            f"with plays; set als.rank to {fewer} or less"
        )
    if als.rank > fewer:
        side = "users" if users <= tracks else "tracks"
        warn(
            f"als.rank = {als.rank} is more than the {fewer:,} {side} with plays; a rank of "
            f"{fewer:,} gives the same scores"
        )


def require_falling(losses: Sequence[float], ratings: Interactions, als: ALSParams) -> None:
    """Stop unless the last loss is a number, not negative, and no more than the one before.

    Raises
    ------
    MusicRecError
        The sentence names the parameter and the largest count.
    """
    last, before = losses[-1], losses[-2] if len(losses) > 1 else np.inf
    at_zero = len(ratings.counts) + als.alpha * float(ratings.counts.sum(dtype=np.float64))
    slack = ROUNDING * at_zero
    if not np.isfinite(last):
        what = f"is {last}"
    elif last < -slack:
        what = f"is negative ({last:.6g})"
    elif last > before + RISE * abs(before) + slack:
        what = f"rises from {before:.6g} to {last:.6g}"
    else:
        return
    raise MusicRecError(
        f"the loss {what} at iteration {len(losses)}: {_weight(ratings, als)}, and als.reg_param = "
        f"{als.reg_param:g}, are beyond what the solver's numbers hold; {ADVICE}"
    )


def require_usable(factors: Factors, als: ALSParams) -> None:
    """Stop where a factor is no number or too large to search.

    Raises
    ------
    MusicRecError
        The sentence names the parameters to look at.
    """
    for side, values in (("user", factors.users), ("track", factors.items)):
        rows = int(np.count_nonzero(~(norms_of(values) <= LARGEST_NORM)))  # or not a number
        if rows:
            raise MusicRecError(
                f"{rows:,} {side} factors are not finite, or longer than {LARGEST_NORM:.2g}, whose "
                f"square 32-bit numbers do not hold, at als.alpha = {als.alpha:g} and "
                f"als.reg_param = {als.reg_param:g}; raise als.reg_param, or {ADVICE}"
            )


def _weight(ratings: Interactions, als: ALSParams) -> str:
    largest = float(ratings.counts.max())
    return (
        f"als.alpha = {als.alpha:g} times the largest count of {largest:g} (after feedback) is "
        f"{als.alpha * largest:.3g}"
    )
