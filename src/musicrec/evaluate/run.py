"""Judge a trained model on the held-out users of a split."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from musicrec.als.fold_in import read_model
from musicrec.baselines.lists import CHAMPION, read_baselines
from musicrec.errors import MusicRecError, warn
from musicrec.evaluate.champion import champion_lists
from musicrec.evaluate.judge import Evaluation, judge, recommend
from musicrec.evaluate.lists import lists_table
from musicrec.interactions.held_out import read_held_out
from musicrec.params import EvaluateParams


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
    if os.environ.get("MUSICREC_EVALUATE_ON", "native") != "native":
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
