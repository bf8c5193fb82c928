"""Maps the real line to a bounded range, through a probability that is kept away from 0 and 1; elementwise.

With F = sigmoid(u) and a margin m: `y = logit((1 - 2 m) F + m)`, so that `|y| < logit(1 - m)`. Neither probability is formed.

References:
  Chen et al. 2020, https://arxiv.org/abs/2002.09741; the smooth sigmoid of the released VFlow code, with m = 0.05.
"""

import math

import tensorflow as tf

# Beyond its range the inverse gives the u where F is this close to 0 or 1 (released VFlow code).
MIN_TAIL = 1e-5

# At this |u|, y has come as close to its bound as a float64 can tell.
_FLAT = 40.0


def bounded_logit(u: tf.Tensor, margin: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`(y, ln dy/du)`, each of the shape of `u`; the logarithm in nats.

    Args:
      u: Float.
      margin: The margin m, above 0 and below 1/2.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.bounded_logit import bounded_logit, bounded_logit_inverse
      >>> y, log_derivative = bounded_logit(tf.constant(1.0), margin=0.05)
      >>> print(round(float(y), 4), round(float(log_derivative), 4))
      0.8855 -0.1557
      >>> u, log_inverse = bounded_logit_inverse(y, margin=0.05)
      >>> print(round(float(u), 4), round(float(log_inverse), 4))
      1.0 0.1557
      >>> print(round(float(bounded_logit(tf.constant(1e3), margin=0.05)[0]), 4))  # logit(0.95)
      2.9444
    """
    bound = _bound(margin)
    near = tf.clip_by_value(u, -_FLAT, _FLAT)  # otherwise y, a difference of two numbers near u, would lose its digits
    y = tf.nn.softplus(near + bound) - tf.nn.softplus(near - bound) - bound
    log_derivative = math.log1p(-math.exp(-2 * bound)) - tf.nn.softplus(-u - bound) - tf.nn.softplus(u - bound)
    return y, log_derivative


def bounded_logit_inverse(y: tf.Tensor, margin: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`(u, ln du/dy)`, the inverse of `bounded_logit`.

    For a value y that no u, or only a huge one, would give, u is that of the quantile `MIN_TAIL` or of its mirror image. As in
    the released code, only the value is clipped: the logarithm is `ln du/dF - ln(1 - 2 m) + ln sigmoid'(y)`, the first at the
    u that is given, the last at y as it came.

    Args:
      y: Float.
      margin: The margin m, above 0 and below 1/2.
    """
    bound, most = _bound(margin), greatest_value(margin)
    near = tf.clip_by_value(y, -most, most)
    u = near + _log1mexp(bound + near) - _log1mexp(bound - near)
    # Exactly 0 where y has an inverse.
    beyond = _log_sigmoid_derivative(y) - _log_sigmoid_derivative(near)
    return u, beyond - bounded_logit(u, margin)[1]


def greatest_value(margin: float) -> float:
    """The largest y that `bounded_logit_inverse` inverts."""
    probability = (1 - 2 * margin) * (1 - MIN_TAIL) + margin
    return math.log(probability) - math.log1p(-probability)


def _bound(margin):
    """The bound that |y| stays below."""
    return math.log1p(-margin) - math.log(margin)


def _log_sigmoid_derivative(y):
    return -tf.nn.softplus(y) - tf.nn.softplus(-y)


def _log1mexp(x):
    """`ln(1 - exp(-x))` of positive x."""
    return tf.math.log(-tf.math.expm1(-x))
