"""Numbers of the whole line onto a bounded range, by way of a probability that is kept away from 0 and 1; elementwise.

With F = sigmoid(u) and a margin m: `y = logit((1 - 2 m) F + m)`, so that `|y| < logit(1 - m)`. Neither probability is formed.

Source: the smooth sigmoid of the released VFlow code (Chen et al. 2020), m = 0.05.
"""

import math

import tensorflow as tf

# Beyond its range the inverse gives the u where F has so much left to 0 or 1 (released VFlow code).
MIN_TAIL = 1e-5

# Where all of y is reached that a float64 can tell apart.
_FLAT = 40.0


def bounded_logit(u, margin):
    """`(y, ln dy/du)`.

    Args:
      u: Float `Tensor`.
      margin: Python `float` m, above 0 and below 1/2.
    """
    bound = _bound(margin)
    near = tf.clip_by_value(u, -_FLAT, _FLAT)  # else y, a difference of two numbers near u, would lose its digits
    y = tf.nn.softplus(near + bound) - tf.nn.softplus(near - bound) - bound
    log_derivative = math.log1p(-math.exp(-2 * bound)) - tf.nn.softplus(-u - bound) - tf.nn.softplus(u - bound)
    return y, log_derivative


def bounded_logit_inverse(y, margin):
    """`(u, ln du/dy)`; y that no u, or only a huge one, would give is moved to the quantile `MIN_TAIL` or its mirror image.

    Args: as in `bounded_logit`.
    """
    bound, most = _bound(margin), greatest_value(margin)
    y = tf.clip_by_value(y, -most, most)
    u = y + _log1mexp(bound + y) - _log1mexp(bound - y)
    return u, -bounded_logit(u, margin)[1]


def greatest_value(margin):
    """The largest y of which `bounded_logit_inverse` is an inverse, Python `float`."""
    probability = (1 - 2 * margin) * (1 - MIN_TAIL) + margin
    return math.log(probability) - math.log1p(-probability)


def _bound(margin):
    """What |y| stays below."""
    return math.log1p(-margin) - math.log(margin)


def _log1mexp(x):
    """`ln(1 - exp(-x))` of positive x."""
    return tf.math.log(-tf.math.expm1(-x))
