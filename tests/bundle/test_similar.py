"""Rows alike, for factors at the ends of what float32 holds."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from musicrec.bundle.recommend import CosineIndex
from tests.support.extreme_factors import extreme_factors


@settings(max_examples=200, deadline=None)
@given(extreme_factors(), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_nearest_rows_are_those_of_the_largest_cosine(factors, seed, k):
    rows = np.flatnonzero(factors.any(axis=1))
    if not len(rows):
        assert not len(CosineIndex(factors).nearest(np.ones(factors.shape[1], np.float32), k)[0])
        return
    unit = factors[rows].astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    place = seed % len(rows)
    expected = unit @ unit[place]
    ids, cosines = CosineIndex(factors).nearest(factors[rows[place]], k)
    assert len(ids) == min(k, len(rows)) and cosines[0] >= 1.0 - 1e-6
    np.testing.assert_allclose(cosines, np.sort(expected)[::-1][:k], atol=1e-6)
    np.testing.assert_allclose(cosines, expected[np.searchsorted(rows, ids)], atol=1e-6)


def test_norms_beyond_float32_are_norms():
    huge = np.array([[3e38, 3e38], [3e38, -3e38], [1e-45, 1e-45], [0, 0]], np.float32)
    ids, cosines = CosineIndex(huge).nearest(huge[0], 4)
    assert ids.tolist() == [0, 2, 1]
    np.testing.assert_allclose(cosines, [1, 1, 0], atol=1e-6)
