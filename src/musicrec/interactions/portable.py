"""Powers and logarithms with the same bits on every processor.

Those of NumPy and the C library differ in their last bits between vector units. These here take
only operations that IEEE 754 rounds exactly; their relative error is a few times 1e-15.
"""

from __future__ import annotations

import math

import numpy as np

from musicrec.jit.kernel import kernel

LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476


@kernel(allocates=False)
def scalar_log2(x):
    """Logarithm to base 2 of a positive normal number, for other kernels.

    The series of the inverse hyperbolic tangent, at mantissas from sqrt(1/2) to sqrt(2).
    """
    mantissa, exponent = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa *= 2.0
        exponent -= 1
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    series = 0.0
    for n in range(23, 0, -2):
        series = series * (ratio * ratio) + 1.0 / n
    return exponent + ratio * series * (2.0 / LN2)


@kernel(allocates=False)
def _write_log2(x, out):
    for i in range(len(x)):
        out[i] = scalar_log2(x[i])


def log2(x: np.ndarray | float) -> np.ndarray:
    """Logarithm to base 2 of positive normal numbers: float64 array of the shape of `x`."""
    numbers = np.array(x, np.float64, order="C")
    _write_log2(numbers.reshape(-1), numbers.reshape(-1))
    return numbers


def log1p(x: np.ndarray) -> np.ndarray:
    """Logarithm of 1 + `x`, of numbers that are 0 or positive: float64 array."""
    x = np.asarray(x, np.float64)
    above = 1.0 + x
    return LN2 * log2(above) + (x - (above - 1.0)) / above


def exp2(x: np.ndarray | float) -> np.ndarray:
    """2 to the power of `x`: float64 array of the shape of `x`; 0 below -1100.

    The series of the exponential function, at what rounding to a whole number leaves.
    """
    x = np.maximum(np.asarray(x, np.float64), -1100.0)
    whole = np.rint(x)
    rest = (x - whole) * LN2
    series = np.ones_like(rest)
    for n in range(14, 0, -1):
        series = 1.0 + series * rest / n
    return np.ldexp(series, whole.astype(np.int32))


def power(x: np.ndarray, exponent: float) -> np.ndarray:
    """`x` to the power of `exponent`, of numbers that are 0 or positive: float64 array."""
    x = np.asarray(x, np.float64)
    if exponent == 1:
        return x
    powers = exp2(exponent * log2(np.where(x > 0, x, 1.0)))
    return np.where(x > 0, powers, float(exponent == 0))
