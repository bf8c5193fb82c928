"""Convolutions of the released Glow code: a border channel instead of plain zero padding."""

import numpy as np
import tensorflow as tf


def border_indicator(height, width, kernel_size, dtype=tf.float32):
    """1 on the padding ring of a SAME convolution, 0 inside; shape `[1, H + 2 p, W + 2 p, 1]`, `p = kernel_size // 2`."""
    padding = kernel_size // 2
    inside = tf.zeros([1, height, width, 1], dtype)
    return tf.pad(inside, [[0, 0], [padding, padding], [padding, padding], [0, 0]], constant_values=1)


def taps_on_border(height, width, kernel_size):
    """Which taps of a SAME convolution fall on the padding, at each position; bool `[H, W, k, k]`.

    NumPy for Python sizes, so that a graph holds a constant; else a `Tensor`.
    """
    rows = _taps_outside(height, kernel_size)
    columns = _taps_outside(width, kernel_size)
    return rows[:, None, :, None] | columns[None, :, None, :]


def _taps_outside(size, kernel_size):
    positions = np.arange(size) if isinstance(size, int) else tf.range(size)
    taps = positions[:, None] + np.arange(kernel_size, dtype=np.int32) - kernel_size // 2
    return (taps < 0) | (taps >= size)


def border_convolution(height, width, border_kernel):
    """What the border channel adds to a convolution: a map of shape `[1, height, width, C_out]`, zero in the interior.

    At each position the sum of the taps that fall on the padding, as one matrix product: a convolution of one channel costs
    more.

    Args:
      height: Of the image, Python `int` or scalar `Tensor`.
      width: Of the image.
      border_kernel: `Tensor`, shape `[k, k, 1, C_out]`, k odd.
    """
    size, filters = border_kernel.shape[0], border_kernel.shape[-1]
    taps = tf.cast(taps_on_border(height, width, size), border_kernel.dtype)
    sums = tf.matmul(tf.reshape(taps, [-1, size * size]), tf.reshape(border_kernel, [size * size, filters]))
    return tf.reshape(sums, [1, height, width, filters])


def convolution_with_border(x, kernel, dtype=None):
    """Convolution of `x` zero-padded and joined with a channel that is 1 on the padding and 0 inside (released Glow).

    The channel's part depends on neither batch nor data, so it is computed once for the batch instead of being concatenated
    to every image.

    Args:
      x: `Tensor`, shape `[B, H, W, C]`.
      kernel: `Tensor`, shape `[k, k, C + 1, C_out]`, k odd; the last input channel belongs to the border.
      dtype: In which `x` is convolved; default: the kernel's.

    Returns:
      `(inner, border)`: `[B, H, W, C_out]` of `dtype` and `[1, H, W, C_out]` of the kernel's, to be added.
    """
    channels = kernel.shape[2] - 1
    # The gradient of a split is one concatenation, that of two slices pads both with zeros and adds them.
    inner_kernel, border_kernel = tf.split(kernel, [channels, 1], axis=2)
    inner = tf.nn.conv2d(x, tf.cast(inner_kernel, dtype or kernel.dtype), strides=1, padding="SAME")
    height, width = _image_size(x)
    return inner, border_convolution(height, width, border_kernel)


def deinterleave(parameters):
    """The even entries of the last axis, then the odd ones: `[0, 1, 2, 3] -> [0, 2, 1, 3]`."""
    *outer, size = parameters.shape
    pairs = tf.reshape(parameters, [*outer, size // 2, 2])
    return tf.concat(tf.unstack(pairs, axis=-1), axis=-1)  # on CPU a transposition of few numbers takes far longer


def _image_size(x):
    shape = tf.shape(x)
    return tuple(shape[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
