"""Convolutions in bfloat16 are sums in float32, forwards and backwards, whatever the machine has."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math import convolution

CASES = {
    "1x1": (1, lambda x, kernel: convolution.conv2d(x, kernel)),
    "3x3": (3, lambda x, kernel: convolution.conv2d(x, kernel)),
    "valid": (3, lambda x, kernel: convolution.conv2d(x, kernel, padding="VALID")),
    "strided": (3, lambda x, kernel: convolution.conv2d(x, kernel, strides=2)),
    "transposed": (3, lambda x, kernel: convolution.conv2d_transpose(x, kernel, [16, 32, 32, 3])),
}


def output_and_gradients(convolve, x, kernel):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = convolve(x, kernel)
        total = tf.reduce_sum(tf.cast(y, tf.float32))
    return [y, *tape.gradient(total, [x, kernel])]


@pytest.mark.parametrize("has_units", [None, False], ids=["as the machine is", "without units for bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_bfloat16_sums_in_float32(monkeypatch, name, has_units):
    if has_units is not None:
        monkeypatch.setattr(convolution, "sums_bfloat16_in_float32", lambda: has_units)
    size, convolve = CASES[name]
    # Of one sign, so that a sum that stops growing shows.
    x = tf.cast(1.0 + 0.1 * tf.random.stateless_normal([16, 16, 16, 3], [0, 1]), tf.bfloat16)
    kernel = tf.cast(1.0 + 0.1 * tf.random.stateless_normal([size, size, 3, 3], [0, 2]), tf.bfloat16)
    halves = output_and_gradients(convolve, x, kernel)
    wholes = output_and_gradients(convolve, tf.cast(x, tf.float32), tf.cast(kernel, tf.float32))
    for half, whole in zip(halves, wholes, strict=True):
        assert half.dtype == tf.bfloat16
        np.testing.assert_allclose(tf.cast(half, tf.float32), whole, rtol=0.01)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_other_dtypes_are_convolved_as_by_tensorflow(dtype):
    x = tf.random.stateless_normal([2, 5, 6, 3], [0, 1], dtype=dtype)
    kernel = tf.random.stateless_normal([3, 3, 3, 2], [0, 2], dtype=dtype)
    np.testing.assert_array_equal(convolution.conv2d(x, kernel), tf.nn.conv2d(x, kernel, 1, "SAME"))
    back = tf.random.stateless_normal([3, 3, 2, 3], [0, 3], dtype=dtype)
    np.testing.assert_array_equal(
        convolution.conv2d_transpose(x, back, [2, 10, 12, 2]),
        tf.nn.conv2d_transpose(x, back, [2, 10, 12, 2], 2, "SAME"),
    )
