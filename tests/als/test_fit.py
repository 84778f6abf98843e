"""The native solver against a slow dense reference."""

from __future__ import annotations

import numpy as np
import pytest

from musicrec.als.fit import CG_FROM_RANK, Factors, fit, objective, start_users, uses_cg
from musicrec.als.fold_in import FoldIn
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import Interactions
from musicrec.jit.parallel import using_threads
from musicrec.params import ALSParams
from tests.support.als_reference import dense, loss, random_plays, relative, solve_rows

PLAYS = random_plays(70, 50)
COUNTS = np.where(
    PLAYS.counts > 3, np.random.default_rng(2).integers(10_000, 350_000, len(PLAYS.counts)), 1
)
# Weights of millions beside weights of ten: no room for float32 sums.
HEAVY = PLAYS._replace(counts=COUNTS.astype(np.float32))


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("rank", [1, 3, 8, 20, 33, 64, 128])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"reg_param": 1e-3, "alpha": 40.0},
        {"alpha": 0.0},
        {"reg_exponent": 0.5, "unobserved_weight": 0.1},
        {"reg_param": 0.02, "reg_unobserved": 0.3, "reg_exponent": 0.9, "unobserved_weight": 0.2},
    ],
    ids=["seed", "sharp", "unweighted", "exponent", "rendle"],
)
def test_one_iteration_is_exact(nonnegative, rank, settings):
    params = ALSParams(
        rank=rank, nonnegative=nonnegative, max_iter=1, solver="cholesky", **settings
    )
    r = dense(PLAYS)
    fitted = fit(PLAYS, params)
    some = slice(None, None, 4 if rank >= 64 else 1)  # the reference is slow
    items = solve_rows(r.T[some], start_users(PLAYS, params).astype(float), params)
    assert relative(fitted.items[some], items) < 1e-5
    users = solve_rows(r[some], fitted.items.astype(float), params)
    assert relative(fitted.users[some], users) < 1e-5
    assert fitted.losses[0] == pytest.approx(loss(r, fitted.users, fitted.items, params), rel=1e-6)
    for factors, played in ((fitted.users, r.any(axis=1)), (fitted.items, r.any(axis=0))):
        assert not played.all() and not factors[~played].any()
        assert (factors.min() >= 0) == nonnegative or rank == 1


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("rank", [4, 33])
def test_loss_never_rises_and_is_the_objective(nonnegative, rank):
    params = ALSParams(rank=rank, nonnegative=nonnegative, max_iter=15)
    fitted = fit(PLAYS, params)
    assert len(fitted.losses) == 15
    assert all(
        after <= before * (1 + 1e-6)
        for before, after in zip(fitted.losses, fitted.losses[1:], strict=False)
    )
    final = objective(PLAYS, fitted.users, fitted.items, params)
    assert final == pytest.approx(fitted.losses[-1], rel=1e-6)
    assert final == pytest.approx(loss(dense(PLAYS), fitted.users, fitted.items, params), rel=1e-6)


@pytest.mark.parametrize("rank", [3, 8, 20, 64, 130])
def test_conjugate_gradients_reach_the_same_minimum(rank):
    params = ALSParams(rank=rank, nonnegative=False, max_iter=60, solver="cholesky")
    exact = fit(PLAYS, params).losses[-1]
    iterative = fit(PLAYS, params.replace(solver="cg"))
    assert iterative.users.shape == (PLAYS.n_users, rank)
    assert iterative.losses == sorted(iterative.losses, reverse=True)
    assert iterative.losses[-1] == pytest.approx(exact, rel=0.02)
    assert iterative.losses[-1] == pytest.approx(
        objective(PLAYS, iterative.users, iterative.items, params), rel=1e-6
    )


def test_the_loss_before_the_last_solve_is_the_objective():
    """What conjugate gradients report after each iteration, for extreme weights as well."""
    for plays in (PLAYS, HEAVY):
        params = ALSParams(rank=20, nonnegative=False, max_iter=4, solver="cg")
        truths: list[float] = []

        def note(iteration: int, factors: Factors, plays: Interactions = plays) -> None:
            truths.append(objective(plays, factors.users, factors.items, params))  # noqa: B023

        losses = fit(plays, params, on_iteration=note).losses
        assert losses[:3] == pytest.approx(truths[:3], rel=1e-5)
        assert losses == sorted(losses, reverse=True)


def test_auto_takes_conjugate_gradients_where_they_are_faster():
    assert uses_cg(ALSParams(rank=CG_FROM_RANK, nonnegative=False))
    assert not uses_cg(ALSParams(rank=CG_FROM_RANK - 1, nonnegative=False))
    assert not uses_cg(ALSParams(rank=CG_FROM_RANK, nonnegative=True))
    assert not uses_cg(ALSParams(rank=CG_FROM_RANK, nonnegative=False, solver="cholesky"))
    with pytest.raises(MusicRecError, match=r"als\.solver = cg cannot keep factors nonnegative"):
        fit(PLAYS, ALSParams(solver="cg", nonnegative=True))


SOLVERS = {
    "cholesky": {"solver": "cholesky", "nonnegative": False},
    "cg": {"solver": "cg", "nonnegative": False},
    "nonnegative": {"nonnegative": True},
}


@pytest.mark.parametrize(
    ("solver", "rank"), [("cholesky", 10), ("cg", 10), ("nonnegative", 10), ("cg", 136)]
)
def test_threads_change_no_bit(solver, rank):
    plays = random_plays(900, 400, seed=3)
    params = ALSParams(rank=rank, max_iter=2, **SOLVERS[solver])
    runs = []
    for threads in (1, 2, 5):
        with using_threads(threads):
            found = fit(plays, params)
        runs.append((found.losses, found.users.tobytes(), found.items.tobytes()))
    assert runs[0] == runs[1] == runs[2]


def test_plays_that_do_not_fit_in_memory_are_read_again_to_the_same_bits(monkeypatch):
    params = ALSParams(rank=10, max_iter=2, nonnegative=False, solver="cg")
    whole = fit(PLAYS, params)
    monkeypatch.setattr("musicrec.als.conjugate_gradients.MOST_HELD", 16 * 16)
    assert PLAYS.lengths.max() > 16
    np.testing.assert_array_equal(fit(PLAYS, params).users, whole.users)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_singular_and_extreme_systems(nonnegative):
    """reg_param 0 with more factors than rows has no unique minimiser; counts of 350,000 do."""
    params = ALSParams(rank=64, reg_param=0.0, nonnegative=nonnegative, max_iter=3)
    fitted = fit(random_plays(20, 15), params)
    assert np.isfinite(fitted.users).all() and np.isfinite(fitted.items).all()
    assert fitted.losses[-1] < fitted.losses[0] or fitted.losses[-1] < 1e-2
    params = ALSParams(rank=16, nonnegative=nonnegative, max_iter=2)
    fitted = fit(HEAVY, params)
    users = solve_rows(dense(HEAVY), fitted.items.astype(float), params)
    assert relative(fitted.users, users) < 1e-5


@pytest.mark.parametrize("solver", SOLVERS)
def test_fold_in_gives_the_exported_user_factor(solver):
    params = ALSParams(rank=20, unobserved_weight=0.2, reg_unobserved=0.3, **SOLVERS[solver])
    fitted = fit(PLAYS, params)
    folder = FoldIn(fitted.items, params)
    np.testing.assert_allclose(folder.many(PLAYS), fitted.users, atol=1e-5)
    for user in range(0, PLAYS.n_users, 9):
        alone = folder.many(PLAYS.rows(np.array([user])))[0]
        np.testing.assert_allclose(alone, fitted.users[user], atol=1e-5)


def test_a_given_start_is_used():
    params = ALSParams(rank=5, max_iter=6)
    whole = fit(PLAYS, params)
    seen: list[int] = []
    first = fit(PLAYS, params.replace(max_iter=4), on_iteration=lambda i, _: seen.append(i))
    assert seen == [1, 2, 3, 4] and len(first.losses) == 4
    rest = fit(PLAYS, params.replace(max_iter=2), start=first)
    np.testing.assert_array_equal(rest.users, whole.users)
    assert rest.losses == whole.losses


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_early_stopping_returns_the_best_iteration(solver):
    """The third of these scores is the best; two worse ones end the training."""
    given = iter([0.1, 0.2, 0.5, 0.4, 0.3, 0.9])
    params = ALSParams(rank=6, max_iter=9, early_stopping=2, nonnegative=False, solver=solver)
    stopped = fit(PLAYS, params, score=lambda _: next(given))
    assert stopped.scores == [0.1, 0.2, 0.5, 0.4, 0.3]
    third = fit(PLAYS, params.replace(max_iter=3, early_stopping=0))
    np.testing.assert_array_equal(stopped.users, third.users)
    np.testing.assert_array_equal(stopped.items, third.items)
    assert stopped.losses == third.losses


@pytest.mark.parametrize("rank", [16, 64])
def test_conjugate_gradients_are_as_good_where_weights_are_millions(rank):
    """After the same number of iterations; with three steps at most, 8 and 11 % above."""
    counts = np.exp(np.random.default_rng(0).normal(5, 1.5, 300 * 400))
    plays = random_plays(300, 400)
    plays = plays._replace(counts=counts[: len(plays.counts)].astype(np.float32))
    params = ALSParams(rank=rank, nonnegative=False, max_iter=15, solver="cholesky")
    exact = fit(plays, params).losses[-1]
    assert fit(plays, params.replace(solver="cg")).losses[-1] < 1.03 * exact
