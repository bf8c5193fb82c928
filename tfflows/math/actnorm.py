"""Activation normalization: an affine map per channel (or per activation), and its data-dependent init."""

import tensorflow as tf

# Added to the standard deviation (not the variance) by the released Glow code, so a constant channel stays finite.
EPSILON = 1e-6
# Added to the variance by the released Flow++ code.
VARIANCE_EPSILON = 1e-8


def shift_then_scale(x, bias, log_scale):
    """`y = (x + bias) * exp(log_scale)`: the released form."""
    return (x + bias) * tf.exp(log_scale)


def unscale_then_unshift(y, bias, log_scale):
    """`x = y * exp(-log_scale) - bias`: inverse of `shift_then_scale`."""
    return y * tf.exp(-log_scale) - bias


def scale_then_shift(x, scale, bias):
    """`y = scale * x + bias`: the form of the Glow paper's table 1."""
    return scale * x + bias


def unshift_then_unscale(y, scale, bias):
    """`x = (y - bias) / scale`: inverse of `scale_then_shift`."""
    return (y - bias) / scale


def positive_scale_then_shift(x, scale, bias):
    """`y = max(scale, 1e-10) * x + bias`: the form of the released Flow++."""
    return at_least(scale) * x + bias


def unshift_then_positive_unscale(y, scale, bias):
    """`x = (y - bias) / max(scale, 1e-10)`: inverse of `positive_scale_then_shift`."""
    return (y - bias) / at_least(scale)


def exp_scale_then_shift(x, log_scale, bias):
    """`y = exp(log_scale) * x + bias`: the form of the released MaCow."""
    return x * tf.exp(log_scale) + bias


def unshift_then_exp_unscale(y, log_scale, bias):
    """`x = (y - bias) * exp(-log_scale)`."""
    return (y - bias) * tf.exp(-log_scale)


def at_least(scale, least=1e-10):
    """`max(scale, least)`: no gradient below."""
    return tf.maximum(scale, tf.constant(least, scale.dtype))


def per_event_log_det(log_scale, event_shape):
    """`sum(log_scale)` over an event of which `log_scale` covers the trailing axes; scalar, nats.

    Args:
      log_scale: Float `Tensor`, shape a suffix of `event_shape` (for example `[C]` or `[H, W, C]`).
      event_shape: Integer vector, shape of one event, for example `[H, W, C]`.
    """
    event_size = tf.reduce_prod(event_shape)
    repeats = event_size // tf.size(log_scale)
    return tf.cast(repeats, log_scale.dtype) * tf.reduce_sum(log_scale)


def moments(x, parameter_rank):
    """Mean and standard deviation of `x` over all but its last `parameter_rank` axes.

    The second moment is the population's (`1/N`), as in the released code.

    Returns:
      `(mean, standard_deviation)`, each of shape `x.shape[-parameter_rank:]`.
    """
    axes = tf.range(tf.rank(x) - parameter_rank)
    mean = tf.reduce_mean(x, axis=axes)
    variance = tf.reduce_mean(tf.square(x - mean), axis=axes)
    return mean, tf.sqrt(variance)


def data_dependent_shift_then_scale(x, parameter_rank, scale=1.0):
    """`(bias, log_scale)` that give `shift_then_scale(x, ...)` zero mean and standard deviation `scale`."""
    mean, standard_deviation = moments(x, parameter_rank)
    target = tf.convert_to_tensor(scale, x.dtype)
    return -mean, tf.math.log(target / (standard_deviation + tf.constant(EPSILON, x.dtype)))


def data_dependent_scale_then_shift(x, parameter_rank, scale=1.0):
    """`(scale, bias)` with `scale / sqrt(variance + 1e-8)`, as in the released Flow++."""
    mean, standard_deviation = moments(x, parameter_rank)
    factor = tf.convert_to_tensor(scale, x.dtype) * tf.math.rsqrt(tf.square(standard_deviation) + VARIANCE_EPSILON)
    return factor, -mean * factor


def data_dependent_exp_scale_then_shift(x, log_scale, bias, scale=1.0):
    """New `(log_scale, bias)` that bring the outputs of the present ones to mean 0 and deviation `scale`.

    By the deviation with `1 / (N - 1)` of the outputs, plus 1e-6, as in the released MaCow.
    """
    mean, standard_deviation = moments(exp_scale_then_shift(x, log_scale, bias), log_scale.shape.rank)
    count = tf.cast(tf.size(x) // tf.size(log_scale), x.dtype)
    unbiased = standard_deviation * tf.sqrt(count / tf.maximum(count - 1, 1))
    factor = tf.convert_to_tensor(scale, x.dtype) / (unbiased + tf.constant(EPSILON, x.dtype))
    return log_scale + tf.math.log(factor), (bias - mean) * factor
