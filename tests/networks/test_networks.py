"""The conditioners: zero at init, shapes, seeds, precisions, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.networks import ActNormConv2D, CouplingNetwork, TopPrior, ZeroConv2D, ZeroDense


def built(layer, *shape):
    layer.build([None, *shape])
    return layer


def images(dtype=tf.float32):
    return tf.random.stateless_normal([3, 4, 6, 5], [0, 1], dtype=dtype)


def test_zero_at_init():
    np.testing.assert_array_equal(built(CouplingNetwork(8, 10), 4, 6, 5)(images()), tf.zeros([3, 4, 6, 10]))
    np.testing.assert_array_equal(built(ZeroConv2D(7), 4, 6, 5)(images()), tf.zeros([3, 4, 6, 7]))
    np.testing.assert_array_equal(built(ZeroDense(7), 5)(tf.ones([3, 5])), tf.zeros([3, 7]))
    prior = TopPrior([2, 2, 4], num_classes=3)
    prior.build()
    np.testing.assert_array_equal(prior(tf.constant([0, 2])), tf.zeros([2, 2, 2, 8]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("make", [lambda **k: ActNormConv2D(7, **k), lambda **k: ZeroConv2D(7, **k)])
def test_convolutions(make, padding, dtype):
    layer = built(make(padding=padding, dtype=dtype), 4, 6, 5)
    for index, variable in enumerate(layer.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [index, 2], dtype=dtype))
    x = images(dtype)
    scale = tf.exp(3 * layer.log_scale.value)
    if padding == "border":
        ring = tf.pad(tf.zeros([3, 4, 6, 1], x.dtype), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1)
        joined = tf.concat([tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), ring], axis=-1)
        plain = tf.nn.conv2d(joined, layer.kernel.value, 1, "VALID")
    else:
        plain = tf.nn.conv2d(x, layer.kernel.value, 1, "SAME")
    assert layer.kernel.shape == (3, 3, 6 if padding == "border" else 5, 7)
    y = layer(x)
    assert y.dtype == dtype and layer.compute_output_shape((None, 4, 6, 5)) == (None, 4, 6, 7)
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(
        y, (plain + layer.bias.value) * scale, rtol=tolerance, atol=tolerance * tf.reduce_max(scale)
    )


def test_1x1_convolutions_need_no_border():
    assert built(ActNormConv2D(7, kernel_size=1), 4, 6, 5).kernel.shape == (1, 1, 5, 7)


def test_kernels_follow_the_seed():
    kernels = [built(ActNormConv2D(64, seed=seed), 4, 6, 16).kernel.numpy() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.05
    np.testing.assert_allclose(kernels[0].std(), 0.05, rtol=0.03)
    network = built(CouplingNetwork(16, 4, seed=0), 4, 6, 16)
    assert np.abs(network.hidden1.kernel.numpy()[1, 1, :16] - network.hidden2.kernel.numpy()[0, 0]).max() > 0.05


@pytest.mark.parametrize("use_actnorm", [True, False])
def test_data_dependent_init_of_a_convolution(use_actnorm):
    layer = built(ActNormConv2D(7, use_actnorm=use_actnorm), 4, 6, 5)
    x = 10 * images() + 3
    before = layer(x)
    y = layer.initialize(x)
    np.testing.assert_array_equal(y, layer(x))
    if use_actnorm:
        np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0.0, atol=1e-4)
        np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1.0, rtol=1e-4)
    else:
        np.testing.assert_array_equal(y, before)
        assert len(layer.trainable_variables) == 2


def test_every_variable_of_a_coupling_network_is_trained():
    network = built(CouplingNetwork(8, 10), 4, 6, 5)
    assert len(network.trainable_variables) == 9
    for index, variable in enumerate(network.trainable_variables):
        variable.assign_add(0.1 * tf.random.stateless_normal(variable.shape, [index, 2]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images()) ** 2)
    for gradient in tape.gradient(loss, [v.value for v in network.trainable_variables]):
        assert np.abs(gradient).max() > 0


def test_top_prior_varies_at_the_border_and_with_the_label_alone():
    prior = TopPrior([4, 4, 3], num_classes=5)
    prior.build()
    for index, variable in enumerate(prior.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [index, 2]))
    out = prior(tf.constant([0, 1, 1])).numpy()
    assert out.shape == (3, 4, 4, 6)
    np.testing.assert_array_equal(out[1], out[2])
    np.testing.assert_allclose(out[:, 1, 1], out[:, 2, 2], rtol=1e-5)
    assert np.abs(out[:, 0, 0] - out[:, 1, 1]).min() > 1e-6
    # The difference of two labels is the same everywhere.
    difference = out[0] - out[1]
    np.testing.assert_allclose(difference, np.broadcast_to(difference[1, 1], difference.shape), rtol=1e-3, atol=1e-4)
    # What the zero image hides gets a gradient of zero: these weights are dead.
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(prior(tf.constant([0])) ** 2)
    gradient = tape.gradient(loss, prior.kernel.value).numpy()
    np.testing.assert_array_equal(gradient[:, :, :6], 0.0)
    assert np.abs(gradient[:, :, 6]).max() > 0


def test_wrong_choices():
    with pytest.raises(ValueError, match="padding must be one of.*'same'"):
        ZeroConv2D(4, padding="same")
    with pytest.raises(ValueError, match="kernel_size must be odd, got 2"):
        ActNormConv2D(4, kernel_size=2)


def test_layers_work_in_keras_models():
    inputs = keras.Input([4, 6, 5])
    model = keras.Model(inputs, built(CouplingNetwork(8, 10), 4, 6, 5)(inputs))
    assert model.output_shape == (None, 4, 6, 10) and len(model.trainable_variables) == 9


@pytest.mark.parametrize("filters", [2, 6])
def test_deinterleaved_output_has_the_even_channels_first(filters):
    plain, halves = (built(ZeroConv2D(filters, deinterleave=flag), 4, 6, 5) for flag in (False, True))
    for index, variable in enumerate(plain.variables):
        value = tf.random.stateless_normal(variable.shape, [7, index])
        variable.assign(value)
        halves.variables[index].assign(value)
    expected = plain(images()).numpy()
    np.testing.assert_allclose(
        halves(images()), np.concatenate([expected[..., ::2], expected[..., 1::2]], axis=-1), rtol=1e-5, atol=1e-5
    )


def test_odd_number_of_filters_cannot_be_deinterleaved():
    with pytest.raises(ValueError, match="even number of filters, got 5"):
        ZeroConv2D(5, deinterleave=True)
