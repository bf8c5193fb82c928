"""Networks of RealNVP: initial values, kernels, the mask channel, precisions, which variables are penalized."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.networks import ResidualConditioner, ShiftedBatchNorm, UnitNormConv2D, learned_norms
from tfflows.tracing.batch_statistics import batch_statistics
from tfflows.tracing.variables import named_variables


def built(layer, *shape):
    layer.build([None, *shape])
    return layer


def images(channels=5):
    return tf.random.stateless_normal([3, 4, 6, channels], [0, 1])


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_initial_values(kernel_size):
    layer = built(UnitNormConv2D(64, kernel_size, seed=1), 4, 6, 32)
    bound = np.sqrt(2 / 32)
    direction = layer.direction.numpy()
    assert np.abs(direction).max() <= bound
    np.testing.assert_allclose(direction.std(), bound / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(layer.magnitude, kernel_size / np.sqrt(6), rtol=1e-6)
    np.testing.assert_array_equal(layer.bias, 0)
    other = built(UnitNormConv2D(64, kernel_size, seed=2), 4, 6, 32)
    assert np.abs(direction - other.direction.numpy()).max() > 0.1


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_convolution(kernel_size):
    layer = built(UnitNormConv2D(7, kernel_size), 4, 6, 5)
    layer.magnitude.assign(tf.range(1.0, 8.0))
    layer.bias.assign(tf.range(7.0))
    direction = layer.direction.numpy()
    kernel = direction / np.sqrt((direction**2).sum((0, 1, 2))) * np.arange(1.0, 8.0)
    expected = tf.nn.conv2d(images(), tf.cast(kernel, tf.float32), 1, "SAME") + np.arange(7.0)
    np.testing.assert_allclose(layer(images()), expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 6, 5)) == (None, 4, 6, 7)


def test_what_a_convolution_leaves_out():
    layer = built(UnitNormConv2D(7, scaled=False, biased=False), 4, 6, 5)
    assert list(named_variables(layer)) == ["direction"]
    with pytest.raises(ValueError, match="kernel_size must be odd, got 2"):
        UnitNormConv2D(7, 2)


@pytest.mark.parametrize("num_blocks", [0, 2])
def test_a_bias_that_batch_norm_takes_out_has_no_gradient_in_training(num_blocks):
    """Not even that of rounding, of which Adam would make steps as large as all others."""
    network = built(ResidualConditioner(4, 6, num_blocks, "even", seed=3), 4, 6, 5)
    biases = {name: variable for name, variable in named_variables(network).items() if name.endswith("bias")}
    assert len(biases) == 3 + 2 * num_blocks

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(images()) ** 3)
        return dict(zip(biases, tape.gradient(loss, list(biases.values())), strict=True)), loss

    with batch_statistics(update=False):
        training, loss = gradients()
    for name, gradient in training.items():
        assert np.any(gradient) == (name == "last/bias"), name
    assert all(np.any(gradient) for gradient in gradients()[0].values())  # by the running statistics they count
    for name, variable in biases.items():
        variable.assign_add(tf.range(4.0) if name != "last/bias" else tf.zeros([6]))
    with batch_statistics(update=False):
        np.testing.assert_allclose(gradients()[1], loss, rtol=1e-4)


def test_batch_norm_without_a_scale():
    norm, x = built(ShiftedBatchNorm(), 4, 6, 5), images()
    norm.shift.assign(tf.fill([5], 3.0))
    with batch_statistics():
        out = norm(x).numpy()
    np.testing.assert_allclose(out.mean((0, 1, 2)), 3.0, rtol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1.0, rtol=1e-3)
    np.testing.assert_allclose(norm.variance, 0.9 + 0.1 * x.numpy().var((0, 1, 2)), rtol=1e-5)
    expected = (x - norm.mean.value) / np.sqrt(norm.variance.value + 1e-4) + 3
    np.testing.assert_allclose(norm(x), expected, rtol=1e-4, atol=1e-5)


def test_a_checkerboard_conditioner_knows_the_mask():
    """Of an input of zeros, only the mask tells where a pixel is."""
    network = built(ResidualConditioner(4, 6, 1, colour="odd"), 4, 6, 3)
    inside = network(tf.zeros([1, 8, 8, 3]))[0, 3:5, 3:5].numpy()  # three 3x3 convolutions see three pixels on
    np.testing.assert_allclose(inside[0, 0], inside[1, 1], rtol=1e-5)
    assert np.abs(inside[0, 0] - inside[0, 1]).max() > 1e-3
    plain = built(ResidualConditioner(4, 6, 1), 4, 6, 3)(tf.zeros([1, 8, 8, 3]))[0, 3:5, 3:5].numpy()
    np.testing.assert_allclose(plain, np.broadcast_to(plain[:1, :1], plain.shape), rtol=1e-5)
    with pytest.raises(ValueError, match="colour must be None or one of"):
        ResidualConditioner(4, 6, 1, colour="red")


def test_the_learned_norms_are_found_once():
    network = built(ResidualConditioner(4, 6, 2), 4, 6, 3)
    found = learned_norms([network, network])
    expected = {id(v) for name, v in named_variables(network).items() if name.endswith("magnitude")}
    assert len(found) == len(expected) == 1 + 2 * 2 + 1 and {id(norm) for norm in found} == expected


def test_bfloat16_is_inside_alone():
    network = built(ResidualConditioner(8, 6, 1, colour="even", dtype="mixed_bfloat16"), 4, 6, 3)
    plain = built(ResidualConditioner(8, 6, 1, colour="even"), 4, 6, 3)
    with batch_statistics() as statistics:
        out = network(images(3))
    with batch_statistics():
        expected = plain(images(3))
    assert out.dtype == tf.float32 and {value.dtype for value in statistics.values} == {tf.float32}
    difference = np.abs(out - expected).max()
    assert 0 < difference < 0.05 * np.abs(expected).max()
