"""The lists of every baseline for the held-out users: they do not depend on the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from musicrec.baselines.ease import ease_form, recommend_ease
from musicrec.baselines.neighbours import recommend_neighbours
from musicrec.baselines.popularity import recommend_most_played, recommend_popular
from musicrec.interactions.held_out import HeldOut
from musicrec.interactions.matrix import decay
from musicrec.metrics.definitions import headline_metrics
from musicrec.metrics.ranking import score_lists
from musicrec.params import BaselinesParams, duration_seconds


def recommend_baselines(
    held_out: HeldOut,
    length: int,
    params: BaselinesParams,
    *,
    keep_seen: bool = False,
    half_life: str | None = None,
) -> dict[str, np.ndarray]:
    """Recommend tracks to the held-out users.

    Parameters
    ----------
    length : int
        Of the lists.
    keep_seen : bool
        Whether tracks of a user's history may be recommended (`evaluate.seen`).
    half_life : str, optional
        Of `feedback`; with it, `popular_recent` is popularity by plays that age.

    Returns
    -------
    dict
        Baseline -> int32 array (n, length) of item ids, padded with -1.
    """
    train, history = held_out.train, held_out.history
    lists = {"popularity": recommend_popular(train, history, length, keep_seen=keep_seen)}
    if half_life is not None:
        weights = decay(held_out.train_ages, duration_seconds(half_life)).astype(np.float32)
        lists["popular_recent"] = recommend_popular(
            train, history, length, keep_seen=keep_seen, weights=weights
        )
    lists["neighbours"] = recommend_neighbours(
        train,
        history,
        length,
        params.neighbours,
        alpha=params.neighbours_alpha,
        locality=params.neighbours_locality,
        keep_seen=keep_seen,
    )
    lists["ease"] = recommend_ease(train, history, length, params, keep_seen=keep_seen)
    if keep_seen:
        lists["most_played"] = recommend_most_played(train, history, length)
        if held_out.timed:
            recent = history._replace(counts=-held_out.history_ages)
            lists["most_recent"] = recommend_most_played(train, recent, length)
    return lists


def baseline_metrics(
    held_out: HeldOut, lists: Mapping[str, np.ndarray], k: Sequence[int], params: BaselinesParams
) -> dict[str, float]:
    """Figures of metrics/baselines.json: the headline metrics of each baseline.

    `ease_exact` says whether EASE was solved exactly, not in its sparse form.
    """
    figures: dict[str, float] = {"ease_exact": ease_form(held_out.train, params) == "exact"}
    for name, recommended in lists.items():
        columns = score_lists(recommended, held_out.truth, k)
        for metric in headline_metrics(k):
            figures[f"{name}_{metric}"] = float(columns[metric].mean())
    return figures


def describe(held_out: HeldOut, params: BaselinesParams) -> dict[str, Any]:
    """How the lists were made: the parameters, and the form of EASE."""
    return {"ease_form": ease_form(held_out.train, params), **params.model_dump()}
