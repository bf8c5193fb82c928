"""Auxiliary images: fewer pixels of the same image, and maps between the two sizes."""

import tensorflow as tf


def area_mean(images, factor):
    """Means over blocks of `factor x factor` pixels, rounded to the nearest level (halves up): uint8 `[B, H/f, W/f, C]`.

    Source: Lucas & Verbeek 2018, section 4.2, which does not say how its smaller images are made.
    """
    if factor == 1:
        return images
    means = tf.nn.avg_pool2d(tf.cast(images, tf.float32), factor, factor, "VALID")
    return tf.cast(tf.floor(means + 0.5), tf.uint8)


def enlarge(x, factor):
    """Each pixel `factor x factor` times: `[B, H, W, C] -> [B, f H, f W, C]`."""
    return x if factor == 1 else tf.repeat(tf.repeat(x, factor, axis=1), factor, axis=2)
