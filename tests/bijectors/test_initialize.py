"""Data-dependent init: moments after it, the order of layers, constant channels."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, Level, MultiScale, Squeeze
from tfflows.networks import CouplingNetwork


def batch(shape=(16, 4, 4, 4)):
    x = tf.random.stateless_normal(shape, [1, 2])
    return 3.0 * x * tf.exp(tf.range(shape[-1], dtype=tf.float32)) - 5.0


@pytest.mark.parametrize("form", ["shift_then_scale", "scale_then_shift"])
@pytest.mark.parametrize("parameter_shape", [[4], [4, 4, 4]])
@pytest.mark.parametrize("initial_scale", [1.0, 0.5])
def test_actnorm_leaves_zero_mean_and_given_deviation(form, parameter_shape, initial_scale):
    actnorm = ActNorm(parameter_shape, form=form, initial_scale=initial_scale)
    latent = actnorm.initialize(batch())
    axes = tuple(range(4 - len(parameter_shape)))
    np.testing.assert_allclose(np.mean(latent, axes), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(latent, axes), initial_scale, rtol=1e-4)
    np.testing.assert_array_equal(latent, actnorm.inverse(batch()))


@pytest.mark.parametrize("form", ["shift_then_scale", "scale_then_shift"])
def test_actnorm_on_a_constant_channel_stays_finite(form):
    x = tf.concat([batch(), tf.fill([16, 4, 4, 1], 0.3), tf.zeros([16, 4, 4, 1])], axis=-1)
    actnorm = ActNorm([6], form=form)
    latent = actnorm.initialize(x)
    assert np.isfinite(latent).all()
    assert np.isfinite(actnorm.inverse_log_det_jacobian(x)).all()
    np.testing.assert_allclose(latent[..., 4:], 0.0, atol=0.1)
    np.testing.assert_allclose(actnorm.forward(tf.identity(latent)), x, rtol=1e-4, atol=1e-4)
    with tf.GradientTape() as tape:
        log_prob = -0.5 * tf.reduce_sum(actnorm.inverse_and_log_det(x)[0] ** 2)
    for gradient in tape.gradient(log_prob, actnorm.trainable_variables):
        assert np.isfinite(gradient).all()


def test_a_whole_flow_survives_constant_images():
    network = CouplingNetwork(8, 4)
    network.build([None, 4, 4, 2])
    flow = MultiScale([Level(Chain([Squeeze(), ActNorm([4]), InvertibleConv(4), AffineCoupling(network)]))], [8, 8, 1])
    assert np.isfinite(flow.initialize(tf.fill([4, 8, 8, 1], 0.25))).all()


def test_each_layer_sees_the_output_of_those_before_it():
    network = CouplingNetwork(8, 4)
    network.build([None, 4, 4, 2])
    first, second = ActNorm([4]), ActNorm([4])
    coupling = AffineCoupling(network)
    latent = Chain([first, InvertibleConv(4, seed=5), coupling, second]).initialize(batch())
    np.testing.assert_allclose(np.mean(latent, (0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(latent, (0, 1, 2)), 1.0, rtol=1e-4)
    # The hidden layers are normalized too: each unit has zero mean and unit deviation before its relu.
    halves = InvertibleConv(4, seed=5).inverse(first.inverse(batch()))[..., :2]
    hidden = network.hidden1(halves)
    np.testing.assert_allclose(np.mean(hidden, (0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(hidden, (0, 1, 2)), 1.0, rtol=1e-4)
    hidden = network.hidden2(tf.nn.relu(hidden))
    np.testing.assert_allclose(np.std(hidden, (0, 1, 2)), 1.0, rtol=1e-4)


def test_init_works_on_a_network_without_one():
    coupling = AffineCoupling(lambda x: tf.concat([x, x], axis=-1))
    np.testing.assert_array_equal(coupling.initialize(batch()), coupling.inverse(batch()))
