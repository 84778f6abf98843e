"""Norms, and the power of two that makes them moderate."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from musicrec.search.vectors import MODERATE, moderate


@given(st.floats(1e-45, 1e40))
def test_a_norm_is_left_alone_or_brought_near_one(norm: float) -> None:
    scale = moderate(norm)
    if 1 / MODERATE <= norm <= MODERATE:
        assert scale == 1.0
    else:
        assert 0.5 <= norm * scale < 1.0 and norm * scale / scale == norm


def test_zero_stays() -> None:
    assert moderate(0.0) == 1.0
