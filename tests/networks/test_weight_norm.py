"""Convolutions with weight norm, and the networks made of them: what they compute, their data-dependent init, their errors."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.networks import (
    EluCouplingNetwork,
    MaskedConv2D,
    MaskedNetwork,
    ResidualBlock,
    ResidualContextNetwork,
    WeightNormConv2D,
    WeightNormConv2DTranspose,
)

LAYERS = {
    "3x3": lambda **k: WeightNormConv2D(6, 3, **k),
    "1x1": lambda **k: WeightNormConv2D(6, 1, **k),
    "stride": lambda **k: WeightNormConv2D(6, 3, strides=2, **k),
    "transposed": lambda **k: WeightNormConv2DTranspose(6, **k),
    "masked": lambda **k: MaskedConv2D(6, (3, 3), "masked", "B", **k),
    "shifted": lambda **k: MaskedConv2D(6, (5, 2), "shifted", "C", **k),
}
ALL = pytest.mark.parametrize("name", LAYERS)


def images(channels=3, dtype=tf.float64):
    return 2 + tf.random.stateless_normal([5, 4, 6, channels], [0, 1], dtype=dtype)


def built(layer, channels=3):
    layer.build([None, 4, 6, channels])
    return layer


def disturbed(layer):
    for index, variable in enumerate(layer.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [index, 2], dtype=variable.dtype)
        variable.assign_add(0.2 * noise)
    return layer


@ALL
def test_gain_is_the_norm_of_the_kernel(name):
    layer = disturbed(built(LAYERS[name](dtype="float64")))
    axes = (0, 1, 3) if name == "transposed" else (0, 1, 2)
    norm = np.sqrt(np.square(layer.effective_kernel()).sum(axis=axes))
    gain = np.exp(layer.gain.numpy()) if name == "masked" else np.abs(layer.gain.numpy())
    np.testing.assert_allclose(norm, gain, rtol=1e-6 if name == "masked" else 1e-12)


@ALL
def test_starts_as_the_kernel_itself(name):
    layer = built(LAYERS[name](dtype="float64", seed=3))
    np.testing.assert_allclose(layer.effective_kernel(), layer.direction.numpy(), rtol=1e-6)
    again, other = (built(LAYERS[name](dtype="float64", seed=seed)) for seed in (3, 4))
    np.testing.assert_array_equal(layer.direction.numpy(), again.direction.numpy())
    assert np.abs(layer.direction.numpy() - other.direction.numpy()).max() > 0.01


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_dependent_init(name, dtype):
    layer = disturbed(built(LAYERS[name](dtype=dtype)))
    x = images(dtype=dtype)
    returned = layer.initialize(x)
    y = layer(x).numpy()
    tolerance = 1e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(returned, y, atol=tolerance)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=tolerance)
    # Of N - 1, and 1e-6 is added to it.
    np.testing.assert_allclose(y.std(axis=(0, 1, 2), ddof=1), 1, atol=1e-4)
    assert layer.compute_output_shape((None, 4, 6, 3))[1:] == y.shape[1:]


@ALL
def test_constant_channels_stay_finite(name):
    layer = built(LAYERS[name]())
    assert np.isfinite(layer.initialize(tf.zeros([5, 4, 6, 3]))).all()
    assert np.isfinite(layer(tf.zeros([5, 4, 6, 3]))).all()


def test_stride_is_centred_as_in_pytorch():
    layer = disturbed(built(WeightNormConv2D(6, 3, strides=2, dtype="float64")))
    full = tf.nn.conv2d(images(), layer.effective_kernel(), 1, "SAME") + layer.bias.value
    np.testing.assert_allclose(layer(images()), full[:, ::2, ::2], rtol=1e-12)


def test_transposed_is_the_transpose_of_the_strided():
    down, up = (
        disturbed(built(kind(dtype="float64"), channels))
        for kind, channels in (
            (lambda **k: WeightNormConv2D(6, strides=2, **k), 3),
            (lambda **k: WeightNormConv2DTranspose(3, **k), 6),
        )
    )
    kernel = up.effective_kernel()  # [3, 3, 3 outputs, 6 inputs]: of the strided one inputs and outputs
    x, y = images(), tf.random.stateless_normal([5, 2, 3, 6], [0, 4], dtype=tf.float64)
    strided = down._convolve(x, kernel)
    np.testing.assert_allclose(tf.reduce_sum(strided * y), tf.reduce_sum(x * up._convolve(y, kernel)), rtol=1e-12)


def test_masked_taps_are_dead():
    layer = disturbed(built(MaskedConv2D(6, (3, 3), "masked", "A", dtype="float64")))
    live = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(np.any(layer.effective_kernel() != 0, axis=(2, 3)), live)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(images()) ** 2)
    gradient = tape.gradient(loss, layer.direction.value)
    np.testing.assert_array_equal(np.any(gradient != 0, axis=(2, 3)), live)


NETWORKS = {
    "masked": lambda **k: MaskedNetwork(4, context_filters=2, **k),
    "shifted": lambda **k: MaskedNetwork(4, (2, 3), "shifted", "B", context_filters=2, **k),
    "coupling": lambda **k: EluCouplingNetwork(8, 4, context_filters=2, **k),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_zero_after_init(name):
    network = disturbed(built(NETWORKS[name]()))
    x, condition = images(dtype=tf.float32), {"context": images(2, tf.float32)}
    assert np.abs(network(x, condition)).max() > 0.01
    for run in (network.initialize, network):
        np.testing.assert_array_equal(run(x, condition), tf.zeros([5, 4, 6, 4]))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_see_the_context(name):
    network = disturbed(built(NETWORKS[name]()))
    x, context = images(dtype=tf.float32), images(2, tf.float32)
    y = network(x, context)
    np.testing.assert_array_equal(network(x, {"context": context}), y)
    assert np.abs(network(x, -context) - y).max() > 0.01
    for condition in (None, {}):
        with pytest.raises(ValueError, match="needs a context of 2 channels"):
            network(x, condition)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_in_bfloat16(name):
    single, mixed = (disturbed(built(NETWORKS[name](dtype=policy))) for policy in ("float32", "mixed_bfloat16"))
    x, context = images(dtype=tf.float32), images(2, tf.float32)
    y = mixed(x, context)
    assert y.dtype == tf.float32 and all(variable.dtype == "float32" for variable in mixed.variables)
    np.testing.assert_allclose(y, single(x, context), atol=0.05 * np.abs(single(x, context)).max())


@pytest.mark.parametrize("planes", [(6,), (6, 8), (4, 6, 8)])
def test_context_network(planes):
    network = ResidualContextNetwork(planes, filters=5, input_scale=2.0, dtype="float64")
    network.build([None, 8, 12, 3])
    x = tf.random.stateless_normal([9, 8, 12, 3], [0, 1], dtype=tf.float64)
    np.testing.assert_allclose(network.initialize(x), network(x), atol=1e-9)
    np.testing.assert_allclose(tf.math.reduce_std(network(x), axis=[0, 1, 2]), np.ones(5), atol=1e-2)
    assert network(x).shape == network.compute_output_shape(x.shape) == (9, 8, 12, 5)
    with pytest.raises(ValueError, match="halves the sides"):
        ResidualContextNetwork((4, 4, 4, 4)).build([None, 12, 12, 3])


def test_residual_block_without_shortcut():
    block = disturbed(built(ResidualBlock(3, dtype="float64")))
    assert block.shortcut is None
    branch = block.second(tf.nn.elu(block.first(images())))
    np.testing.assert_allclose(block(images()), tf.nn.elu(branch + images()), rtol=1e-12)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        WeightNormConv2D(3, 4)
