"""Data-dependent init: moments after it, the order of layers, constant channels."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv,
    Level,
    MultiScale,
    OnHalves,
    Squeeze,
)
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


def unbiased(x):
    """Standard deviation with 1 / (N - 1), by channel."""
    return np.std(x, (0, 1, 2), ddof=1)


def test_each_half_is_initialized_by_its_own_bijector():
    x = batch()
    first, second = ActNorm([2]), ActNorm([2], form="exp_scale_then_shift", initial_scale=0.5)
    latent = OnHalves(first, second).initialize(x)
    np.testing.assert_allclose(np.mean(latent, (0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(latent[..., :2], (0, 1, 2)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(unbiased(latent[..., 2:]), 0.5, rtol=1e-5)
    np.testing.assert_allclose(first.bias, -np.mean(x, (0, 1, 2))[:2], rtol=1e-5)
    np.testing.assert_allclose(latent, OnHalves(first, second).inverse(x), rtol=1e-6)


# What a channel of one value is multiplied by: one over what the released codes add to deviation or variance.
FLOORS = {
    "shift_then_scale": 1e6,
    "scale_then_shift": 1e6,
    "positive_scale_then_shift": 1e4,
    "exp_scale_then_shift": 1e6,
}


@pytest.mark.parametrize("form", FLOORS)
def test_the_floor_of_a_deviation_is_that_of_the_released_code(form):
    actnorm = ActNorm([2], form=form, dtype=tf.float64)
    actnorm.initialize(tf.zeros([4, 3, 3, 2], tf.float64))
    log_det = actnorm.inverse_log_det_jacobian(tf.zeros([1, 3, 3, 2], tf.float64))
    np.testing.assert_allclose(log_det, [18 * np.log(FLOORS[form])], rtol=1e-9)


@pytest.mark.parametrize("form", FLOORS)
def test_macow_alone_takes_the_unbiased_deviation(form):
    x = tf.cast(batch([3, 1, 1, 4]), tf.float64)
    actnorm = ActNorm([4], form=form, dtype=tf.float64)
    latent = actnorm.initialize(x)
    deviation = unbiased(latent) if form == "exp_scale_then_shift" else np.std(latent, (0, 1, 2))
    np.testing.assert_allclose(deviation, 1.0, rtol=1e-5)
    # Of a single image, where nothing can be divided by N - 1.
    latent = ActNorm([1, 1, 4], form=form, dtype=tf.float64).initialize(x[:1])
    np.testing.assert_allclose(latent, np.zeros_like(latent), atol=1e-7)


@pytest.mark.parametrize("scale", [1e-11, 0.0, -1.0])
def test_a_scale_of_flowpp_is_at_least_1e_10(scale):
    actnorm = ActNorm([2], form="positive_scale_then_shift", dtype=tf.float64)
    actnorm.scale.assign([scale, 3e-10])
    x = tf.ones([1, 1, 1, 2], tf.float64)
    latent, log_det = actnorm.inverse_and_log_det(x)
    np.testing.assert_allclose(np.ravel(latent), [1e-10, 3e-10], rtol=1e-12)
    np.testing.assert_allclose(log_det, [np.log(1e-10) + np.log(3e-10)], rtol=1e-12)
    np.testing.assert_allclose(actnorm.forward(tf.identity(latent)), x, rtol=1e-12)
