"""Ids laid one behind the other are found by their bytes."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from musicrec.bundle.ids import Ids
from musicrec.interactions.id_columns import id_arrays

# Of few letters too, so that many share their first bytes, and one is the beginning of another.
LETTERS = st.characters(codec="utf-8") | st.sampled_from("ab\0\x7f")
WORDS = st.builds(
    str.__add__, st.sampled_from(["", "user-", "0" * 12]), st.text(LETTERS, max_size=9)
)
TEXTS = st.lists(WORDS, unique=True, max_size=20)


@given(TEXTS, st.integers(0, 5))
def test_every_id_is_found_and_no_other(texts, skipped):
    column = pa.array(texts, pa.string()).slice(skipped)
    kept = texts[skipped:]
    ids = Ids("track", *id_arrays(column))
    assert [*ids] == kept == ids.to_arrow().to_pylist()
    assert [ids.index(one) for one in kept] == list(range(len(kept)))
    assert all(ids.index(one) == -1 for one in texts[:skipped])
    found, unknown = ids.indices([*kept[::-1], *texts[:skipped]])
    assert found.tolist() == list(range(len(kept))) and list(unknown) == texts[:skipped]


def test_ids_are_listed_and_asked_for():
    ids = Ids("track", *id_arrays(pa.array(["b", "7", "a"])))
    assert "7" in ids and 7 in ids and "c" not in ids and None not in ids
    assert repr(ids) == "<3 track ids: 'b', '7', …>"
