"""Our parameters give the model of Rendle et al. (RecSys 2022), as docs/als.md maps them."""

import numpy as np
import pytest

from musicrec.als.fit import fit, start_users
from tests.support.als_reference import dense, random_plays, relative
from tests.support.scripts import load_script

script = load_script("benchmarks/published.py")
LAMBDA, ALPHA0 = 0.05, 0.2
PLAYS = random_plays(70, 50)


def published_rows(played, fixed, nu):
    """Minimise the paper's loss over each row of the 0-1 matrix, one dense system a row."""
    rows = np.zeros((len(played), fixed.shape[1]))
    for row, mine in enumerate(played):
        if not mine.any():
            continue
        penalty = LAMBDA * (mine.sum() + ALPHA0 * len(fixed)) ** nu
        system = (fixed.T * (mine + ALPHA0)) @ fixed + penalty * np.eye(fixed.shape[1])
        rows[row] = np.linalg.solve(system, fixed.T @ mine)
    return rows


def published_loss(played, users, items, nu):
    scores = users @ items.T
    total = np.sum(played * (scores - 1) ** 2) + ALPHA0 * np.sum(scores**2)
    for axis, factors in ((1, users), (0, items)):
        pairs = played.sum(axis=axis) + ALPHA0 * played.shape[axis]
        total += LAMBDA * np.sum(pairs**nu * np.sum(factors**2, axis=1))
    return float(total)


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rank", [8, 40])
def test_the_published_objective(rank, nu):
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
