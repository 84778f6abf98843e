"""Our parameters give the model of Rendle et al. (RecSys 2022), as docs/als.md maps them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit, start_users
from musicrec.als.fold_in import FoldIn
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams, FeedbackParams
from tests.support.als_reference import dense, random_plays, relative
from tests.support.scripts import load_script

script = load_script("benchmarks/published.py")
LAMBDA, ALPHA0 = 0.05, 0.2
PLAYS = random_plays(70, 50)


def published_rows(played: np.ndarray, fixed: np.ndarray, nu: float) -> np.ndarray:
    """Minimise the paper's loss over each row of the 0-1 matrix, one dense system a row."""
    rows = np.zeros((len(played), fixed.shape[1]))
    for row, mine in enumerate(played):
        if not mine.any():
            continue
        penalty = LAMBDA * (mine.sum() + ALPHA0 * len(fixed)) ** nu
        system = (fixed.T * (mine + ALPHA0)) @ fixed + penalty * np.eye(fixed.shape[1])
        rows[row] = np.linalg.solve(system, fixed.T @ mine)
    return rows


def published_loss(played: np.ndarray, users: np.ndarray, items: np.ndarray, nu: float) -> float:
    scores = users @ items.T
    total = np.sum(played * (scores - 1) ** 2) + ALPHA0 * np.sum(scores**2)
    for axis, factors in ((1, users), (0, items)):
        pairs = played.sum(axis=axis) + ALPHA0 * played.shape[axis]
        total += LAMBDA * np.sum(pairs**nu * np.sum(factors**2, axis=1))
    return float(total)


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rank", [8, 40])
def test_the_published_objective(rank: int, nu: float) -> None:
    """From one start: the same factors but for their scale, and the same loss."""
    params = script.mapped(LAMBDA, nu, ALPHA0).replace(
        rank=rank, nonnegative=False, max_iter=3, solver="cholesky"
    )
    played = (dense(PLAYS) > 0).astype(float)
    scale = np.sqrt(1 + ALPHA0)
    users = start_users(PLAYS, params) / scale
    for _ in range(3):
        items = published_rows(played.T, users, nu)
        users = published_rows(played, items, nu)
    ours = fit(PLAYS, params)
    assert relative(ours.users, scale * users) < 1e-4
    assert relative(ours.items, scale * items) < 1e-4
    expected = published_loss(played, users, items, nu)
    assert script.published_loss(PLAYS, ours.users, ours.items, params) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize(("loss", "scaling"), [("IALSPP", "none"), ("ORIGINAL", "log")])
def test_irspack_solves_the_same_users(loss: str, scaling: str) -> None:
    """Its exact fold-in against ours, for both of its losses and for counts and their logarithm."""
    recommenders = pytest.importorskip("irspack.recommenders", reason="irspack: make setup-bench")
    ones = np.ones_like(PLAYS.counts)
    counts = ones if loss == "IALSPP" else PLAYS.counts
    shape = (PLAYS.n_users, PLAYS.n_items)
    matrix = csr_matrix((counts, PLAYS.indices, PLAYS.indptr), shape=shape)
    model = recommenders.IALSRecommender(
        matrix,
        n_components=8,
        alpha0=ALPHA0,
        reg=LAMBDA,
        nu=0.7,
        loss_type=loss,
        confidence_scaling=scaling,
        solver_type="CHOLESKY",
        train_epochs=2,
        n_threads=1,
    )
    model.learn()
    if loss == "IALSPP":
        params, scale = script.mapped(LAMBDA, 0.7, ALPHA0), np.sqrt(1 + ALPHA0)
    else:
        params, scale = ALSParams(alpha=1 / ALPHA0, reg_param=LAMBDA / ALPHA0), 1.0
        params = params.replace(reg_exponent=0.7, reg_unobserved=ALPHA0)
    plays = Interactions(PLAYS.indptr, PLAYS.indices, counts, PLAYS.n_items)
    feedback = FeedbackParams(transform="log1p" if scaling == "log" else "none")
    items = (scale * model.get_item_embedding()).astype(np.float32)
    fold = FoldIn(items, params.replace(rank=8, nonnegative=False))
    expected = scale * model.compute_user_embedding(matrix)
    assert relative(fold.many(training_ratings(plays, feedback)), expected) < 2e-5
