"""Elementary functions whose results have the same bits on every machine.

`numpy.exp` and the like differ in their last bits between processors and libraries, and encoder and decoder may not run on the
same ones. The functions here use only what IEEE 754 rounds in one way: sums, products, quotients, powers of two. All are of
float64.
"""

import math

import numpy as np

# ln 2 in two parts; products of the first with integers below 2**21 are exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_INVERSE_LN2 = 1.4426950408889634
_EXP_COEFFICIENTS = [1.0 / math.factorial(power) for power in range(14)]
_GREATEST_EXPONENT = 700.0


def round_to(values: np.ndarray, fraction_bits: int) -> np.ndarray:
    """The nearest multiples of `2**-fraction_bits`, halves upwards: what networks give, before it is used.

    Example:
      >>> from tfflows.compression.exact import round_to
      >>> round_to(0.3, fraction_bits=2).item()
      0.25
    """
    scale = 2.0**fraction_bits
    return np.floor(np.asarray(values, np.float64) * scale + 0.5) / scale


def to_integer(values: np.ndarray) -> np.ndarray:
    """The nearest integers as int64, halves upwards."""
    return np.floor(np.asarray(values, np.float64) + 0.5).astype(np.int64)


def exp(x: np.ndarray) -> np.ndarray:
    """`e**x`, with x clipped to [-700, 700]; relative error about 3e-16.

    Example:
      >>> from tfflows.compression import exact
      >>> round(exact.exp(1.0).item(), 12)
      2.718281828459
    """
    x = np.clip(np.asarray(x, np.float64), -_GREATEST_EXPONENT, _GREATEST_EXPONENT)
    power = np.floor(x * _INVERSE_LN2 + 0.5)
    rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
    total = np.full_like(rest, _EXP_COEFFICIENTS[-1])
    for coefficient in _EXP_COEFFICIENTS[-2::-1]:
        total = total * rest + coefficient
    return np.ldexp(total, power.astype(np.int32))


def log(x: np.ndarray) -> np.ndarray:
    """`ln x` of positive numbers; error about 3e-16 of the larger of 1 and the result.

    Example:
      >>> from tfflows.compression import exact
      >>> round(exact.log(10.0).item(), 12)
      2.302585092994
    """
    mantissa, power = np.frexp(np.asarray(x, np.float64))
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, 2 * mantissa, mantissa)
    power = power - small
    return (2 * _atanh((mantissa - 1) / (mantissa + 1), 11) + power * _LN2_LOW) + power * _LN2_HIGH


def log1p(x: np.ndarray) -> np.ndarray:
    """`ln(1 + x)` of numbers in [0, 1], to relative precision."""
    x = np.asarray(x, np.float64)
    return 2 * _atanh(x / (2 + x), 17)


def _atanh(f, num_terms):
    """`f + f**3 / 3 + ...`."""
    square = f * f
    total = np.full_like(f, 1.0 / (2 * num_terms - 1))
    for odd in range(2 * num_terms - 3, 0, -2):
        total = total * square + 1.0 / odd
    return total * f


def sigmoid(x: np.ndarray) -> np.ndarray:
    """`1 / (1 + e**-x)`, to relative precision in both tails.

    Example:
      >>> from tfflows.compression import exact
      >>> exact.sigmoid(0.0).item()
      0.5
    """
    x = np.asarray(x, np.float64)
    small = exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)


def softplus(x: np.ndarray) -> np.ndarray:
    """`ln(1 + e**x)`."""
    x = np.asarray(x, np.float64)
    return np.maximum(x, 0.0) + log1p(exp(-np.abs(x)))


def tanh(x: np.ndarray) -> np.ndarray:
    """`tanh x`, to absolute precision."""
    x = np.asarray(x, np.float64)
    small = exp(-2 * np.abs(x))
    return np.sign(x) * (1 - small) / (1 + small)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Cumulative distribution function of N(0, 1) at numbers in [-8, 8]; absolute error about 1e-15.

    The series is `1/2 + phi(x) (x + x**3 / 3 + x**5 / 15 + ...)`.

    Example:
      >>> from tfflows.compression import exact
      >>> round(exact.normal_cdf(1.96).item(), 4)
      0.975
    """
    x = np.clip(np.asarray(x, np.float64), -8.0, 8.0)
    square = x * x
    term, total = x, x
    for odd in range(3, 241, 2):
        term = term * square / odd
        total = total + term
    return 0.5 + total * exp(-0.5 * square) * 0.3989422804014327
