"""Pixels to levels to the cube, and back."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim, center, quantize, to_images

ALL_PIXELS = tf.range(256, dtype=tf.int32)


@pytest.mark.parametrize("num_bits", range(1, 9))
def test_levels_and_lower_edges(num_bits):
    pixels = tf.cast(ALL_PIXELS, tf.uint8)
    levels = quantize(pixels, num_bits)
    assert levels.dtype == tf.uint8
    np.testing.assert_array_equal(levels, ALL_PIXELS.numpy() // 2 ** (8 - num_bits))
    v = center(levels, num_bits)
    assert v.dtype == tf.float32 and v.numpy().min() == -0.5 and v.numpy().max() == 0.5 - 2.0**-num_bits
    # A bin gives its lower edge, from its own lower edge to just below the next one.
    width = 2.0**-num_bits
    edges = ALL_PIXELS.numpy() // 2 ** (8 - num_bits) * 2 ** (8 - num_bits)
    for inside in (0.0, 0.5 * width, 0.999 * width):
        np.testing.assert_array_equal(to_images(v + inside, num_bits), edges)


def test_images_of_values_outside_the_cube():
    values = tf.constant([-1e30, -0.6, -0.5, 0.4999, 0.5, 0.6, 1e30, np.inf, -np.inf, np.nan])
    assert to_images(values, 8).numpy().tolist() == [0, 0, 0, 255, 255, 255, 255, 255, 0, 0]
    # The released code clips at 255 also where the highest bin's edge is lower.
    assert to_images(values, 5).numpy().tolist() == [0, 0, 0, 248, 255, 255, 255, 255, 0, 0]


def test_wrong_inputs():
    for images in (tf.zeros([2]), tf.zeros([2], tf.int32), [1, 2]):
        with pytest.raises(ValueError, match=r"must be uint8 in 0 \.\.\. 255, got"):
            quantize(images, 8)
    for num_bits in (0, 9, -1):
        with pytest.raises(ValueError, match=f"num_bits must be 1 to 8, got {num_bits}"):
            quantize(tf.zeros([2], tf.uint8), num_bits)


def test_bits_per_dim():
    np.testing.assert_allclose(bits_per_dim(tf.constant(-12 * np.log(2.0)), 3), 4.0, rtol=1e-6)
