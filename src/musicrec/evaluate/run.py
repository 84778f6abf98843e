"""Judge a trained model, and perhaps a published one, on the held-out users of a split."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from musicrec.als.feedback import as_trained
from musicrec.als.fold_in import FoldIn, read_model
from musicrec.baselines.lists import CHAMPION, read_baselines
from musicrec.errors import MusicRecError, warn
from musicrec.evaluate.judge import Evaluation, judge, recommend
from musicrec.evaluate.lists import lists_table
from musicrec.interactions.earlier import read_earlier
from musicrec.interactions.held_out import HeldOut, read_held_out
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.params import ALSParams, EvaluateParams, FeedbackParams, trained_with
from musicrec.search.exact import ExactIndex


def evaluate(
    indexed: Path,
    factors: Path,
    baselines: Path,
    params: EvaluateParams,
    on_step: Callable[[str], None] = lambda step: None,
) -> Evaluation:
    """Search the lists of every held-out user and judge them beside the baselines.

    Parameters
    ----------
    indexed, factors, baselines : Path
        Folders of the stages index, train and baselines.
    on_step : callable, optional
        Told what comes next, before each step that may take long.

    Raises
    ------
    MusicRecError
        The folders do not fit each other, or the split holds no play.
    """
    if os.environ.get("MUSICREC_EVALUATE_ON", "native") != "native":  # of version 0.1
        raise MusicRecError("MUSICREC_EVALUATE_ON is gone: evaluate needs no Spark; unset it")
    held_out = read_held_out(indexed, params.split, params.seen)
    if held_out.n_without_new:
        warn(
            f"{held_out.n_without_new:,} users of {params.split} played only tracks of their "
            "history again and are left out; -S evaluate.seen=keep judges repeats"
        )
    length = max(params.k)
    of_baselines = read_baselines(baselines, len(held_out.users), params)
    queries, item_factors = read_model(factors, held_out)
    on_step(f"searching the top {length} of {len(queries):,} users")
    lists = recommend(held_out, queries, item_factors, params)
    about = None
    if params.champion is not None:
        on_step(f"searching with {params.champion}")
        of_baselines[CHAMPION], about = champion_lists(params.champion, held_out, params)
    lists = replace(lists, baselines=of_baselines, champion=about)
    evaluation = judge(held_out, lists, params)
    kept = (array[:, : params.lists] for array in (lists.judged, lists.scores))
    return replace(evaluation, lists=lists_table(held_out, *kept))


def champion_lists(
    champion: str, held_out: HeldOut, params: EvaluateParams
) -> tuple[np.ndarray, dict[str, Any]]:
    """The lists of `evaluate.champion`, a bundle, for the held-out users with the history of today.

    Returns
    -------
    lists : int32 array (n, max(params.k))
        Padded with -1; a track that today's plays do not know has the id n_all_items.
    about : dict
        `folder` and `digest` of the bundle; `unknown`, the share of the held-out plays whose
        track it does not know; `unsure`, how many it may have been trained on, where times that
        would tell are missing.

    Raises
    ------
    MusicRecError
        It is no undamaged bundle, an output of the pipeline, or was trained on held-out plays.
    """
    said = f"evaluate.champion = {champion}"
    bundle = read_earlier(Path(champion), said)
    unsure = bundle.refuse_learned(held_out.indexed, held_out.split, params.seen)
    items = bundle.array("item_factors.npy")
    als = trained_with(bundle.manifest["als"], ALSParams)
    feedback = trained_with(bundle.manifest["feedback"], FeedbackParams)
    theirs = bundle.positions("item", held_out.track_ids)
    unknown = float(np.mean(theirs[held_out.truth.indices] < 0))
    if unknown == 1 or not (theirs[held_out.history.indices] >= 0).any():
        raise MusicRecError(
            f"{bundle.said}: it knows none of the tracks of {held_out.split}, such as "
            f"{held_out.track_ids[0].as_py()!r}; name a bundle of the same catalogue"
        )
    if unsure:
        warn(f"{bundle.said}: it may have been trained on {unsure:,} of the held-out plays")
    history = held_out.history
    known, ages = _renumbered(history, theirs, len(items)), None
    if feedback.half_life:
        aged = history._replace(counts=held_out.history_ages)
        ages = _renumbered(aged, theirs, len(items)).counts
    users = FoldIn(items, als).many(as_trained(known, feedback, ages))
    exclude = None if params.seen == "keep" else (known.indptr, known.indices)
    found, _ = ExactIndex(items).search(users, max(params.k), exclude=exclude)
    ours = np.full(len(items) + 1, len(theirs), np.int32)
    ours[theirs[theirs >= 0]] = np.flatnonzero(theirs >= 0)
    ours[-1] = -1  # no track
    about = {"folder": champion, "digest": bundle.digest, "unknown": unknown, "unsure": unsure}
    return ours[found], about


def _renumbered(plays: Interactions, numbers: np.ndarray, n_items: int) -> Interactions:
    """Plays by other numbers of the tracks, without those of number -1."""
    items = numbers[plays.indices].astype(np.int32)
    kept = items >= 0
    users, items, counts = plays.user_of_each()[kept], items[kept], plays.counts[kept]
    return from_triples(users, items, counts, plays.n_users, n_items)
