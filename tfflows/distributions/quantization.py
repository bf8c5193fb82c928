"""Maps pixels to points of the unit cube around zero and back (Glow, eq. 2)."""

import math

import tensorflow as tf


def quantize(images: tf.Tensor, num_bits: int) -> tf.Tensor:
    """Levels of uint8 images at `num_bits` bits: `floor(x / 2**(8 - num_bits))`, uint8 in `0 ... 2**num_bits - 1`.

    Raises:
      ValueError: If `num_bits` is not in 1 ... 8, or `images` are not uint8.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.quantization import center, quantize, to_images
      >>> levels = quantize(tf.constant([0, 100, 255], tf.uint8), num_bits=2)
      >>> print(levels.numpy())
      [0 1 3]
      >>> print(center(levels, num_bits=2).numpy())
      [-0.5  -0.25  0.25]
      >>> print(to_images(center(levels, num_bits=2), num_bits=2).numpy())
      [  0  64 192]
    """
    if not 1 <= num_bits <= 8:
        raise ValueError(f"num_bits must be 1 to 8, got {num_bits}.")
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8:
        raise ValueError(f"Images must be uint8 in 0 ... 255, got {images.dtype}.")
    return tf.bitwise.right_shift(images, tf.cast(8 - num_bits, tf.uint8))


def center(levels: tf.Tensor, num_bits: int, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """`q / 2**num_bits - 1/2`, in [-1/2, 1/2): the lower edges of the bins, which are `2**-num_bits` wide."""
    return tf.cast(levels, dtype) / 2**num_bits - 0.5


def to_images(values: tf.Tensor, num_bits: int) -> tf.Tensor:
    """uint8 images from continuous values: the lower edge of each value's bin, `floor((v + 1/2) n) * 256 / n`, clipped."""
    num_bins = 2**num_bits
    images = tf.floor((values + 0.5) * num_bins) * (256.0 / num_bins)
    # NaN has no place in an integer; clipping first keeps the cast defined.
    images = tf.where(tf.math.is_nan(images), tf.zeros_like(images), images)
    return tf.cast(tf.clip_by_value(images, 0.0, 255.0), tf.uint8)


def bits_per_dim(log_prob: tf.Tensor, num_dimensions: int) -> tf.Tensor:
    """`-log_prob / (ln 2 * num_dimensions)`: from nats per image to bits per dimension.

    Example:
      >>> import math
      >>> from tfflows.distributions.quantization import bits_per_dim
      >>> print(round(bits_per_dim(-12 * math.log(256), num_dimensions=12), 3))
      8.0
    """
    return -log_prob / (math.log(2.0) * num_dimensions)
