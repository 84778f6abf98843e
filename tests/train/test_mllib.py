"""MLlib and the native solver: one objective, one start, one answer."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit, objective
from musicrec.errors import MusicRecError
from musicrec.params import ALSParams, FeedbackParams
from musicrec.train import mllib
from musicrec.train.mllib import CHECKPOINT_INTERVAL, checkpoints, fit_frame, plays_frame
from musicrec.train.run import train
from tests.support.als_reference import random_plays, relative
from tests.support.indexed_data import make_plays, write_indexed

if TYPE_CHECKING:
    pass

N_USERS, N_ITEMS = 120, 80


@pytest.fixture(scope="module")
def plays():
    return random_plays(N_USERS, N_ITEMS)


@pytest.fixture(scope="module")
def frame(spark, plays, tmp_path_factory):
    return plays_frame(spark, plays, tmp_path_factory.mktemp("{a} [b]*")).cache()


@pytest.mark.parametrize(
    ("nonnegative", "rank", "reg_param", "alpha"),
    [(False, 1, 0.1, 10.0), (False, 33, 1.0, 1.0), (True, 8, 0.01, 40.0)],
)
def test_one_iteration_from_the_same_seed(frame, plays, nonnegative, rank, reg_param, alpha):
    params = ALSParams(
        rank=rank, reg_param=reg_param, alpha=alpha, nonnegative=nonnegative, max_iter=1
    )
    users, items = fit_frame(frame, N_USERS, N_ITEMS, params)
    native = fit(plays, params)
    assert relative(native.items, items) < 1e-5
    assert relative(native.users, users) < 1e-5


def test_log1p_many_iterations_and_reruns(spark, plays, tmp_path):
    ratings = training_ratings(plays, FeedbackParams(transform="log1p", min_count=2))
    params = ALSParams(rank=6, nonnegative=True, max_iter=CHECKPOINT_INTERVAL + 2)
    plays_seen = plays_frame(spark, ratings, tmp_path).cache()
    with checkpoints(spark):
        users, items = fit_frame(plays_seen, N_USERS, N_ITEMS, params)
        again = fit_frame(plays_seen, N_USERS, N_ITEMS, params)
    assert users.tobytes() == again[0].tobytes() and items.tobytes() == again[1].tobytes()
    native = fit(ratings, params)
    assert objective(ratings, users, items, params) == pytest.approx(native.losses[-1], rel=1e-4)
    dropped = np.diff(ratings.indptr) == 0
    assert dropped.any() and not users[dropped].any() and not native.users[dropped].any()


def test_a_failure_of_spark_is_one_sentence(stages_on_spark, plays, tmp_path, monkeypatch):
    monkeypatch.setattr(mllib, "CHECKPOINT_INTERVAL", 0)
    with pytest.raises(MusicRecError, match=r"^MLlib: .*checkpointInterval.*") as said:
        mllib.fit_mllib(plays, ALSParams(rank=2), tmp_path)
    assert "\n" not in str(said.value)
    assert not list(tmp_path.iterdir())


def test_the_stage_writes_the_native_factors(stages_on_spark, tmp_path):
    indexed, factors = tmp_path / "indexed", []
    write_indexed(indexed, make_plays())
    for engine in ("native", "mllib"):
        out = tmp_path / engine
        als = ALSParams(rank=4, max_iter=3, engine=engine)
        train(indexed, out, tmp_path / "train.json", tmp_path / "plots", als, FeedbackParams())
        factors.append([np.load(out / f"{kind}_factors.npy") for kind in ("user", "item")])
    for native, theirs in zip(*factors, strict=True):
        np.testing.assert_allclose(theirs, native, atol=1e-3 * float(np.abs(native).max()))
