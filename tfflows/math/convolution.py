"""Convolutions: in bfloat16 with sums in float32, and with the released Glow's border channel; batch axes folded."""

import functools

import numpy as np
import tensorflow as tf


def conv2d(x: tf.Tensor, kernel: tf.Tensor, strides: int | list[int] = 1, padding: str = "SAME") -> tf.Tensor:
    """`tf.nn.conv2d`, whose sums are of float32 also where both arguments are of bfloat16, those of the gradients too.

    Where TensorFlow has no kernels of that kind (`sums_bfloat16_in_float32`), the rounded arguments are convolved in float32.

    Args:
      x: Floating `[B, H, W, C]`.
      kernel: `[k, l, C, C_out]` of the same dtype.
      strides: As in `tf.nn.conv2d`.
      padding: `'SAME'` or `'VALID'`.

    Returns:
      `[B, H', W', C_out]` of the arguments' dtype.
    """
    return _with_float32_sums(lambda x, kernel: tf.nn.conv2d(x, kernel, strides, padding), x, kernel)


def conv2d_transpose(
    x: tf.Tensor, kernel: tf.Tensor, output_shape: tf.Tensor | list, strides: int = 2, padding: str = "SAME"
) -> tf.Tensor:
    """`tf.nn.conv2d_transpose` with the sums of `conv2d`; arguments as in `tf.nn.conv2d_transpose`."""
    return _with_float32_sums(
        lambda x, kernel: tf.nn.conv2d_transpose(x, kernel, output_shape, strides, padding), x, kernel
    )


@functools.cache
def sums_bfloat16_in_float32() -> bool:
    """Whether gradients of a bfloat16 convolution are summed in float32 on this machine's default device.

    They are on GPUs, and on CPUs with units for bfloat16. On others a sum of 16,384 ones was seen to come out as 5,376: bfloat16
    has eight bits, and a sum in it soon grows no more.
    """
    with tf.init_scope():
        ones = tf.ones([1, 128, 128, 1], tf.bfloat16)
        total = tf.raw_ops.Conv2DBackpropFilter(
            input=ones, filter_sizes=[1, 1, 1, 1], out_backprop=ones, strides=[1, 1, 1, 1], padding="SAME"
        )
        return float(tf.cast(total, tf.float32)[0, 0, 0, 0]) == 128 * 128


def _with_float32_sums(convolve, x, kernel):
    if x.dtype != tf.bfloat16 or sums_bfloat16_in_float32():
        return convolve(x, kernel)
    return tf.cast(convolve(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32)), x.dtype)


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
    inner = conv2d(x, tf.cast(inner_kernel, dtype or kernel.dtype))
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
