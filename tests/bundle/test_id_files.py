"""Ids laid one behind the other are found by their bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.bundle.id_files import id_arrays
from musicrec.bundle.ids import Ids

# Of few letters too, so that many share their first bytes, and one is the beginning of another.
LETTERS = st.characters(codec="utf-8") | st.sampled_from("ab\0\x7f")
WORDS = st.builds(
    str.__add__, st.sampled_from(["", "user-", "0" * 12]), st.text(LETTERS, max_size=9)
)
TEXTS = st.lists(WORDS, unique=True, max_size=20)


@given(TEXTS, st.integers(0, 5))
def test_every_id_is_found_and_no_other(texts: list[str], skipped: int) -> None:
    column = pa.chunked_array([texts[:3], texts[3:]], pa.string()).slice(skipped)
    kept = texts[skipped:]
    plain = Ids.of("track", *id_arrays(column))
    assert plain.sound() and [*plain] == kept
    for ids in (plain, plain.prepared()):
        assert [ids.index(text) for text in kept] == list(range(len(kept)))
        assert all(ids.index(text) == -1 for text in texts[:skipped])
        found, unknown = ids.indices([*kept[::-1], *texts[:skipped]])
        assert found.tolist() == list(range(len(kept))) and list(unknown) == texts[:skipped]


def test_ids_are_listed_and_asked_for() -> None:
    ids = Ids.of("track", *id_arrays(pa.chunked_array([["b", "7", "a"]])))
    assert [ids[0], ids[-1], *ids] == ["b", "a", "b", "7", "a"]
    assert "7" in ids and 7 in ids and "c" not in ids and None not in ids
    assert repr(ids) == "<3 track ids: 'b', '7', …>"
    with pytest.raises(IndexError, match="track 3 of 3"):
        ids[3]


@pytest.mark.parametrize(
    ("text", "starts", "order"),
    [
        (b"ab", [0, 1, 3], [0, 1]),
        (b"ab", [0, 2, 1], [0, 1]),
        (b"ab", [1, 1, 2], [0, 1]),
        (b"ab", [0, 1, 2], [1, 0]),
        (b"ab", [0, 1, 2], [0, 2]),
        (b"ab", [0, 1, 2], [0, -1]),
        (b"aa", [0, 1, 2], [0, 1]),
        (b"\xc3\xa9", [0, 1, 2], [0, 1]),
        (b"a\xff", [0, 1, 2], [0, 1]),
    ],
)
def test_arrays_that_hold_no_ids(text: bytes, starts: list[int], order: list[int]) -> None:
    import numpy as np

    arrays = (np.frombuffer(text, "u1"), np.array(starts, "i8"), np.array(order, "i4"))
    assert not Ids.of("track", *arrays).sound()
