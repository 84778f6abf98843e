"""Factors at the ends of what can be searched, for whatever searches them."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np

KINDS = ("moderate", "faint", "huge", "spread", "equal", "clusters", "zero")


def make(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Make float32 factors (n, rank) of a kind, all of them finite."""
    n = shape[0]
    factors = rng.normal(size=shape)
    if kind == "faint":  # down to subnormal numbers
        factors *= 10.0 ** rng.integers(-44, -20)
    elif kind == "huge":
        factors *= 10.0 ** rng.integers(10, 17)
    elif kind == "spread":
        factors *= 10.0 ** rng.uniform(-44, 16, (n, 1))
    elif kind == "equal":
        factors = np.tile(factors[: max(1, n // 50)], (n, 1))[:n]
    elif kind == "clusters":  # a few ordinary ones, and many whose differences have no square
        factors[n // 20 :] *= 10.0 ** rng.integers(-26, -18)
        factors[rng.random(n) < 0.5] = factors[-1]
    elif kind == "zero":
        factors[rng.random(n) < 0.9] = 0
    return factors.astype(np.float32)


@st.composite
def extreme_factors(draw: st.DrawFn, most: int = 400) -> np.ndarray:
    """Draw float32 factors (1 to `most`, 1 to 9)."""
    shape = draw(st.integers(1, most)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return make(draw(st.sampled_from(KINDS)), shape, rng)
