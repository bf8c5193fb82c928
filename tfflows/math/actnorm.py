"""Activation normalization: an affine map per channel (or per activation), and its data-dependent initialization."""

from collections.abc import Sequence

import tensorflow as tf

from tfflows.math.shapes import product_as_factor

# The released Glow code adds it to the standard deviation (not to the variance), so that a constant channel stays finite.
EPSILON = 1e-6
# The released Flow++ code adds it to the variance.
VARIANCE_EPSILON = 1e-8


def shift_then_scale(x: tf.Tensor, bias: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`y = (x + bias) * exp(log_scale)`: the form of the released Glow.

    Example:
      >>> from tfflows.math.actnorm import shift_then_scale
      >>> shift_then_scale(3.0, bias=-1.0, log_scale=0.0).numpy().item()
      2.0
    """
    return (x + bias) * tf.exp(log_scale)


def unscale_then_unshift(y: tf.Tensor, bias: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`x = y * exp(-log_scale) - bias`: inverse of `shift_then_scale`."""
    return y * tf.exp(-log_scale) - bias


def scale_then_shift(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`y = scale * x + bias`: the form of table 1 in the Glow paper."""
    return scale * x + bias


def unshift_then_unscale(y: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`x = (y - bias) / scale`: inverse of `scale_then_shift`."""
    return (y - bias) / scale


def positive_scale_then_shift(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`y = max(scale, 1e-10) * x + bias`: the form of the released Flow++."""
    return at_least(scale) * x + bias


def unshift_then_positive_unscale(y: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`x = (y - bias) / max(scale, 1e-10)`: inverse of `positive_scale_then_shift`."""
    return (y - bias) / at_least(scale)


def exp_scale_then_shift(x: tf.Tensor, log_scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`y = exp(log_scale) * x + bias`: the form of the released MaCow."""
    return x * tf.exp(log_scale) + bias


def unshift_then_exp_unscale(y: tf.Tensor, log_scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`x = (y - bias) * exp(-log_scale)`: inverse of `exp_scale_then_shift`."""
    return (y - bias) * tf.exp(-log_scale)


def at_least(scale: tf.Tensor, least: float = 1e-10) -> tf.Tensor:
    """`max(scale, least)`, with no gradient where `scale` is below `least`."""
    return tf.maximum(scale, tf.constant(least, scale.dtype))


def per_event_log_det(log_scale: tf.Tensor, event_shape: tf.Tensor | Sequence[int | tf.Tensor]) -> tf.Tensor:
    """Sum of `log_scale` over one event, whose trailing axes `log_scale` covers: scalar, nats.

    Args:
      log_scale: Float, its shape a suffix of `event_shape` (for example `[C]` or `[H, W, C]`).
      event_shape: Shape of one event, for example `[H, W, C]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.actnorm import per_event_log_det
      >>> per_event_log_det(tf.constant([1.0, -0.5]), [2, 3, 2]).numpy().item()  # 6 positions times 0.5
      3.0
    """
    sizes = tf.unstack(event_shape) if tf.is_tensor(event_shape) else list(event_shape)
    repeats = product_as_factor(sizes, log_scale.dtype) / log_scale.shape.num_elements()
    return repeats * tf.reduce_sum(log_scale)


def moments(x: tf.Tensor, parameter_rank: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of `x` over all but its last `parameter_rank` axes.

    The variance is the population's (`1/N`), as in the released Glow code.

    Returns:
      `(mean, standard_deviation)`, each of shape `x.shape[-parameter_rank:]`.
    """
    axes = tf.range(tf.rank(x) - parameter_rank)
    mean = tf.reduce_mean(x, axis=axes)
    variance = tf.reduce_mean(tf.square(x - mean), axis=axes)
    return mean, tf.sqrt(variance)


def data_dependent_shift_then_scale(
    x: tf.Tensor, parameter_rank: int, scale: float | tf.Tensor = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """`(bias, log_scale)` that give `shift_then_scale(x, ...)` mean zero and standard deviation `scale`.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.actnorm import data_dependent_shift_then_scale, shift_then_scale
      >>> x = tf.constant([[1.0], [5.0]])  # mean 3, standard deviation 2
      >>> bias, log_scale = data_dependent_shift_then_scale(x, parameter_rank=1)
      >>> print(np.round(bias, 4), np.round(np.exp(log_scale), 4))
      [-3.] [0.5]
      >>> print(np.round(shift_then_scale(x, bias, log_scale), 4).tolist())
      [[-1.0], [1.0]]
    """
    mean, standard_deviation = moments(x, parameter_rank)
    target = tf.convert_to_tensor(scale, x.dtype)
    return -mean, tf.math.log(target / (standard_deviation + tf.constant(EPSILON, x.dtype)))


def data_dependent_scale_then_shift(
    x: tf.Tensor, parameter_rank: int, scale: float | tf.Tensor = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """`(factor, -mean * factor)` with `factor = scale / sqrt(variance + 1e-8)`, as in the released Flow++."""
    mean, standard_deviation = moments(x, parameter_rank)
    factor = tf.convert_to_tensor(scale, x.dtype) * tf.math.rsqrt(tf.square(standard_deviation) + VARIANCE_EPSILON)
    return factor, -mean * factor


def data_dependent_exp_scale_then_shift(
    x: tf.Tensor, log_scale: tf.Tensor, bias: tf.Tensor, scale: float | tf.Tensor = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """New `(log_scale, bias)` that bring the outputs under the present ones to mean 0 and standard deviation `scale`.

    The standard deviation of these outputs is taken with `1 / (N - 1)`, and 1e-6 is added to it, as in the released MaCow.
    """
    mean, standard_deviation = moments(exp_scale_then_shift(x, log_scale, bias), log_scale.shape.rank)
    count = tf.cast(tf.size(x) // tf.size(log_scale), x.dtype)
    unbiased = standard_deviation * tf.sqrt(count / tf.maximum(count - 1, 1))
    factor = tf.convert_to_tensor(scale, x.dtype) / (unbiased + tf.constant(EPSILON, x.dtype))
    return log_scale + tf.math.log(factor), (bias - mean) * factor
