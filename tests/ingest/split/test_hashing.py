"""Draws by hash: the same in every version."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from musicrec.interactions.hashing import hash_fraction


@pytest.mark.parametrize(("seed", "salt"), [(42, "test"), (43, "test"), (42, "other")])
def test_a_draw_is_of_seed_salt_and_ids(seed, salt):
    """A new version must not choose other users; `ab`, `c` is not `a`, `bc`."""
    left, right = pa.array(["ab", "a"]), pa.array(["c", "bc"])
    texts = [f"{seed}\0{salt}\0{pair}".encode() for pair in ("ab\0c", "a\0bc")]
    expected = [int(hashlib.md5(text).hexdigest()[:13], 16) / 2**52 for text in texts]
    assert hash_fraction(seed, left, right, salt=salt).tolist() == expected
