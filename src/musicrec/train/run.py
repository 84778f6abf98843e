"""Train a model on the indexed plays, with either engine, and write its factors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import Factors, fit, item_lengths, objective, uses_cg
from musicrec.als.half_step import Side
from musicrec.errors import MusicRecError
from musicrec.factors import write_factors
from musicrec.files import atomic_directory, write_json
from musicrec.interactions import Interactions, read_interactions, read_sizes
from musicrec.params.als import ALSParams
from musicrec.params.feedback import FeedbackParams
from musicrec.progress import progress
from musicrec.train.early_stopping import EarlyStopping
from musicrec.train.mllib import fit_mllib
from musicrec.train.warm_start import warm_factors

NATIVE_ONLY = ("solver", "reg_exponent", "unobserved_weight", "early_stopping", "warm_start")


def train(
    indexed: Path,
    output: Path,
    metrics: Path,
    plots: Path,
    als: ALSParams,
    feedback: FeedbackParams,
) -> None:
    """Fit the indexed training plays; write factors, metrics and rows for plots.

    Nothing is written before the fit has succeeded, and the factors appear whole or not at all.

    Raises
    ------
    MusicRecError
        The parameters do not go together, or the data does not fit them.
    """
    check(als)
    sizes = read_sizes(indexed / "sizes.json")
    plays = read_interactions(indexed / "train", sizes.n_users, sizes.n_items)
    ratings = training_ratings(plays, feedback)
    scores: list[float] = []
    if als.engine == "mllib":
        users, items = fit_mllib(indexed / "train", sizes.n_users, sizes.n_items, als, feedback)
        factors = Factors(users, items, [objective(ratings, users, items, als)])
        iterations = [als.max_iter]
    else:
        judge = None
        if als.early_stopping:
            judge = EarlyStopping(indexed, sizes, plays, als.early_stopping)
        factors = fit_native(indexed, ratings, als, judge)
        scores = judge.scores if judge else []
        iterations = list(range(1, len(factors.losses) + 1))
    trained_with = {"als": als.model_dump(), "feedback": feedback.model_dump()}
    write_factors(output, factors.users, factors.items, trained_with)
    with atomic_directory(plots) as folder:
        write_json(folder / "loss.json", course(iterations, factors.losses, scores))
        write_json(folder / "factors.json", factor_rows(ratings, factors))
    write_json(metrics, headline(ratings, iterations[-1], scores))


def check(als: ALSParams) -> None:
    """Refuse parameters that the chosen engine would ignore.

    Raises
    ------
    MusicRecError
        `als.engine` is mllib and a parameter of the native engine is not at its default.
    """
    if als.engine == "mllib":
        for name in NATIVE_ONLY:
            value = getattr(als, name)
            if value != ALSParams.model_fields[name].default:
                raise MusicRecError(
                    f"als.engine = mllib has no als.{name} (it is {value}); "
                    "use als.engine = native or leave it at its default"
                )


def fit_native(
    indexed: Path, ratings: Interactions, als: ALSParams, judge: EarlyStopping | None
) -> Factors:
    """Fit with the native engine, reporting each iteration to whoever watches."""
    since = time.monotonic()
    start = None
    if als.warm_start is not None:
        start = warm_factors(Path(als.warm_start), indexed, ratings, als)

    def after(iteration: int, factors: Factors) -> bool:
        stop = judge is not None and judge(factors)
        seconds = time.monotonic() - since
        text = f"iteration {iteration}/{als.max_iter}  loss {factors.losses[-1]:.7g}"
        if judge is not None:
            text += f"  validation nDCG@100 {judge.scores[-1]:.5f}"
        progress(f"{text}  {seconds:.1f} s")
        return stop

    factors = fit(ratings, als, start=start, on_iteration=after)
    if judge is None:
        return factors
    best = judge.best
    if uses_cg(als):  # as `fit` does with its last iteration
        Side(ratings, als).solve(best.items, best.users)
        best.losses[-1] = objective(ratings, best.users, best.items, als)
    return best


def headline(ratings: Interactions, iterations: int, scores: list[float]) -> dict[str, float]:
    """Figures of metrics/train.json; the loss, which only like objectives share, is for plots."""
    figures: dict[str, float] = {"iterations": iterations, "plays": len(ratings.indices)}
    if scores:
        figures["early_stopping_ndcg_at_100"] = scores[iterations - 1]
    return figures


def factor_rows(ratings: Interactions, factors: Factors) -> list[dict[str, Any]]:
    """Rows of plots/train/factors.json: who has plays, and how many factors are zero."""
    return [
        {
            "table": "users",
            "rows": len(factors.users),
            "with_plays": int(np.count_nonzero(np.diff(ratings.indptr))),
            "zero_share": float(np.mean(factors.users == 0)),
        },
        {
            "table": "tracks",
            "rows": len(factors.items),
            "with_plays": int(np.count_nonzero(item_lengths(ratings))),
            "zero_share": float(np.mean(factors.items == 0)),
        },
    ]


def course(
    iterations: list[int], losses: list[float], scores: list[float]
) -> list[dict[str, float]]:
    """Rows of plots/train/loss.json, one an iteration up to the one whose factors are kept."""
    rows: list[dict[str, float]] = []
    for iteration, loss in zip(iterations, losses, strict=True):
        rows.append({"iteration": iteration, "loss": loss})
        if scores:
            rows[-1]["ndcg_at_100"] = scores[iteration - 1]
    return rows
