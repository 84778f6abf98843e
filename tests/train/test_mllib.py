"""MLlib and the native solver: one objective, one start, one answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit, objective
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions, newest_play, read_interactions
from musicrec.params import ALSParams, FeedbackParams
from musicrec.storage.files import write_checksums
from musicrec.storage.parquet import write_table
from musicrec.train.mllib import (
    CHECKPOINT_INTERVAL,
    checkpoints,
    fit_frame,
    fit_mllib,
    read_plays,
)
from musicrec.train.run import train
from tests.support.als_reference import random_plays, relative
from tests.support.indexed_data import make_plays, write_indexed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

N_USERS, N_ITEMS = 120, 80


def write_plays(folder: Path, plays: Interactions) -> Path:
    users = np.repeat(np.arange(plays.n_users, dtype=np.int32), np.diff(plays.indptr))
    columns = {"user": users, "item": plays.indices, "count": plays.counts.astype(np.int64)}
    columns["last_played"] = 1_600_000_000 - plays.indices.astype(np.int64) * 7919
    write_table(folder / "part-00000.parquet", pa.table(columns))
    write_checksums(folder)
    return folder


@pytest.fixture(scope="module")
def plays() -> Interactions:
    return random_plays(N_USERS, N_ITEMS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, plays: Interactions) -> Path:
    return write_plays(tmp_path_factory.mktemp("train"), plays)


@pytest.fixture(scope="module")
def frame(spark: SparkSession, folder: Path) -> DataFrame:
    return read_plays(spark, folder, FeedbackParams()).cache()


@pytest.mark.parametrize(
    ("nonnegative", "rank", "reg_param", "alpha"),
    [(False, 1, 0.1, 10.0), (False, 33, 1.0, 1.0), (True, 8, 0.01, 40.0)],
)
def test_one_iteration_from_the_same_seed(
    frame: DataFrame,
    plays: Interactions,
    nonnegative: bool,
    rank: int,
    reg_param: float,
    alpha: float,
) -> None:
    params = ALSParams(
        rank=rank, reg_param=reg_param, alpha=alpha, nonnegative=nonnegative, max_iter=1
    )
    users, items = fit_frame(frame, N_USERS, N_ITEMS, params)
    native = fit(plays, params)
    assert relative(native.items, items) < 1e-5
    assert relative(native.users, users) < 1e-5


def test_log1p_many_iterations_and_reruns(
    spark: SparkSession, folder: Path, plays: Interactions
) -> None:
    feedback = FeedbackParams(transform="log1p", min_count=2)
    params = ALSParams(rank=6, nonnegative=True, max_iter=CHECKPOINT_INTERVAL + 2)
    plays_seen = read_plays(spark, folder, feedback).cache()
    with checkpoints(spark):
        users, items = fit_frame(plays_seen, N_USERS, N_ITEMS, params)
        again = fit_frame(plays_seen, N_USERS, N_ITEMS, params)
    assert users.tobytes() == again[0].tobytes() and items.tobytes() == again[1].tobytes()
    ratings = training_ratings(plays, feedback)
    native = fit(ratings, params)
    assert objective(ratings, users, items, params) == pytest.approx(native.losses[-1], rel=1e-4)
    dropped = np.diff(ratings.indptr) == 0
    assert dropped.any() and not users[dropped].any() and not native.users[dropped].any()


def test_a_half_life(spark: SparkSession, folder: Path, plays: Interactions) -> None:
    """Up to 7 days of age, those of the same plays in both engines."""
    feedback = FeedbackParams(transform="log1p", half_life="1d")
    params = ALSParams(rank=6, max_iter=1, nonnegative=False)
    ages = read_interactions(folder, N_USERS, N_ITEMS, newest_play(folder)).counts
    assert ages.max() > 6 * 86_400
    ratings = training_ratings(plays, feedback, ages)
    users, items = fit_frame(read_plays(spark, folder, feedback), N_USERS, N_ITEMS, params)
    native = fit(ratings, params)
    assert relative(native.items, items) < 1e-5
    assert relative(native.users, users) < 1e-5
    assert relative(fit(plays, params).items, items) > 0.1


def test_a_failure_of_spark_is_one_sentence(stages_on_spark: None, tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 and no more")
    write_checksums(tmp_path)
    with pytest.raises(MusicRecError, match=r"part-00000\.parquet: ") as said:
        fit_mllib(tmp_path, 1, 1, ALSParams(), FeedbackParams())
    assert str(said.value).startswith(str(tmp_path)) and "\n" not in str(said.value)


def test_the_stage_writes_the_native_factors(stages_on_spark: None, tmp_path: Path) -> None:
    indexed, factors = tmp_path / "indexed", []
    write_indexed(indexed, make_plays())
    for engine in ("native", "mllib"):
        out = tmp_path / engine
        als = ALSParams(rank=4, max_iter=3, engine=engine)
        train(indexed, out, tmp_path / "train.json", tmp_path / "plots", als, FeedbackParams())
        factors.append([np.load(out / f"{kind}_factors.npy") for kind in ("user", "item")])
    for native, mllib in zip(*factors, strict=True):
        np.testing.assert_allclose(mllib, native, atol=1e-3 * float(np.abs(native).max()))
