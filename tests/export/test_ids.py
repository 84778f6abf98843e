"""Ids laid one behind the other are found by their bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.export.ids import id_arrays
from musicrec.serve.ids import Ids

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), unique=True, max_size=20)


@given(TEXTS, st.integers(0, 5))
def test_every_id_is_found_and_no_other(texts: list[str], skipped: int) -> None:
    column = pa.chunked_array([texts[:3], texts[3:]], pa.string()).slice(skipped)
    kept = texts[skipped:]
    ids = Ids("track", *id_arrays(column))
    assert ids.sound() and ids.texts() == kept
    assert [ids.index(text) for text in kept] == list(range(len(kept)))
    assert all(ids.index(text) == -1 for text in texts[:skipped])
    found, unknown = ids.indices([*kept[::-1], *texts[:skipped]])
    assert found.tolist() == list(range(len(kept))) and list(unknown) == texts[:skipped]


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
    assert not Ids("track", *arrays).sound()
