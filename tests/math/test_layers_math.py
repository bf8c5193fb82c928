"""Squeeze, coupling and actnorm as functions of tensors."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.math import actnorm, coupling, squeeze
from tfflows.math.convolution import (
    convolution_with_border,
    deinterleave,
)
from tfflows.math.shapes import flatten_batch, unflatten_batch


def test_channel_orders():
    x = tf.reshape(tf.range(2 * 4 * 6 * 3), [2, 4, 6, 3])
    channel_first = squeeze.squeeze(x, 2, "channel_first").numpy()
    position_first = squeeze.squeeze(x, 2, "position_first").numpy()
    np.testing.assert_array_equal(position_first, tf.nn.space_to_depth(x, 2))
    for c, dy, dx in np.ndindex(3, 2, 2):
        np.testing.assert_array_equal(channel_first[..., 4 * c + 2 * dy + dx], x[:, dy::2, dx::2, c])


@pytest.mark.parametrize("order", squeeze.CHANNEL_ORDERS)
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_unsqueeze_with_unknown_sizes(order, factor):
    x = tf.random.stateless_normal([2, 6, 12, 2], [0, 1])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2])])
    def there_and_back(x):
        y = squeeze.squeeze(x, factor, order)
        return y, squeeze.unsqueeze(y, factor, order)

    y, back = there_and_back(x)
    assert y.shape == [2, 6 // factor, 12 // factor, 2 * factor**2]
    np.testing.assert_array_equal(back, x)


def test_where_coupling_networks_hold_their_parameters():
    parameters = tf.constant([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
    shift, scale = coupling.interleaved(parameters)
    assert shift.numpy().tolist() == [[0, 2, 4]] and scale.numpy().tolist() == [[1, 3, 5]]
    shift, scale = coupling.contiguous(parameters)
    assert shift.numpy().tolist() == [[0, 1, 2]] and scale.numpy().tolist() == [[3, 4, 5]]


def test_released_scale_at_zero():
    np.testing.assert_allclose(tf.exp(coupling.log_sigmoid_scale(tf.constant(0.0))), 0.8807971, rtol=1e-6)
    assert np.isfinite(coupling.log_sigmoid_scale(tf.constant([-1e30, 1e30]))).all()


@pytest.mark.parametrize("shape", [[3], [4, 3], [2, 4, 3]])
def test_actnorm_log_det_counts_every_activation(shape):
    log_scale = tf.random.stateless_normal(shape, [0, 1], dtype=tf.float64)
    expected = tf.reduce_sum(tf.broadcast_to(log_scale, [2, 4, 3]))
    np.testing.assert_allclose(actnorm.per_event_log_det(log_scale, [2, 4, 3]), expected, rtol=1e-12)


def test_border_channel_is_one_on_the_padding_alone():
    ring = np.ones([2, 5, 7, 1], np.float32)
    ring[:, 1:-1, 1:-1] = 0
    x = tf.random.stateless_normal([2, 3, 5, 4], [0, 1])
    kernel = tf.random.stateless_normal([3, 3, 5, 6], [0, 2])
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    joined = tf.concat([padded, ring], axis=-1)
    inner, border = convolution_with_border(x, kernel)
    np.testing.assert_allclose(inner + border, tf.nn.conv2d(joined, kernel, 1, "VALID"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [[], [4], [2, 3], [1, 2, 2]])
@pytest.mark.parametrize("event", [[], [5], [2, 2, 3]])
def test_batch_axes_fold_and_unfold(batch, event):
    x = tf.random.stateless_normal([*batch, *event], [0, 1])
    flat = flatten_batch(x, len(event))
    assert flat.shape == [np.prod(batch, dtype=int), *event]
    np.testing.assert_array_equal(unflatten_batch(flat, x, len(event)), x)


@pytest.mark.parametrize(("dtype", "rtol"), [(tf.float32, 1e-5), (tf.float64, 1e-12)])
def test_the_fused_coupling_and_its_gradient_equal_the_parts(dtype, rtol):
    x, shift, raw_scale, d_y, d_log_scale = (
        3 * tf.random.stateless_normal([2, 4, 5], [seed, 0], dtype=dtype) for seed in range(5)
    )

    def parts(x, shift, raw_scale):
        log_scale = coupling.log_sigmoid_scale(raw_scale)
        return coupling.shift_then_scale(x, shift, log_scale), log_scale

    found = []
    for function in (coupling.shift_then_sigmoid_scale, parts):
        with tf.GradientTape() as tape:
            tape.watch([x, shift, raw_scale])
            results = function(x, shift, raw_scale)
        gradients = tape.gradient(results, [x, shift, raw_scale], output_gradients=[d_y, d_log_scale])
        found.append([*results, *gradients])
    for fused, expected in zip(*found, strict=True):
        np.testing.assert_allclose(fused, expected, rtol=rtol, atol=rtol)


def test_deinterleaved_parameters():
    np.testing.assert_array_equal(deinterleave(tf.range(6)), [0, 2, 4, 1, 3, 5])
    np.testing.assert_array_equal(deinterleave(tf.reshape(tf.range(8), [2, 4])), [[0, 2, 1, 3], [4, 6, 5, 7]])
