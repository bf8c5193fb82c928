"""The layer norm of the gated networks: Keras' values and gradients, and derivatives of these."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.gating import layer_norm


def inputs(dtype):
    x = 1 + 3 * tf.random.stateless_normal([5, 2, 2, 6], [1, 0], dtype=tf.float64)
    scale = 1 + 0.3 * tf.random.stateless_normal([6], [1, 1], dtype=tf.float64)
    bias = tf.random.stateless_normal([6], [1, 2], dtype=tf.float64)
    return [tf.cast(value, dtype) for value in (x, scale, bias)]


def norm(*values):
    return layer_norm(*values, 1e-5)


def keras_norm(*values):
    return keras.ops.layer_normalization(*values, axis=-1, epsilon=1e-5)


def gradients(run, values):
    """The output, and gradients of a sum of its sines."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = run(*values)
        total = tf.reduce_sum(tf.sin(y))
    return y, tape.gradient(total, values)


@pytest.mark.parametrize("graph", [False, True])
def test_values_and_gradients_are_those_of_keras(graph):
    values = inputs("float32")
    y, found = tf.function(gradients)(norm, values) if graph else gradients(norm, values)
    expected_y, expected = gradients(keras_norm, values)
    np.testing.assert_allclose(y, expected_y, rtol=1e-6, atol=1e-6)
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5)


def test_gradients_where_the_variance_overflows():
    values = [1e37 * inputs("float32")[0], *inputs("float32")[1:]]
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(1e7 * norm(*values))
    for gradient in tape.gradient(total, values):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_are_those_of_finite_differences(graph):
    values = inputs("float64")
    along = [tf.random.stateless_normal(value.shape, [2, 0], dtype=tf.float64) for value in values]

    def products(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            _, found = gradients(norm, values)
            total = tf.add_n([tf.reduce_sum(g * a) for g, a in zip(found, along, strict=True)])
        return tape.gradient(total, values)

    step = 1e-5
    above, below = (
        gradients(norm, [value + sign * step * a for value, a in zip(values, along, strict=True)])[1]
        for sign in (1, -1)
    )
    second = tf.function(products)(values) if graph else products(values)
    for value, high, low in zip(second, above, below, strict=True):
        np.testing.assert_allclose(value, (high - low) / (2 * step), rtol=1e-6, atol=1e-6)
