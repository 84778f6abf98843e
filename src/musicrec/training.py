"""Train a model on the indexed plays, with either engine, and write its factors."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from musicrec import als
from musicrec.feedback import apply_feedback
from musicrec.files import atomic_directory, write_array, write_json
from musicrec.interactions import Interactions, read_interactions, read_sizes
from musicrec.params import ALSParams, FeedbackParams


def train(
    indexed: Path,
    output: Path,
    metrics: Path,
    loss: Path,
    als_params: ALSParams,
    feedback_params: FeedbackParams,
) -> None:
    """Read the indexed training plays, fit, write factors, metrics and the course of the loss.

    The factors appear whole or not at all, and only after the fit has succeeded.
    """
    sizes = read_sizes(indexed / "sizes.json")
    plays = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    plays = apply_feedback(plays, feedback_params)
    factors = als.fit(plays, als_params, on_iteration=Progress(als_params.max_iter))
    with atomic_directory(output) as folder:
        write_array(folder / "user_factors.npy", factors.users)
        write_array(folder / "item_factors.npy", factors.items)
    write_json(metrics, summary(plays, factors))
    write_json(loss, [{"iteration": i, "loss": x} for i, x in enumerate(factors.losses, 1)])


class Progress:
    """Prints iteration, loss and seconds to standard error."""

    def __init__(self, max_iter: int) -> None:
        """Start the clock."""
        self._max_iter = max_iter
        self._since = time.monotonic()

    def __call__(self, iteration: int, factors: als.Factors) -> bool:
        """Print one line; never stops the training."""
        seconds = time.monotonic() - self._since
        print(
            f"iteration {iteration}/{self._max_iter}  loss {factors.losses[-1]:.6g}  {seconds:.1f} s",
            file=sys.stderr,
        )
        return False


def summary(plays: Interactions, factors: als.Factors) -> dict[str, float]:
    """Figures of `metrics/train.json`."""
    loss = factors.losses[-1]
    return {
        "iterations": len(factors.losses),
        "loss": loss,
        "loss_per_play": loss / len(plays.indices),
        "plays": len(plays.indices),
        "users": int(np.count_nonzero(np.diff(plays.indptr))),
        "items": int(np.count_nonzero(np.bincount(plays.indices))),
    }
