"""Convolutions: bfloat16 with sums in float32, and the released Glow's border channel."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def conv2d(x: tf.Tensor, kernel: tf.Tensor, strides: int | Sequence[int] = 1, padding: str = "SAME") -> tf.Tensor:
    """`tf.nn.conv2d`, except that bfloat16 arguments are summed in float32, in the gradients too.

    Where TensorFlow has no kernels of that kind (`sums_bfloat16_in_float32`), the rounded arguments are convolved in float32.

    Args:
      x: Float `[B, H, W, C]`.
      kernel: `[k, l, C, C_out]` in the same dtype.
      strides: As in `tf.nn.conv2d`.
      padding: `'SAME'` or `'VALID'`.

    Returns:
      `[B, H', W', C_out]` in the dtype of the arguments.

    Raises:
      ValueError: If `x` does not have the kernel's number of channels; TensorFlow would take a multiple of it as groups.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.convolution import conv2d
      >>> conv2d(tf.ones([1, 3, 3, 1]), tf.ones([3, 3, 1, 1])).numpy()[0, :, :, 0].tolist()
      [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
    """
    if not x.shape[-1:].is_compatible_with(kernel.shape[2:3]):
        raise ValueError(f"The convolution was built for {kernel.shape[2]} channels, got an input of shape {x.shape}.")
    return _with_float32_sums(lambda x, kernel: tf.nn.conv2d(x, kernel, strides, padding), x, kernel)


def conv2d_transpose(
    x: tf.Tensor, kernel: tf.Tensor, output_shape: tf.Tensor | Sequence, strides: int = 2, padding: str = "SAME"
) -> tf.Tensor:
    """`tf.nn.conv2d_transpose` with the sums of `conv2d`; the arguments are those of `tf.nn.conv2d_transpose`."""
    return _with_float32_sums(
        lambda x, kernel: tf.nn.conv2d_transpose(x, kernel, output_shape, strides, padding), x, kernel
    )


@functools.cache
def sums_bfloat16_in_float32() -> bool:
    """Whether gradients of a bfloat16 convolution are summed in float32 on this machine's default device.

    They are on GPUs, and on CPUs that have bfloat16 units. On other CPUs a sum of 16,384 ones was seen to come out as 5,376:
    bfloat16 has eight significant bits, so a sum in it soon stops growing.
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


def taps_on_border(height: int | tf.Tensor, width: int | tf.Tensor, kernel_size: int) -> np.ndarray | tf.Tensor:
    """Which taps of a SAME convolution fall on the padding, at each position; bool `[H, W, k, k]`.

    A NumPy array for Python sizes, so that a graph holds a constant; otherwise a `Tensor`.
    """
    rows = _taps_outside(height, kernel_size)
    columns = _taps_outside(width, kernel_size)
    return rows[:, None, :, None] | columns[None, :, None, :]


def _taps_outside(size, kernel_size):
    positions = np.arange(size) if isinstance(size, int) else tf.range(size)
    taps = positions[:, None] + np.arange(kernel_size, dtype=np.int32) - kernel_size // 2
    return (taps < 0) | (taps >= size)


def border_convolution(height: int | tf.Tensor, width: int | tf.Tensor, border_kernel: tf.Tensor) -> tf.Tensor:
    """What the border channel adds to a convolution: a map of shape `[1, height, width, C_out]`, zero in the interior.

    At each position it is the sum of the taps that fall on the padding, computed as one matrix product, since a convolution of
    one channel costs more.

    Args:
      height: Height of the image.
      width: Width of the image.
      border_kernel: `[k, k, 1, C_out]`, k odd.
    """
    size, filters = border_kernel.shape[0], border_kernel.shape[-1]
    taps = tf.cast(taps_on_border(height, width, size), border_kernel.dtype)
    sums = tf.matmul(tf.reshape(taps, [-1, size * size]), tf.reshape(border_kernel, [size * size, filters]))
    return tf.reshape(sums, [1, height, width, filters])


def convolution_with_border(
    x: tf.Tensor, kernel: tf.Tensor, dtype: tf.DType | str | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Convolves `x`, zero-padded and joined with a channel that is 1 on the padding and 0 inside (released Glow).

    The channel's part depends on neither the batch nor the data, so it is computed once per batch instead of being concatenated
    to every image.

    Args:
      x: `[B, H, W, C]`.
      kernel: `[k, k, C + 1, C_out]`, k odd; the last input channel belongs to the border.
      dtype: Dtype in which `x` is convolved; default: that of the kernel.

    Returns:
      `(inner, border)`, to be added: `[B, H, W, C_out]` in `dtype` and `[1, H, W, C_out]` in the dtype of the kernel.
    """
    channels = kernel.shape[2] - 1
    # The gradient of a split is one concatenation, that of two slices pads both with zeros and adds them.
    inner_kernel, border_kernel = tf.split(kernel, [channels, 1], axis=2)
    inner = conv2d(x, tf.cast(inner_kernel, dtype or kernel.dtype))
    height, width = _image_size(x)
    return inner, border_convolution(height, width, border_kernel)


def deinterleave(parameters: tf.Tensor) -> tf.Tensor:
    """The even entries of the last axis, then the odd ones: `[0, 1, 2, 3] -> [0, 2, 1, 3]`."""
    *outer, size = parameters.shape
    pairs = tf.reshape(parameters, [*outer, size // 2, 2])
    return tf.concat(tf.unstack(pairs, axis=-1), axis=-1)  # on CPU a transposition of few numbers takes far longer


def _image_size(x):
    shape = tf.shape(x)
    return tuple(shape[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2))
