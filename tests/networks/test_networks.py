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
    np.testing.assert_allclose(y, layer(x), rtol=1e-5, atol=1e-5)
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
    with pytest.raises(ValueError, match=r"padding must be one of.*'same'"):
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


def with_and_without_bfloat16(make):
    """Two networks with the same variables, the second under the policy `mixed_bfloat16`."""
    networks = [built(make(dtype=policy), 4, 6, 5) for policy in ("float32", "mixed_bfloat16")]
    for index, variables in enumerate(zip(*(network.variables for network in networks), strict=True)):
        value = 0.1 * tf.random.stateless_normal(variables[0].shape, [index, 3])
        for variable in variables:
            variable.assign(variable.value + value)
    return networks


BFLOAT16_NETWORKS = {
    "coupling_border": lambda **k: CouplingNetwork(16, 10, "border", **k),
    "coupling_zeros": lambda **k: CouplingNetwork(16, 10, "zeros", **k),
    "zero_convolution": lambda **k: ZeroConv2D(10, **k),
}


@pytest.mark.parametrize("make", BFLOAT16_NETWORKS.values(), ids=BFLOAT16_NETWORKS)
def test_bfloat16_stays_inside_networks(make):
    whole, half = with_and_without_bfloat16(make)
    results = []
    for network in (whole, half):
        variables = [variable.value for variable in network.trainable_variables]
        with tf.GradientTape() as tape:
            x = images()
            tape.watch(x)
            y = network(x)
            loss = tf.reduce_mean(y**2)
        gradients = tape.gradient(loss, [x, *variables])
        assert {tensor.dtype for tensor in (y, *variables, *gradients)} == {tf.float32}
        results.append([y, *gradients])
    # bfloat16 has eight bits; in gradients a relu that is near its kink may count or not.
    for tensor, other, tolerance in zip(*results, [0.01] + len(results[0][1:]) * [0.1], strict=True):
        assert 1e-5 < tf.norm(tensor - other) / tf.norm(tensor) < tolerance


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_gradients_of_bfloat16_networks_are_summed_in_float32(padding, kernel_size):
    x = 1.0 + 0.1 * tf.random.stateless_normal([64, 16, 16, 5], [0, 1])  # 16,384 places, all of one sign
    gradients = []
    for policy in ("float32", "mixed_bfloat16"):
        layer = built(ActNormConv2D(4, kernel_size, padding, dtype=policy), 16, 16, 5)
        variables = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(x), tf.float32))
        gradients.append(tape.gradient(loss, variables))
    for gradient, expected in zip(*gradients[::-1], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=0.02, atol=0.01 * np.abs(expected).max())


def test_the_parameters_of_a_bfloat16_network_are_not_rounded():
    layer = built(ZeroConv2D(1, kernel_size=1, dtype="mixed_bfloat16"), 4, 6, 5)
    fine = 1.0 + 2.0**-20  # bfloat16 makes it 1
    layer.bias.assign([fine])
    np.testing.assert_array_equal(layer(images()), tf.fill([3, 4, 6, 1], fine))


def test_data_dependent_init_of_a_bfloat16_network():
    network = built(CouplingNetwork(16, 10, dtype="mixed_bfloat16"), 4, 6, 5)
    x = 10 * images() + 3
    y = network.initialize(x)
    assert y.dtype == tf.float32
    hidden = network.hidden1(x)
    assert hidden.dtype == tf.bfloat16
    hidden = tf.cast(hidden, tf.float32)
    np.testing.assert_allclose(np.mean(hidden, (0, 1, 2)), 0.0, atol=0.02)
    np.testing.assert_allclose(np.std(hidden, (0, 1, 2)), 1.0, rtol=0.02)


def test_variables_may_be_stood_in_for_by_plain_tensors():
    network = built(CouplingNetwork(16, 10, dtype="mixed_bfloat16"), 4, 6, 5)
    network.initialize(images())
    expected = network(images())
    for layer in (network.hidden1, network.hidden2, network.last):
        for name in ("kernel", "bias", "log_scale"):
            layer.__dict__[name] = tf.convert_to_tensor(getattr(layer, name).value)
    np.testing.assert_array_equal(network(images()), expected)
