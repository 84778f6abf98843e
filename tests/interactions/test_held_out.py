"""Held-out plays that training cannot answer for are named before they are judged."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from musicrec.errors import MusicRecError
from musicrec.interactions.held_out import read_held_out
from tests.support.indexed_data import N_ITEMS, N_USERS, make_plays, write_indexed


@pytest.mark.parametrize(
    ("validation", "what"),
    [
        ({(N_USERS, 0), (N_USERS + 1, 1)}, "none of the users of validation"),
        ({(0, N_ITEMS), (1, N_ITEMS + 1)}, "none of the tracks of validation"),
    ],
)
def test_training_knows_none_of_them(tmp_path, validation, what):
    write_indexed(tmp_path, replace(make_plays(), validation=validation))
    with pytest.raises(MusicRecError, match=f"training knows {what}, such as '.*' where training"):
        read_held_out(tmp_path, "validation")
    assert len(read_held_out(tmp_path, "test").users)
    one_known = {(0, 5), (N_USERS, N_ITEMS)}
    write_indexed(tmp_path, replace(make_plays(), validation=one_known))
    assert len(read_held_out(tmp_path, "validation").users) == 2


def test_what_is_played_again_is_truth_only_where_seen_tracks_are_kept(tmp_path):
    """User 1 plays one old and two new tracks, user 2 an old one alone."""
    plays = make_plays()
    old = {user: min(item for u, item in plays.train if u == user) for user in (1, 2)}
    new = sorted(set(range(N_ITEMS)) - {item for u, item in plays.train if u == 1})[:2]
    write_indexed(tmp_path, replace(plays, validation={(1, i) for i in new} | set(old.items())))
    excluded = read_held_out(tmp_path, "validation")
    assert excluded.users.tolist() == [1] and excluded.n_without_new == 1
    assert excluded.truth.row(0).tolist() == new
    assert excluded.history.n_users == len(excluded.user_ids) == 1
    kept = read_held_out(tmp_path, "validation", "keep")
    assert kept.users.tolist() == [1, 2] and kept.n_without_new == 0
    assert kept.truth.row(0).tolist() == sorted([*new, old[1]])
    write_indexed(tmp_path / "repeats", replace(plays, validation=set(old.items())))
    with pytest.raises(MusicRecError, match="only tracks of their history again"):
        read_held_out(tmp_path / "repeats", "validation")


def test_what_training_went_beyond_is_not_judged_and_plays_without_times_do_not_age(tmp_path):
    write_indexed(tmp_path, make_plays())
    shutil.rmtree(tmp_path / "validation")
    with pytest.raises(MusicRecError, match="has no validation plays: data"):
        read_held_out(tmp_path, "validation")
    test = read_held_out(tmp_path, "test")
    assert len(test.users) and not test.timed
    with pytest.raises(MusicRecError, match="half_life needs the time of each play"):
        _ = test.train_ages


def test_ages_are_those_of_the_same_plays(tmp_path):
    """Play (u, i) was i minutes after second u."""
    plays = make_plays()
    write_indexed(tmp_path, plays, last_played=lambda user, item: user + 60 * item)
    newest = max(user + 60 * item for user, item in plays.train)
    held_out = read_held_out(tmp_path, "validation")
    for matrix, ages, users in (
        (held_out.train, held_out.train_ages, np.arange(held_out.train.n_users)),
        (held_out.history, held_out.history_ages, held_out.users),
    ):
        rows = np.repeat(users, matrix.lengths)
        np.testing.assert_array_equal(ages, newest - (rows + 60 * matrix.indices))
    shutil.copytree(tmp_path / "validation", tmp_path / "validation_history")
    folded = read_held_out(tmp_path, "validation", "keep")
    rows = np.repeat(folded.users, folded.history.lengths)
    expected = newest - (rows + 60 * folded.history.indices)
    np.testing.assert_array_equal(folded.history_ages, np.maximum(expected, 0))
