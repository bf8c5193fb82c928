"""`tfflows.math.attention`: the formula, and its gradient beside automatic differentiation."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.attention import attention, self_attention


def plain(query, key, value):
    return tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True)), value)


def inputs(batch_shape, dtype=tf.float64, scale=1.0):
    """q, k and v of 5 queries and 7 keys, and a gradient of the output."""
    shapes = [(5, 3), (7, 3), (7, 4), (5, 4)]
    arrays = [tf.random.stateless_normal([*batch_shape, *s], [0, i], dtype=tf.float64) for i, s in enumerate(shapes)]
    return [tf.cast(scale * array, dtype) for array in arrays]


def value_and_gradients(function, query, key, value, upstream):
    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        out = function(query, key, value)
    return out, *tape.gradient(out, [query, key, value], upstream)


@pytest.mark.parametrize("batch_shape", [[], [2, 3]])
@pytest.mark.parametrize("mode", ["eager", "function", "xla"])
def test_value_and_gradients_are_those_of_the_formula(batch_shape, mode):
    arguments = inputs(batch_shape)
    run = value_and_gradients
    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "xla")
    for ours, expected in zip(run(attention, *arguments), value_and_gradients(plain, *arguments), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_gradients_can_be_differentiated_again():
    *arguments, upstream = inputs([2])

    def squared_gradients(function):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            _, *gradients = value_and_gradients(function, *arguments, upstream)
            total = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients])
        return tape.gradient(total, arguments)

    for ours, expected in zip(squared_gradients(attention), squared_gradients(plain), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-10, 1e2, 1e4])
def test_is_finite_on_extreme_input(scale):
    for array in value_and_gradients(attention, *inputs([2], tf.float32, scale)):
        assert np.all(np.isfinite(array))


@pytest.mark.parametrize(("dtype", "tolerance"), [(tf.float32, 2e-5), (tf.bfloat16, 3e-2)])
def test_lower_precision_comes_close(dtype, tolerance):
    arguments = inputs([2, 3], dtype)
    exact = value_and_gradients(plain, *(tf.cast(array, tf.float64) for array in arguments))
    for ours, expected in zip(value_and_gradients(attention, *arguments), exact, strict=True):
        assert ours.dtype == dtype
        error = np.abs(tf.cast(ours, tf.float64) - expected)
        assert np.max(error) <= tolerance * np.max(np.abs(expected))


def test_self_attention_is_attention_head_by_head():
    batch, height, width, channels, heads = 2, 3, 4, 6, 2
    x = tf.random.stateless_normal([batch, height, width, 3 * channels], [0, 0], dtype=tf.float64)
    size = channels // heads
    flat = np.reshape(x, [batch, height * width, 3 * channels])
    expected = np.empty([batch, height * width, channels])
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        query, key, value = (flat[..., part * channels :][..., own] for part in range(3))
        expected[..., own] = plain(query / np.sqrt(size), key, value)
    np.testing.assert_allclose(self_attention(x, heads), expected.reshape([batch, height, width, channels]), rtol=1e-10)
