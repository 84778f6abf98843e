"""Judge a trained model on the held-out users of a split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from musicrec.als.fold_in import read_model
from musicrec.baselines.lists import read_baselines
from musicrec.evaluate.judge import Evaluation, Lists, judge, recommend
from musicrec.evaluate.on_spark import on_spark, recommend_on_spark
from musicrec.interactions.held_out import read_held_out
from musicrec.params import EvaluateParams
from musicrec.spark.session import spark_session


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
    held_out = read_held_out(indexed, params.split)
    length = max(params.k)
    of_baselines = read_baselines(baselines, len(held_out.users), length)
    queries, item_factors = read_model(factors, held_out)
    on_step(f"searching the top {length} of {len(queries):,} users")
    if on_spark():
        with spark_session("evaluate") as spark:
            unseen, with_seen = recommend_on_spark(spark, held_out, queries, item_factors, length)
    else:
        unseen, with_seen = recommend(held_out, queries, item_factors, length)
    return judge(held_out, Lists(unseen, with_seen, of_baselines), params)
