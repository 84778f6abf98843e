"""Held-out plays that training cannot answer for are named before they are judged."""

from __future__ import annotations

from dataclasses import replace

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


def test_one_known_user_and_track_is_enough(tmp_path):
    write_indexed(tmp_path, replace(make_plays(), validation={(0, 5), (N_USERS, N_ITEMS)}))
    assert len(read_held_out(tmp_path, "validation").users) == 2
