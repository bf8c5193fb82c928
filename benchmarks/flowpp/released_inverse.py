"""Two other ways to invert the CDF of a logistic mixture, for comparison with `tfflows.math.logistic_mixture.solve`."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.math.logistic_mixture import mixture_logit

# Of the released Flow++ for CIFAR-10.
_MAX_ITERATIONS, _TOLERANCE, _BOUND = 200, 1e-12, 200.0


def bisect(y: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bisection on the CDF itself, as the released code does it: arguments and result as those of `solve`.

    From 0, between the extremes over k of `mu_k -+ 200 sum_j exp(l_j)`, until no element moves by more than 1e-12 or 200 times.

    Source: Ho et al. 2019, released code.
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
    """Chandrupatla's method as in TFP, on the logit scale within the bracket of `solve`; as `solve` else."""
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
    # Both ends of the bracket are evaluated first.
    return result.estimated_root, tf.reduce_max(result.num_iterations) + 2
