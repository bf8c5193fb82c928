"""Determinants, inverses and LU factors."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math import invertible_conv


def matrix(channels, seed=0, dtype=tf.float64):
    return tf.cast(tf.random.stateless_normal([channels, channels], [seed, 1], dtype=tf.float64), dtype)


@pytest.mark.parametrize("channels", [1, 2, 7, 48])
def test_log_abs_det_and_its_gradients(channels):
    weight = matrix(channels)
    with tf.GradientTape() as outer:
        outer.watch(weight)
        with tf.GradientTape() as inner:
            inner.watch(weight)
            value = invertible_conv.log_abs_det(weight)
        gradient = inner.gradient(value, weight)
    np.testing.assert_allclose(value, np.linalg.slogdet(weight)[1], rtol=1e-9, atol=1e-12)
    inverse = np.linalg.inv(weight)
    np.testing.assert_allclose(gradient, inverse.T, rtol=1e-6, atol=1e-9)
    # d(sum W^-T)/dW = -(W^-1 1)(1^T W^-1), transposed.
    second = -np.outer(inverse.sum(axis=1), inverse.sum(axis=0)).T
    np.testing.assert_allclose(outer.gradient(gradient, weight), second, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_log_abs_det_neither_overflows_nor_underflows(scale):
    weight = scale * matrix(48, dtype=tf.float32)
    expected = 48 * np.log(scale) + np.linalg.slogdet(matrix(48))[1]
    np.testing.assert_allclose(invertible_conv.log_abs_det(weight), expected, rtol=1e-6)


def test_log_abs_det_of_a_batch_is_that_of_each():
    weights = tf.random.stateless_normal([2, 3, 5, 5], [1, 2], dtype=tf.float64)
    upstream = tf.random.stateless_normal([2, 3], [3, 4], dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = invertible_conv.log_abs_det(weights)
    np.testing.assert_allclose(values, np.linalg.slogdet(weights)[1], rtol=1e-9)
    expected = upstream[..., None, None] * np.swapaxes(np.linalg.inv(weights), -1, -2)
    np.testing.assert_allclose(tape.gradient(values, weights, upstream), expected, rtol=1e-9)


def test_log_abs_det_and_inverse_of_a_batch_and_their_gradients():
    weights = tf.random.stateless_normal([3, 5, 5], [1, 2], dtype=tf.float64)
    upstream = [tf.random.stateless_normal(shape, [3, 4], dtype=tf.float64) for shape in ([3], [3, 5, 5])]

    def results_and_gradients(function):
        with tf.GradientTape() as outer:
            outer.watch(weights)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                results = function(weights)
            first = tape.gradient(results, weights, upstream)
        return *results, first, outer.gradient(first, weights)

    def apart(weight):
        return invertible_conv.log_abs_det(weight), invertible_conv.inverse_matrix(weight)

    found = results_and_gradients(invertible_conv.log_abs_det_and_inverse)
    for value, expected in zip(found, results_and_gradients(apart), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9)


def test_orthogonal_matrix():
    q = invertible_conv.orthogonal_matrix(12, [3, 0], tf.float64)
    np.testing.assert_allclose(tf.matmul(q, q, transpose_a=True), np.eye(12), atol=1e-12)
    np.testing.assert_array_equal(q, invertible_conv.orthogonal_matrix(12, [3, 0], tf.float64))
    assert np.abs(q - invertible_conv.orthogonal_matrix(12, [4, 0], tf.float64)).max() > 0.1


@pytest.mark.parametrize("channels", [1, 5, 24])
def test_lu_factors_compose_to_the_matrix(channels):
    weight = matrix(channels)
    permutation, lower, upper, diagonal = invertible_conv.lu_factors(weight)
    np.testing.assert_array_equal(np.sort(permutation, axis=1)[:, -1], np.ones(channels))
    np.testing.assert_array_equal(lower, np.tril(lower, -1))
    np.testing.assert_array_equal(upper, np.triu(upper, 1))
    np.testing.assert_allclose(invertible_conv.lu_compose(permutation, lower, upper, diagonal), weight, atol=1e-12)
    inverse = invertible_conv.lu_compose_inverse(permutation, lower, upper, diagonal)
    np.testing.assert_allclose(tf.matmul(inverse, weight), np.eye(channels), atol=1e-9)
    # What stands outside the strict triangles does not count.
    junk = np.full([channels, channels], 7.0)
    dirty = invertible_conv.lu_compose(permutation, lower + np.triu(junk), upper + np.tril(junk), diagonal)
    np.testing.assert_allclose(dirty, weight, atol=1e-12)


def test_channels_are_row_vectors():
    x, weight = tf.random.stateless_normal([2, 3, 4, 5], [1, 1]), matrix(5, dtype=tf.float32)
    y = invertible_conv.matmul_channels(x, weight)
    np.testing.assert_allclose(y[1, 2, 3], x[1, 2, 3].numpy() @ weight.numpy(), rtol=1e-5)
    convolution = tf.nn.conv2d(x, weight[tf.newaxis, tf.newaxis], 1, "SAME")
    np.testing.assert_allclose(y, convolution, rtol=1e-4, atol=1e-5)
