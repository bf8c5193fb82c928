"""Two other ways to invert the CDF of a logistic mixture, for comparison with `tfflows.math.logistic_mixture.solve`."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.math.logistic_mixture import mixture_logit

# From the released Flow++ for CIFAR-10.
_MAX_ITERATIONS, _TOLERANCE, _BOUND = 200, 1e-12, 200.0


def bisect(y: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bisection on the CDF itself, as in the released code.

    It starts from 0 within the extremes over k of `mu_k -+ 200 sum_j exp(l_j)`, and ends when no element moves by more than
    1e-12, or after 200 iterations.

    Args:
      y: Logits of the CDF, shape `[...]`.
      logits: Logits of the mixture's weights, shape `[K, ...]`.
      means: Means `mu_k`, shape `[K, ...]`.
      log_scales: Log-scales `l_k`, shape `[K, ...]`.

    Returns:
      `(x, count)`: the solution with the shape of `y`, and the number of evaluations of the CDF, an int32 scalar.

    References:
      Ho et al. 2019, https://arxiv.org/abs/1902.00275; released code (aravindsrinivas/flowpp).
    """
    target = tf.sigmoid(y)
    log_pi, inverse_scales = tf.nn.log_softmax(logits, axis=0), tf.exp(-log_scales)
    bound = _BOUND * tf.reduce_sum(tf.exp(log_scales), axis=0, keepdims=True)
    low, high = tf.reduce_min(means - bound, axis=0), tf.reduce_max(means + bound, axis=0)

    def goes_on(count, x, low, high, moved):
        del x, low, high
        return (count < _MAX_ITERATIONS) & (moved > _TOLERANCE)

    def halve(count, x, low, high, moved):
        del moved
        z = (x - means) * inverse_scales
        above = tf.exp(tf.reduce_logsumexp(log_pi - tf.nn.softplus(-z), axis=0)) > target
        low, high = tf.where(above, low, x), tf.where(above, x, high)
        new = 0.5 * (x + tf.where(above, low, high))
        return count + 1, new, low, high, tf.reduce_max(tf.abs(new - x))

    state = (tf.constant(0), tf.zeros_like(y), low, high, tf.constant(float("inf"), y.dtype))
    count, x, *_ = tf.while_loop(goes_on, halve, state)
    return x, count


def chandrupatla(
    y: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chandrupatla's method from TFP, on the logit scale within the bracket of `solve`; otherwise as `bisect`."""
    points = means + tf.exp(log_scales) * y
    low, high = tf.reduce_min(points, axis=0), tf.reduce_max(points, axis=0)
    result = tfp.math.find_root_chandrupatla(
        lambda x: mixture_logit(x, logits, means, log_scales)[0] - y,
        low,
        high,
        position_tolerance=1e-7,
        value_tolerance=0.0,
        max_iterations=100,
    )
    # It evaluates both ends of the bracket first.
    return result.estimated_root, tf.reduce_max(result.num_iterations) + 2
