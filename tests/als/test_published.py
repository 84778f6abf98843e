"""Our parameters give the model of Rendle et al. (RecSys 2022), as docs/als.md maps them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csr_matrix

from musicrec.als.feedback import training_ratings
from musicrec.als.fit import fit, objective, start_users
from musicrec.als.fold_in import FoldIn
from musicrec.interactions.matrix import Interactions
from musicrec.params import ALSParams, FeedbackParams
from tests.support.als_reference import dense, random_plays, relative

ROOT = Path(__file__).resolve().parents[2]
LAMBDA, ALPHA0 = 0.05, 0.2
PLAYS = random_plays(70, 50)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "published.py"
    spec = importlib.util.spec_from_file_location("published", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published_rows(
    played: np.ndarray, fixed: np.ndarray, nu: float, nonnegative: bool = False
) -> np.ndarray:
    """Minimise the paper's loss over each row of the 0-1 matrix, one dense system a row."""
    rows = np.zeros((len(played), fixed.shape[1]))
    for row, mine in enumerate(played):
        if not mine.any():
            continue
        penalty = LAMBDA * (mine.sum() + ALPHA0 * len(fixed)) ** nu
        system = (fixed.T * (mine + ALPHA0)) @ fixed + penalty * np.eye(fixed.shape[1])
        right = fixed.T @ mine
        if nonnegative:
            lower = np.linalg.cholesky(system)
            rows[row] = nnls(lower.T, np.linalg.solve(lower, right))[0]
        else:
            rows[row] = np.linalg.solve(system, right)
    return rows


def published_loss(played: np.ndarray, users: np.ndarray, items: np.ndarray, nu: float) -> float:
    scores = users @ items.T
    total = np.sum(played * (scores - 1) ** 2) + ALPHA0 * np.sum(scores**2)
    for axis, factors in ((1, users), (0, items)):
        pairs = played.sum(axis=axis) + ALPHA0 * played.shape[axis]
        total += LAMBDA * np.sum(pairs**nu * np.sum(factors**2, axis=1))
    return float(total)


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("rank", "nonnegative"), [(8, False), (8, True), (40, False)])
def test_the_published_objective(
    script: ModuleType, rank: int, nonnegative: bool, nu: float
) -> None:
    """From one start: the same factors but for their scale, and the same loss."""
    params = script.mapped(LAMBDA, nu, ALPHA0).replace(
        rank=rank, nonnegative=nonnegative, max_iter=3, solver="cholesky"
    )
    played = (dense(PLAYS) > 0).astype(float)
    scale = np.sqrt(1 + ALPHA0)
    users = start_users(PLAYS, params) / scale
    for _ in range(3):
        items = published_rows(played.T, users, nu, nonnegative)
        users = published_rows(played, items, nu, nonnegative)
    ours = fit(PLAYS, params)
    assert relative(ours.users, scale * users) < 1e-4
    assert relative(ours.items, scale * items) < 1e-4
    expected = published_loss(played, users, items, nu)
    assert script.published_loss(PLAYS, ours.users, ours.items, params) == pytest.approx(
        expected, rel=1e-5
    )
    assert ours.losses[-1] == pytest.approx(
        objective(PLAYS, ours.users, ours.items, params), rel=1e-6
    )


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_folding_in_by_the_published_objective(script: ModuleType, solver: str) -> None:
    """Users and tracks; N counts every row of the other side, not only those with plays."""
    params = script.mapped(LAMBDA, 1.0, ALPHA0).replace(rank=12, nonnegative=False, solver=solver)
    ours = fit(PLAYS, params)
    np.testing.assert_allclose(FoldIn(ours.items, params).many(PLAYS), ours.users, atol=1e-5)
    played = (dense(PLAYS) > 0).astype(float)
    assert not played[:, 7].any()
    scale = np.sqrt(1 + ALPHA0)
    tracks = PLAYS.transpose()
    some = Interactions(tracks.indptr[:9], tracks.indices, tracks.counts, tracks.n_items)
    expected = published_rows(played.T[:8], ours.users / scale, 1.0)
    folded = FoldIn(ours.users, params).many(some)
    np.testing.assert_allclose(folded, scale * expected, atol=1e-5)


@pytest.mark.parametrize(("loss", "scaling"), [("IALSPP", "none"), ("ORIGINAL", "log")])
def test_irspack_solves_the_same_users(script: ModuleType, loss: str, scaling: str) -> None:
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
