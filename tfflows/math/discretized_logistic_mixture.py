"""Mixtures of discretized logistics over the three colours of a pixel, each colour's means shifted by the colours before it.

The parameters of K components lie on the last axis, `[..., 10 K]`: K logits, then for red, green and blue K means, K log-scales
and K raw coefficients. With `c = tanh(raw)` of the blocks red, green and blue, and pixels `x = (k - 127.5) / 127.5` in [-1, 1]:
`mu_R = m_R`, `mu_G = m_G + c_1 x_R`, `mu_B = m_B + c_2 x_R + c_3 x_G`. Log-scales are at least -7.

A grey pixel has no colours that could depend on each other, so it has no coefficients: `[..., 3 K]` holds K logits, K means and K
log-scales.

References:
  Salimans et al. 2017, section 2, https://arxiv.org/abs/1701.05517; released code (openai/pixel-cnn).
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfflows.math.discretized_logistic import log_sigmoid_difference, logit

MIN_LOG_SCALE = -7.0
_HALF_BIN = 1 / 255
# The released code takes bins of less mass as density times width.
_MIN_MASS = 1e-5


class Components(NamedTuple):
    """Parameters of the mixture of C colours, 3 or 1, split by kind.

    Attributes:
      logits: `[..., K]`.
      means: `[..., C, K]`.
      log_scales: `[..., C, K]`, at least -7.
      coefficients: `[..., 3, K]`, in (-1, 1); `[..., 0, K]` if C is 1.
    """

    logits: tf.Tensor
    means: tf.Tensor
    log_scales: tf.Tensor
    coefficients: tf.Tensor


def num_parameters(num_components: int, num_channels: int) -> int:
    """Number of parameters of a pixel: 10 per component for three colours, 3 for one.

    Raises:
      ValueError: If there are neither three channels nor one.

    Example:
      >>> from tfflows.math import discretized_logistic_mixture as mixture
      >>> mixture.num_parameters(num_components=5, num_channels=3), mixture.num_parameters(num_components=5, num_channels=1)
      (50, 15)
    """
    if num_channels not in (1, 3):
        raise ValueError(f"Pixels must have 1 or 3 channels, got {num_channels}.")
    return num_components * (10 if num_channels == 3 else 3)


def components_of(parameters: tf.Tensor, num_components: int) -> Components:
    """The `Components` of parameters `[..., 10 K]`, or `[..., 3 K]` for grey pixels.

    Raises:
      ValueError: If the last axis has neither size.
    """
    sizes = {num_parameters(num_components, channels): channels for channels in (1, 3)}
    if parameters.shape[-1] not in sizes:
        raise ValueError(
            f"{num_components} components need {10 * num_components} parameters per pixel, or {3 * num_components} if it is "
            f"grey, got a tensor of shape {parameters.shape}."
        )
    channels = sizes[parameters.shape[-1]]
    kinds = 3 if channels > 1 else 2
    logits, rest = tf.split(parameters, [num_components, channels * kinds * num_components], axis=-1)
    blocks = tf.reshape(rest, tf.concat([tf.shape(parameters)[:-1], [channels, kinds, num_components]], axis=0))
    blocks = tf.ensure_shape(blocks, [*parameters.shape[:-1], channels, kinds, num_components])
    means, raw_scales, *coupled = tf.unstack(blocks, axis=-2)
    raw_coefficients = coupled[0] if coupled else means[..., :0, :]
    least = tf.constant(MIN_LOG_SCALE, parameters.dtype)
    return Components(logits, means, tf.maximum(raw_scales, least), tf.tanh(raw_coefficients))


def log_prob(
    pixels: tf.Tensor, parameters: tf.Tensor, num_components: int, official_approximation: bool = False
) -> tf.Tensor:
    """Log-probability of pixels: nats, `[...]`.

    The lowest level has all mass below it too and the highest all mass above it, so that probabilities add up to 1.

    Args:
      pixels: Float `[..., 3]` or `[..., 1]` in [-1, 1].
      parameters: `[..., 10 K]` or `[..., 3 K]` in the same dtype.
      num_components: Number of components K.
      official_approximation: Whether a bin is computed as in the released code: as a difference of sigmoids, and as density times
        width where that difference is below 1e-5.

    Raises:
      ValueError: If the last axis of `parameters` does not have that size.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math import discretized_logistic_mixture as mixture
      >>> levels = tf.stack([tf.range(256), tf.zeros(256, tf.int32), tf.zeros(256, tf.int32)], axis=-1)
      >>> flat = tf.zeros([256, 10])  # one component: mean 0, scale 1, no dependence between colours
      >>> log_probs = mixture.log_prob(mixture.to_pixels(levels), flat, num_components=1)
      >>> black = 2 * tf.math.log_sigmoid(-1 + 1 / 255)  # green and blue: all mass up to the lowest level
      >>> print(round(float(tf.reduce_sum(tf.exp(log_probs - black))), 4))
      1.0
    """
    parts = components_of(parameters, num_components)
    distance = pixels[..., tf.newaxis] - parts.means
    if parts.coefficients.shape[-2]:
        red, green, _ = tf.unstack(pixels[..., tf.newaxis], axis=-2)
        first, second, third = tf.unstack(parts.coefficients, axis=-2)
        green_shift = first * red
        distance -= tf.stack([tf.zeros_like(green_shift), green_shift, second * red + third * green], axis=-2)
    inverse_scale = tf.exp(-parts.log_scales)
    upper = (distance + _HALF_BIN) * inverse_scale
    lower = (distance - _HALF_BIN) * inverse_scale
    if official_approximation:
        inner = _official_bin(upper, lower, distance * inverse_scale, parts.log_scales)
    else:
        inner = log_sigmoid_difference(upper, lower, math.log(2 * _HALF_BIN) - parts.log_scales)
    level = pixels[..., tf.newaxis]
    bins = tf.where(level > 0.999, tf.math.log_sigmoid(-lower), inner)
    bins = tf.where(level < -0.999, tf.math.log_sigmoid(upper), bins)
    return tf.reduce_logsumexp(tf.nn.log_softmax(parts.logits) + tf.reduce_sum(bins, axis=-2), axis=-1)


def _official_bin(upper, lower, middle, log_scales):
    mass = tf.sigmoid(upper) - tf.sigmoid(lower)
    log_density = middle - log_scales - 2 * tf.nn.softplus(middle)
    log_mass = tf.math.log(tf.maximum(mass, 1e-12))
    return tf.where(mass > _MIN_MASS, log_mass, log_density - math.log(127.5))


def sample(
    parameters: tf.Tensor,
    num_components: int,
    component_uniforms: tf.Tensor,
    uniforms: tf.Tensor,
    temperature: float | tf.Tensor = 1.0,
    rounded: bool = False,
) -> tf.Tensor:
    """Pixels in [-1, 1]: a component by the Gumbel-max trick, then red, green given red, and blue given both; or the one grey.

    Args:
      parameters: `[..., 10 K]` or `[..., 3 K]`.
      num_components: Number of components K.
      component_uniforms: `[..., K]` in (0, 1).
      uniforms: `[..., C]` in (0, 1).
      temperature: Factor of all noise; 0 gives the means of the most probable component.
      rounded: Whether each colour is rounded to a level, as in images, before the next one sees it. The released code does not
        round.

    Returns:
      `[..., C]`, with C = 3 or 1 by the number of parameters.

    Raises:
      ValueError: If the last axis of `parameters` does not have that size.
    """
    parts = components_of(parameters, num_components)
    gumbel = -tf.math.log(-tf.math.log(component_uniforms))
    chosen = tf.one_hot(tf.argmax(parts.logits + temperature * gumbel, axis=-1), num_components, dtype=parameters.dtype)
    means, log_scales, coefficients = (
        tf.unstack(tf.reduce_sum(part * chosen[..., tf.newaxis, :], axis=-1), axis=-1) for part in parts[1:]
    )
    noise = tf.unstack(temperature * logit(uniforms), axis=-1)

    def colour(number, shift):
        value = means[number] + shift + tf.exp(log_scales[number]) * noise[number]
        value = tf.clip_by_value(value, -1.0, 1.0)
        return rounded_to_levels(value) if rounded else value

    red = colour(0, 0.0)
    if not coefficients:
        return red[..., tf.newaxis]
    green = colour(1, coefficients[0] * red)
    blue = colour(2, coefficients[1] * red + coefficients[2] * green)
    return tf.stack([red, green, blue], axis=-1)


def rounded_to_levels(values: tf.Tensor) -> tf.Tensor:
    """The nearest of the values `(k - 127.5) / 127.5`, k = 0 ... 255."""
    return (tf.clip_by_value(tf.round(values * 127.5 + 127.5), 0.0, 255.0) - 127.5) / 127.5


def to_pixels(levels: tf.Tensor, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """`(k - 127.5) / 127.5` for levels k = 0 ... 255: what a PixelCNN++ sees."""
    return (tf.cast(levels, dtype) - 127.5) / 127.5


def to_levels(pixels: tf.Tensor) -> tf.Tensor:
    """Rounds pixels in [-1, 1] to uint8 levels."""
    return tf.cast(tf.clip_by_value(tf.round(pixels * 127.5 + 127.5), 0.0, 255.0), tf.uint8)
