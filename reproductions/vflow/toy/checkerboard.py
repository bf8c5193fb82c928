"""The checkerboard: uniform on 8 squares of side 2 in [-4, 4]^2."""

import math

import tensorflow as tf

# The highest possible mean log-likelihood of a model, in nats.
OPTIMUM = -math.log(32.0)
HALF_WIDTH = 4.0
_UNIFORMS = 3


def from_uniforms(uniforms: tf.Tensor) -> tf.Tensor:
    """Maps uniform numbers to points of the checkerboard.

    The points are twice `x1 = 4 u1 - 2`, `x2 = u2 - 2 [u3 < 1/2] + (floor(x1) mod 2)` (Behrmann et al. 2019, released code).

    Args:
      uniforms: Uniform numbers in [0, 1), shape `[..., 3, B]`.

    Returns:
      Points, shape `[..., 2, B]`.
    """
    first, second, side = tf.unstack(uniforms, _UNIFORMS, axis=-2)
    horizontal = 4 * first - 2
    lower = tf.cast(side < 0.5, uniforms.dtype)
    vertical = second - 2 * lower + tf.math.floormod(tf.floor(horizontal), 2)
    return 2 * tf.stack([horizontal, vertical], axis=-2)


def log_prob(x: tf.Tensor) -> tf.Tensor:
    """Computes the log density in nats: -ln 32 within the squares, minus infinity elsewhere.

    Args:
      x: Points, shape `[..., 2, B]`.

    Returns:
      Log densities, shape `[..., B]`.
    """
    column, row = tf.unstack(tf.floor(x / 2), 2, axis=-2)
    within = tf.reduce_all((x >= -HALF_WIDTH) & (x < HALF_WIDTH), axis=-2)
    inside = within & (tf.math.floormod(column + row, 2) == 0)
    return tf.where(inside, tf.cast(OPTIMUM, x.dtype), tf.cast(-math.inf, x.dtype))
