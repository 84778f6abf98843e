from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.ingest.split.summary import describe_counts


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=60))
def test_as_numpy(counts):
    described = describe_counts(dict(Counter(counts)))
    values = np.array(counts, dtype=np.float64)
    assert described["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert described["sd"] == pytest.approx(values.std(ddof=1), rel=1e-9, abs=1e-9)
    quartiles = [described[name] for name in ("min", "p25", "median", "p75", "max")]
    np.testing.assert_allclose(quartiles, np.percentile(values, [0, 25, 50, 75, 100]), rtol=1e-12)


def test_exact_where_floats_are_not():
    """The textbook formula in doubles loses all digits of this standard deviation."""
    large = 2**62
    assert describe_counts({large: 1, large + 2: 1})["sd"] == pytest.approx(2**0.5)


def test_a_single_row():
    assert describe_counts({7: 1}) == {
        "mean": 7.0, "sd": 0.0, "min": 7, "p25": 7.0, "median": 7.0, "p75": 7.0, "max": 7
    }  # fmt: skip
