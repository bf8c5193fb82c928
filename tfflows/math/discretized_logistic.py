"""Probabilities of bins under a logistic distribution, as logarithms that neither cancel nor underflow.

With `S` the sigmoid and a bin `[b, a]` in units of the scale, `w = a - b` wide:
`ln (S(a) - S(b)) = ln S(a) + ln S(-b) + ln (1 - exp(-w))`. The width is known without taking a difference.
"""

import math

import tensorflow as tf

# Below it `ln (1 - exp(-w)) = ln w - w / 2` to rounding; above the other it is 0, and its derivative too.
_NARROW = 1e-4
_WIDE = 80.0


def log_sigmoid_difference(upper, lower, log_width):
    """`ln (S(upper) - S(lower))` where `upper - lower = exp(log_width)`: nats, elementwise."""
    return tf.math.log_sigmoid(upper) + tf.math.log_sigmoid(-lower) + _log_one_minus_exp(log_width)


def _log_one_minus_exp(log_width):
    """`ln (1 - exp(-w))` of `ln w`."""
    width = tf.exp(tf.minimum(log_width, math.log(_WIDE)))
    narrow = width < _NARROW
    # Where another branch is taken, its own derivative must be finite too.
    safe = tf.where(narrow, tf.ones_like(width), width)
    return tf.where(narrow, log_width - width / 2, tf.math.log(-tf.math.expm1(-safe)))


def log_prob(values, mean, log_scale, num_levels=256, open_edges=False):
    """`ln (S((l + c - mean) / s) - S((l - mean) / s))` , `c = 256 / num_levels`, `l = c floor(value / c)`, `s = exp(log_scale)`.

    As printed the bins cover [0, 256) alone: their probabilities add up to the mass of the logistic there, less than 1. With
    `open_edges` the first bin begins at minus and the last one ends at plus infinity, and they add up to 1.

    Args:
      values: `Tensor` of levels 0 ... 255, of the dtype of `mean`.
      mean: `Tensor`, between 0 and 256 where it is inside.
      log_scale: `Tensor`, in units of a level of 256; broadcasts.
      num_levels: Python `int`, number of bins; see `check_num_levels`.
      open_edges: Python `bool`.

    Returns:
      `Tensor` of the broadcast shape, nats. Finite for log-scales from -70 to 70 in float32.

    Source: Lucas & Verbeek 2018, eq. 8; Kingma et al. 2016.
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


def lower_edges(values, num_levels):
    """`c floor(value / c)` with `c = 256 / num_levels`: where the bin of a value begins."""
    size = 256 // num_levels
    return size * tf.floor(values / size)


def check_num_levels(num_levels):
    """Raises `ValueError` unless 256 levels fall into so many equal bins, at least 2."""
    if num_levels not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise ValueError(f"num_levels must be a power of 2 from 2 to 256, got {num_levels!r}.")


def quantile(uniforms, mean, log_scale):
    """`mean + s (ln u - ln (1 - u))`: a logistic variable of a uniform one in (0, 1)."""
    return mean + tf.exp(log_scale) * logit(uniforms)


def logit(uniforms):
    """`ln u - ln (1 - u)`."""
    return tf.math.log(uniforms) - tf.math.log1p(-uniforms)
