"""Mixtures of discretized logistics over the three colours of a pixel, each colour's means shifted by the colours before it.

Parameters of K components lie on the last axis, `[..., 10 K]`: K logits, then for red, green and blue K means, K log-scales and K
raw coefficients. With `c = tanh(raw)` of the blocks red, green and blue and pixels `x = (k - 127.5) / 127.5` in [-1, 1]:
`mu_R = m_R`, `mu_G = m_G + c_1 x_R`, `mu_B = m_B + c_2 x_R + c_3 x_G`. Log-scales are at least -7.

Source: Salimans et al. 2017, section 2; released PixelCNN++ code.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tfflows.math.discretized_logistic import log_sigmoid_difference, logit

MIN_LOG_SCALE = -7.0
_HALF_BIN = 1 / 255
# Bins of less mass are taken as density times width by the released code.
_MIN_MASS = 1e-5


class Components(NamedTuple):
    """Attributes: logits: `[..., K]`; means, log_scales, coefficients: `[..., 3, K]`."""

    logits: tf.Tensor
    means: tf.Tensor
    log_scales: tf.Tensor
    coefficients: tf.Tensor


def components_of(parameters, num_components):
    """The `Components` of parameters `[..., 10 K]`.

    Raises:
      ValueError: if the last axis is not `10 num_components`.
    """
    if parameters.shape[-1] != 10 * num_components:
        raise ValueError(
            f"{num_components} components need {10 * num_components} parameters a pixel, got a tensor of shape "
            f"{parameters.shape}."
        )
    logits, rest = tf.split(parameters, [num_components, 9 * num_components], axis=-1)
    blocks = tf.reshape(rest, tf.concat([tf.shape(parameters)[:-1], [3, 3, num_components]], axis=0))
    blocks = tf.ensure_shape(blocks, [*parameters.shape[:-1], 3, 3, num_components])
    means, raw_scales, raw_coefficients = tf.unstack(blocks, axis=-2)
    least = tf.constant(MIN_LOG_SCALE, parameters.dtype)
    return Components(logits, means, tf.maximum(raw_scales, least), tf.tanh(raw_coefficients))


def log_prob(pixels, parameters, num_components, official_approximation=False):
    """Log-probability of pixels: nats, `[...]`.

    The lowest level has all mass below it too, the highest all above, so probabilities add up to 1.

    Args:
      pixels: Float `Tensor` `[..., 3]` in [-1, 1].
      parameters: `[..., 10 K]` of that dtype.
      num_components: Python `int` K.
      official_approximation: Python `bool`, whether a bin is computed as the released code does: a difference of sigmoids,
        and density times width where that is below 1e-5.
    """
    parts = components_of(parameters, num_components)
    red, green, _ = tf.unstack(pixels[..., tf.newaxis], axis=-2)
    first, second, third = tf.unstack(parts.coefficients, axis=-2)
    green_shift = first * red
    shifts = tf.stack([tf.zeros_like(green_shift), green_shift, second * red + third * green], axis=-2)
    distance = pixels[..., tf.newaxis] - parts.means - shifts
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


def sample(parameters, num_components, component_uniforms, uniforms, temperature=1.0, rounded=False):
    """Pixels `[..., 3]` in [-1, 1]: a component by the Gumbel-max trick, then red, green given red, blue given both.

    Args:
      parameters: `[..., 10 K]`.
      num_components: Python `int` K.
      component_uniforms: `[..., K]` in (0, 1).
      uniforms: `[..., 3]` in (0, 1).
      temperature: Factor of all noise; 0 gives the most probable component's means.
      rounded: Python `bool`, whether each colour is a level, as in images, before the next one sees it. The released code does
        not round.
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
    green = colour(1, coefficients[0] * red)
    blue = colour(2, coefficients[1] * red + coefficients[2] * green)
    return tf.stack([red, green, blue], axis=-1)


def rounded_to_levels(values):
    """The nearest of the values `(k - 127.5) / 127.5`, k = 0 ... 255."""
    return (tf.clip_by_value(tf.round(values * 127.5 + 127.5), 0.0, 255.0) - 127.5) / 127.5


def to_pixels(levels, dtype=tf.float32):
    """`(k - 127.5) / 127.5` of levels 0 ... 255: what a PixelCNN++ sees."""
    return (tf.cast(levels, dtype) - 127.5) / 127.5


def to_levels(pixels):
    """uint8 levels of pixels in [-1, 1], rounded."""
    return tf.cast(tf.clip_by_value(tf.round(pixels * 127.5 + 127.5), 0.0, 255.0), tf.uint8)
