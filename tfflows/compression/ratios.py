"""Multiplication of integers by ratios, without loss: what is left over goes through the coder.

The ratio is `numerator / 2**shift`. Data to latent, `n = x * numerator + r` with r popped below the numerator; the product is
`n >> shift`, and the rest of n is pushed. That is a bijection between x and r on one side, the product and the rest on the other.
"""

import numpy as np

from tfflows.compression import exact
from tfflows.compression.coder import Stack

# Numerators have this many bits or one less: their relative error is 2**-12 at most, and what a uniform base wastes is small.
_NUMERATOR_BITS = 11
MAX_SHIFT = 23


def ratios(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ratios nearest to positive scales, `numerator / 2**shift`.

    Args:
      scales: float64, the same bits wherever they are computed; clipped to what ratios reach, 2**-13 to 2**11.

    Returns:
      `(numerators, shifts)`, int64 of the same shape.

    Example:
      >>> from tfflows.compression.ratios import ratios
      >>> numerator, shift = ratios(0.75)
      >>> print(numerator / 2**shift)
      0.75
    """
    scales = np.clip(np.asarray(scales, np.float64), 2.0 ** (_NUMERATOR_BITS - 1 - MAX_SHIFT), 2.0**_NUMERATOR_BITS)
    _, exponent = np.frexp(scales)
    shifts = np.clip(_NUMERATOR_BITS - exponent, 0, MAX_SHIFT).astype(np.int64)
    return np.maximum(exact.to_integer(np.ldexp(scales, shifts.astype(np.int32))), 2), shifts


def multiply(stack: Stack, x: np.ndarray, numerators: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The products of integers and ratios.

    Args:
      stack: The stack.
      x: int64 `[...]`, below 2**40 in absolute value.
      numerators: int64 of the same shape, 2 to 2**12.
      shifts: int64 of the same shape, 0 to `MAX_SHIFT`.

    Returns:
      int64 `[...]`.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.coder import Stack
      >>> from tfflows.compression.ratios import divide, multiply
      >>> stack, ratio = Stack(), (np.array([3, 3]), np.array([2, 2]))
      >>> products = multiply(stack, np.array([1000, -8]), *ratio)
      >>> print(abs(products - [750, -6]).max() <= 1, divide(stack, products, *ratio), stack.holds_noise_alone())
      True [1000   -8] True
    """
    n, numerators, shifts = (np.ravel(x) * np.ravel(numerators)), np.ravel(numerators), np.ravel(shifts)
    for part in stack.chunks(n.size):
        n[part] += stack.pop(numerators[part])
        stack.push(n[part] & ((1 << shifts[part]) - 1), 1 << shifts[part])
    return (n >> shifts).reshape(np.shape(x))


def divide(stack: Stack, y: np.ndarray, numerators: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Undoes `multiply`; the arguments are those of `multiply`, y its products."""
    numerators, shifts = np.ravel(numerators), np.ravel(shifts)
    n = np.ravel(y) << shifts
    x = np.empty_like(n)
    for part in reversed(stack.chunks(n.size)):
        n[part] += stack.pop(1 << shifts[part])
        x[part] = n[part] // numerators[part]
        stack.push(n[part] - x[part] * numerators[part], numerators[part])
    return x.reshape(np.shape(y))
