"""Auxiliary images: the same image with fewer pixels, and maps between the two sizes."""

import tensorflow as tf

from tfflows.math.shapes import sizes_of


def area_mean(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Means over blocks of `factor x factor` pixels, rounded to the nearest level (halves up): uint8 `[B, H/f, W/f, C]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.auxiliary import area_mean, enlarge
      >>> image = tf.constant([[[[1], [2]], [[3], [4]]]], tf.uint8)
      >>> small = area_mean(image, 2)
      >>> small.numpy().tolist()  # 2.5 is rounded up
      [[[[3]]]]
      >>> enlarge(small, 2).numpy()[0, :, :, 0].tolist()
      [[3, 3], [3, 3]]

    References:
      Lucas & Verbeek 2018, section 4.2, https://arxiv.org/abs/1711.11479, which does not say how its smaller images are made.
    """
    if factor == 1:
        return images
    means = tf.nn.avg_pool2d(tf.cast(images, tf.float32), factor, factor, "VALID")
    return tf.cast(tf.floor(means + 0.5), tf.uint8)


def enlarge(x: tf.Tensor, factor: int) -> tf.Tensor:
    """Repeats each pixel `factor x factor` times: `[B, H, W, C] -> [B, f H, f W, C]`."""
    if factor == 1:
        return x
    batch, height, width, channels = sizes_of(x)
    # `tf.repeat` and the gradient of `tf.tile` compute shapes on a GPU and wait for them.
    copies = tf.broadcast_to(x[:, :, tf.newaxis, :, tf.newaxis], [batch, height, factor, width, factor, channels])
    return tf.reshape(copies, [batch, factor * height, factor * width, channels])
