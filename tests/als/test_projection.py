"""A start that knows the plays: against NumPy, on any threads, and closer to the minimum."""

from __future__ import annotations

import numpy as np
import pytest

from musicrec.als.fit import fit
from musicrec.als.projection import LENGTH, projected_users
from musicrec.als.start import start_users
from musicrec.interactions.matrix import Interactions, from_triples
from musicrec.params import ALSParams

N_USERS, N_ITEMS = 300, 200
TASTES = 6


@pytest.fixture(scope="module")
def plays() -> Interactions:
    """Listeners of a few tastes, one without plays."""
    rng = np.random.default_rng(3)
    taste_of_user, taste_of_item = rng.integers(0, TASTES, N_USERS), np.arange(N_ITEMS) % TASTES
    odds = np.where(taste_of_user[:, None] == taste_of_item, 0.5, 0.04)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < odds)
    kept = users != 7
    counts = rng.geometric(0.4, kept.sum())
    return from_triples(
        users[kept].astype(np.int32), items[kept].astype(np.int32), counts, N_USERS, N_ITEMS
    )


def mixed(z: int) -> int:
    """SplitMix64's output function in Python's whole numbers."""
    most = 2**64 - 1
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & most
    z = (z ^ z >> 27) * 0x94D049BB133111EB & most
    return z ^ z >> 31


def signs(seed: int, rank: int) -> np.ndarray:
    """Random signs of the users, an entry at a time."""
    bits = [
        [mixed((seed * 0x9E3779B97F4A7C15 + user + 1) % 2**64) + k // 64 * 64 for k in range(rank)]
        for user in range(N_USERS)
    ]
    return np.array(
        [[1 if mixed(x % 2**64) >> k % 64 & 1 else -1 for k, x in enumerate(row)] for row in bits]
    )


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)


@pytest.mark.parametrize("rank", [5, 64, 70])
def test_the_start_is_a_projection_of_the_plays(plays: Interactions, rank: int) -> None:
    both = (plays, plays.transpose())
    found = projected_users(both, rank, seed=11)
    played = np.zeros((N_USERS, N_ITEMS))
    played[np.repeat(np.arange(N_USERS), plays.lengths), plays.indices] = 1
    items = unit(played.T @ signs(11, rank))
    np.testing.assert_allclose(found, LENGTH * unit(played @ items), atol=2e-6)
    assert not found[7].any()
    for threads in (1, 2, 5):
        assert projected_users(both, rank, 11, threads).tobytes() == found.tobytes()
    assert projected_users(both, rank, 12).tobytes() != found.tobytes()
    assert projected_users(both, rank, -1).shape == found.shape


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("rank", [4, 12])
def test_the_first_iteration_comes_far(plays: Interactions, rank: int, nonnegative: bool) -> None:
    random = ALSParams(rank=rank, nonnegative=nonnegative, max_iter=1, reg_exponent=0.5)
    projected = random.replace(init="projection")
    assert nonnegative == bool((start_users(plays, projected) >= 0).all())
    (from_random,), (from_plays,) = (fit(plays, params).losses for params in (random, projected))
    assert from_plays < from_random


def test_no_one_with_plays_starts_at_zero() -> None:
    """Signs may cancel, and a row that is zero would stay so."""
    pairs = np.array([(user, item) for user in range(20) for item in (0, 1)], np.int32)
    same = from_triples(pairs[:, 0], pairs[:, 1], np.ones(40), 20, 3)
    for seed in range(40):
        lengths = np.linalg.norm(projected_users((same, same.transpose()), 1, seed), axis=1)
        np.testing.assert_allclose(lengths, LENGTH, rtol=1e-6)
