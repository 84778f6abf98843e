"""Training that cannot succeed ends in a sentence, at once or when the loss tells."""

import numpy as np
import pytest

from musicrec.als.fit import Factors
from musicrec.errors import MusicRecError
from musicrec.interactions.matrix import from_triples
from musicrec.params import ALSParams
from musicrec.train.run import check_feasible, require_falling, require_usable


def plays(n_users, n_items, largest=5):
    users = np.arange(max(n_users, n_items), dtype=np.int32) % n_users
    items = np.arange(max(n_users, n_items), dtype=np.int32) % n_items
    counts = np.full(len(users), 2.0)
    counts[0] = largest
    return from_triples(users, items, counts, n_users, n_items)


@pytest.mark.parametrize(
    ("largest", "als", "sentence"),
    [
        (5, {"alpha": 1e30}, r"als\.alpha = 1e\+30 times the largest count of 5"),
        (9e18, {}, r"als\.alpha = 10 times the largest count of 9e\+18 .* log1p"),
        (5, {"rank": 21}, r"als\.rank = 21 is more than the 20 users and the 9 tracks"),
    ],
)
def test_it_is_refused_before_it_starts(largest, als, sentence):
    with pytest.raises(MusicRecError, match=sentence):
        check_feasible(plays(20, 9, largest), ALSParams(**{"rank": 4, **als}))


def test_a_rank_that_only_one_side_can_use_is_warned_of(capsys):
    check_feasible(plays(20, 9), ALSParams(rank=16))
    assert "als.rank = 16 is more than the 9 tracks with plays" in capsys.readouterr().err
    check_feasible(plays(20, 9, largest=1e9), ALSParams(rank=9, alpha=100.0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("losses", "how"),
    [
        ([np.nan], "is nan"),
        ([5.0, np.inf], "is inf"),
        ([-5.0], "is negative"),
        ([100.0, 101.0], "rises from 100 to 101 at iteration 2"),
    ],
)
def test_a_loss_that_does_not_fall_names_the_parameter_and_the_count(losses, how):
    with pytest.raises(MusicRecError, match=how) as error:
        require_falling(losses, plays(20, 9), ALSParams(alpha=7.0))
    assert "als.alpha = 7 times the largest count of 5" in str(error.value)


@pytest.mark.parametrize("losses", [[3.0], [100.0, 100.01], [100.0, 99.0], [0.0, -1e-9]])
def test_rounding_is_no_rise(losses):
    require_falling(losses, plays(20, 9), ALSParams())


@pytest.mark.parametrize("entry", [np.inf, np.nan, -1e22])
def test_factors_that_no_search_could_score_are_refused(entry):
    good = np.full((3, 2), 1e15, np.float32)
    bad = np.array([[1, entry], [0, 0]], np.float32)
    require_usable(Factors(good, good), ALSParams())
    with pytest.raises(MusicRecError, match="1 track factors are not finite, or longer"):
        require_usable(Factors(good, bad), ALSParams())
