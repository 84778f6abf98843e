"""Texts become numbers in the order of their bytes, and draws by hash are the same for ever."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.interactions.id_columns import code_ids, dictionary, hash_fraction

CHUNKS = st.lists(st.lists(st.text(max_size=4), max_size=9), min_size=1, max_size=4)


@given(CHUNKS)
def test_codes_are_places_among_the_sorted_texts(chunks):
    coded = code_ids([dictionary(pa.array(chunk, pa.string())) for chunk in chunks])
    rows = [text for chunk in chunks for text in chunk]
    ids = coded.ids.to_pylist()
    assert ids == sorted(set(rows), key=lambda text: text.encode("utf-8", "surrogatepass"))
    assert [ids[code] for code in coded.codes] == rows


def test_a_text_that_no_row_has_gets_no_number():
    chunk = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int32()), ["b", "unused", "a"])
    coded = code_ids([dictionary(chunk)])
    assert coded.ids.to_pylist() == ["a", "b"] and coded.codes.tolist() == [0, 1]


def test_whole_numbers_are_texts():
    coded = code_ids([dictionary(pa.array([10, 9, 10])), dictionary(pa.array([-1], pa.int8()))])
    assert coded.ids.to_pylist() == ["-1", "10", "9"]
    assert coded.codes.tolist() == [1, 2, 1, 0]


def test_bytes_that_are_no_text_are_refused():
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )
    with pytest.raises(pa.ArrowInvalid):
        dictionary(broken)


@pytest.mark.parametrize(("seed", "salt"), [(42, "test"), (43, "test"), (42, "other")])
def test_a_draw_is_of_seed_salt_and_ids(seed, salt):
    """A new version must not choose other users; `ab`, `c` is not `a`, `bc`."""
    left, right = pa.array(["ab", "a"]), pa.array(["c", "bc"])
    texts = [f"{seed}\0{salt}\0{pair}".encode() for pair in ("ab\0c", "a\0bc")]
    expected = [int(hashlib.md5(text).hexdigest()[:13], 16) / 2**52 for text in texts]
    assert hash_fraction(seed, left, right, salt=salt).tolist() == expected
