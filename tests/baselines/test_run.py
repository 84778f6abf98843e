"""The lists and figures of the baselines stage, and lists that do not fit."""

import numpy as np
import pytest

from musicrec.baselines.lists import BASELINES, read_baselines, write_baselines
from musicrec.baselines.run import baseline_metrics, recommend_baselines
from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import read_held_out
from musicrec.params import BaselinesParams, EvaluateParams
from tests.metrics.test_ranking import reference
from tests.support.indexed_data import make_plays, write_indexed

PARAMS = BaselinesParams(neighbours=20)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed")
    write_indexed(folder, make_plays())
    return read_held_out(folder, "validation")


def test_the_figures_are_means_of_the_lists(held_out):
    lists = recommend_baselines(held_out, 50, PARAMS)
    figures = baseline_metrics(held_out, lists, (10, 50), PARAMS)
    assert len(figures) == 4 * len(BASELINES) + 1 and figures["ease_exact"] is True
    truth = held_out.truth
    for name in BASELINES:
        judged = [
            reference(lists[name][user][lists[name][user] >= 0].tolist(), truth.row(user), 50)
            for user in range(truth.n_users)
        ]
        assert figures[f"{name}_map@50"] == pytest.approx(np.mean([j["map"] for j in judged]))


def test_baselines_by_time(tmp_path):
    """Popularity of plays that age, and a user's own tracks, the latest first."""
    plays = make_plays()
    write_indexed(tmp_path, plays, last_played=lambda user, item: 86_400 * ((7 * user + item) % 30))
    held_out = read_held_out(tmp_path, "validation", "keep")
    lists = recommend_baselines(held_out, 40, PARAMS, keep_seen=True, half_life="5d")
    weights = np.zeros(held_out.train.n_items)
    age = {(u, i): 29 - (7 * u + i) % 30 for u, i in plays.train}
    for (_, item), days in age.items():
        weights[item] += 2 ** (-days / 5)
    found = weights[lists["popular_recent"][0]]
    assert (np.diff(found) <= 1e-5).all() and found[0] == pytest.approx(weights.max())
    assert lists["popular_recent"].tolist() != lists["popularity"].tolist()
    for row, user in enumerate(held_out.users.tolist()):
        own = sorted((days, item) for (u, item), days in age.items() if u == user)
        assert lists["most_recent"][row, : len(own)].tolist() == [item for _, item in own][:40]


def test_lists_that_do_not_fit_are_refused(tmp_path):
    write_baselines(tmp_path, {name: np.zeros((3, 5), np.int32) for name in BASELINES}, {})
    five = EvaluateParams(k=5)
    assert set(read_baselines(tmp_path, 3, five)) == set(BASELINES)
    for n_users, params in ((2, five), (3, EvaluateParams(k=6)), (3, five.replace(seen="keep"))):
        with pytest.raises(MusicRecError, match="run dvc repro baselines"):
            read_baselines(tmp_path, n_users, params)
