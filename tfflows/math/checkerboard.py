"""The two colours of a board as two halves of the channels, and back."""

import tensorflow as tf

from tfflows.math.shapes import sizes_of

PATTERNS = ("columns", "checkerboard")


def split_colours(x, pattern):
    """`[..., H, W, C] -> [..., H, W/2, 2 C]`: the first half of the channels is one colour, the second the other.

    Args:
      x: `Tensor` with static rank and channels; W even.
      pattern: `'columns'`: even columns and odd columns; `'checkerboard'`: where row + column is even and where it is odd.
    """
    *batch, height, width, channels = sizes_of(x)
    pairs = tf.reshape(x, [*batch, height, width // 2, 2 * channels])
    pairs = pairs if pattern == "columns" else _swap_in_odd_rows(pairs)
    return tf.ensure_shape(pairs, [*x.shape[:-2], _half(x.shape[-2]), 2 * channels])


def merge_colours(y, pattern):
    """Inverse of `split_colours`: `[..., H, W, C] -> [..., H, 2 W, C/2]`."""
    *batch, height, width, channels = sizes_of(y)
    y = y if pattern == "columns" else _swap_in_odd_rows(y)
    doubled = None if y.shape[-2] is None else 2 * y.shape[-2]
    return tf.ensure_shape(
        tf.reshape(y, [*batch, height, 2 * width, channels // 2]), [*y.shape[:-2], doubled, channels // 2]
    )


def _swap_in_odd_rows(pairs):
    """Exchanges the halves of the channels in every second row."""
    first, second = tf.split(pairs, 2, axis=-1)
    odd = (tf.range(tf.shape(pairs)[-3]) % 2 == 1)[:, tf.newaxis, tf.newaxis]
    return tf.concat([tf.where(odd, second, first), tf.where(odd, first, second)], axis=-1)


def _half(size):
    return None if size is None else size // 2
