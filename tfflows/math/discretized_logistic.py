"""Log-probabilities of bins under a logistic distribution, without cancellation or underflow.

With `S` the sigmoid and a bin `[b, a]` in units of the scale, `w = a - b` wide:
`ln (S(a) - S(b)) = ln S(a) + ln S(-b) + ln (1 - exp(-w))`. The width is known without taking a difference.
"""

import math

import tensorflow as tf

# Below the first, `ln (1 - exp(-w)) = ln w - w / 2` up to rounding; above the second, it is 0 and so is its derivative.
_NARROW = 1e-4
_WIDE = 80.0


def log_sigmoid_difference(upper: tf.Tensor, lower: tf.Tensor, log_width: tf.Tensor | float) -> tf.Tensor:
    """`ln (S(upper) - S(lower))` where `upper - lower = exp(log_width)`: nats, elementwise."""
    return tf.math.log_sigmoid(upper) + tf.math.log_sigmoid(-lower) + _log_one_minus_exp(log_width)


def _log_one_minus_exp(log_width):
    """`ln (1 - exp(-w))`, given `ln w`."""
    width = tf.exp(tf.minimum(log_width, math.log(_WIDE)))
    narrow = width < _NARROW
    # Where another branch is taken, its own derivative must be finite too.
    safe = tf.where(narrow, tf.ones_like(width), width)
    return tf.where(narrow, log_width - width / 2, tf.math.log(-tf.math.expm1(-safe)))


def log_prob(
    values: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor, num_levels: int = 256, open_edges: bool = False
) -> tf.Tensor:
    """`ln (S((l + c - mean) / s) - S((l - mean) / s))`, `c = 256 / num_levels`, `l = c floor(value / c)`, `s = exp(log_scale)`.

    As printed, the bins cover only [0, 256): their probabilities add up to the mass of the logistic there, which is less than 1.
    With `open_edges` the first bin begins at minus infinity, the last one ends at plus infinity, and they add up to 1.

    Args:
      values: Levels 0 ... 255, in the dtype of `mean`.
      mean: Between 0 and 256 where it lies inside the range.
      log_scale: Logarithm of the scale, in units of one of 256 levels; broadcasts.
      num_levels: Number of bins; see `check_num_levels`.
      open_edges: Whether the outer bins reach to infinity.

    Returns:
      Tensor of the broadcast shape, nats. Finite for log-scales from -70 to 70 in float32.

    Raises:
      ValueError: If `num_levels` is not a power of 2 from 2 to 256.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math import discretized_logistic
      >>> levels = tf.range(256, dtype=tf.float32)
      >>> for open_edges in (False, True):
      ...     log_probs = discretized_logistic.log_prob(levels, 100.0, 4.0, open_edges=open_edges)
      ...     print(round(float(tf.reduce_sum(tf.exp(log_probs))), 3))
      0.808
      1.0

    References:
      Lucas & Verbeek 2018, eq. 8, https://arxiv.org/abs/1711.11479; Kingma et al. 2016, https://arxiv.org/abs/1606.04934.
    """
    check_num_levels(num_levels)
    size = 256 // num_levels
    lower_edge = lower_edges(values, num_levels)
    inverse_scale = tf.exp(-log_scale)
    lower = (lower_edge - mean) * inverse_scale
    upper = (lower_edge + size - mean) * inverse_scale
    inner = log_sigmoid_difference(upper, lower, math.log(size) - log_scale)
    if not open_edges:
        return inner
    first = tf.where(lower_edge < 0.5, tf.math.log_sigmoid(upper), inner)
    return tf.where(lower_edge + size > 255.5, tf.math.log_sigmoid(-lower), first)


def lower_edges(values: tf.Tensor, num_levels: int) -> tf.Tensor:
    """`c floor(value / c)` with `c = 256 / num_levels`: where the bin of a value begins."""
    size = 256 // num_levels
    return size * tf.floor(values / size)


def check_num_levels(num_levels: int) -> None:
    """Raises `ValueError` unless the 256 levels divide into `num_levels` equal bins, at least 2."""
    if num_levels not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise ValueError(f"num_levels must be a power of 2 from 2 to 256, got {num_levels!r}.")


def quantile(uniforms: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`mean + exp(log_scale) * (ln u - ln (1 - u))`: turns a uniform variable in (0, 1) into a logistic one."""
    return mean + tf.exp(log_scale) * logit(uniforms)


def logit(uniforms: tf.Tensor) -> tf.Tensor:
    """`ln u - ln (1 - u)`."""
    return tf.math.log(uniforms) - tf.math.log1p(-uniforms)
