"""SplitMix64: random numbers that depend on their place in a stream alone."""

from __future__ import annotations

import numpy as np

from musicrec.jit.kernel import kernel

STEP = np.uint64(0x9E3779B97F4A7C15)  # what a stream's state grows by: 2^64 over the golden ratio


@kernel(allocates=False)
def mix(z):
    """Scramble 64 bits: the output function (Steele, Lea and Flood, OOPSLA 2014, figure 16)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
