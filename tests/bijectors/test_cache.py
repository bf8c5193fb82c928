"""In eager mode, kept latents never stand in for those of other parameters, nor hide a gradient."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.test_all_bijectors import BY_CLASS, build, data_of, kwargs_of
from tests.bijectors.test_one_pass import SHAPE, CountingNetwork, images
from tfflows.bijectors import ActNorm, AffineCoupling, Bijector, Chain, InvertibleConv

tfb, tfd = tfp.bijectors, tfp.distributions


def flow_of(bijector):
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE), bijector)


def coupling():
    network = CountingNetwork()
    return network, Chain([ActNorm([4]), InvertibleConv(4), AffineCoupling(network)])


@BY_CLASS
def test_values_and_gradients_are_those_of_the_new_parameters(name):
    """Whatever is kept of the old ones, and whether value or log-determinant is asked for first."""
    bijector, x, kwargs = build(name), data_of(name, [2]), kwargs_of(name, [2])
    variables = list(bijector.trainable_variables)
    kept = [bijector.inverse(x, **kwargs), bijector.inverse_log_det_jacobian(x, **kwargs)]
    for change in (0.0, 0.01):
        for variable in variables:
            variable.assign_add(tf.fill(variable.shape, tf.cast(change, variable.dtype)))
        for log_det_first in (False, True):
            with tf.GradientTape() as tape:
                tape.watch(x)
                log_det = bijector.inverse_log_det_jacobian(x, **kwargs) if log_det_first else None
                value = bijector.inverse(x, **kwargs)
                log_det = bijector.inverse_log_det_jacobian(x, **kwargs) if log_det is None else log_det
                loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det)
            with tf.GradientTape() as plain:
                plain.watch(x)
                expected_value, expected_log_det = bijector.inverse_and_log_det(x, **kwargs)
                expected_loss = tf.reduce_sum(tf.sin(expected_value)) + tf.reduce_sum(expected_log_det)
            np.testing.assert_allclose(value, expected_value, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(log_det, expected_log_det, rtol=1e-5, atol=1e-5)
            found, expected = (t.gradient(y, [x, *variables]) for t, y in ((tape, loss), (plain, expected_loss)))
            for ours, theirs in zip(found, expected, strict=True):
                assert (ours is None) == (theirs is None)
                if ours is not None:
                    scale = 1e-3 + np.abs(theirs).max()
                    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * scale)
            kept += [value, log_det]


@BY_CLASS
def test_values_without_a_tape_are_those_of_the_new_parameters(name):
    bijector, x, kwargs = build(name), data_of(name, [2]), kwargs_of(name, [2])
    kept = bijector.inverse(x, **kwargs), bijector.inverse_log_det_jacobian(x, **kwargs)
    for variable in bijector.trainable_variables:
        variable.assign_add(tf.fill(variable.shape, tf.cast(0.01, variable.dtype)))
    value, log_det = bijector.inverse(x, **kwargs), bijector.inverse_log_det_jacobian(x, **kwargs)
    expected_value, expected_log_det = bijector.inverse_and_log_det(tf.identity(x), **kwargs)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(log_det, expected_log_det, rtol=1e-5, atol=1e-5)
    if bijector.trainable_variables:
        assert np.abs(value - kept[0]).max() > 0


def test_a_loop_that_keeps_its_latents_trains():
    network, bijector = coupling()
    flow, x, kept, gains = flow_of(bijector), images(), [], []
    for _ in range(4):
        kept.append(bijector.inverse(x))
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        network.gain.assign_sub(0.1 * tape.gradient(loss, network.gain))
        gains.append(float(network.gain))
    assert len(set(gains)) == 4


@pytest.mark.parametrize("persistent", [False, True])
def test_one_call_under_tapes(persistent):
    """Of first and of second order, with old entries alive."""
    network, bijector = coupling()
    flow, x = flow_of(bijector), images()
    kept = bijector.inverse(x)
    with tf.GradientTape(persistent=persistent) as outer:
        with tf.GradientTape() as inner:
            calls = network.count.numpy()
            log_prob = tf.reduce_sum(flow.log_prob(x))
            assert network.count.numpy() == calls + 1
        gradient = inner.gradient(log_prob, network.gain)
    second = outer.gradient(gradient, network.gain)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            log_prob = tf.reduce_sum(flow.log_prob(tf.identity(x)))
        expected = inner.gradient(log_prob, network.gain)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(second, outer.gradient(expected, network.gain), rtol=1e-4)
    del kept


def test_an_entry_is_served_while_nothing_changed():
    network, bijector = coupling()
    x = images()
    latent = bijector.inverse(x)
    assert bijector.inverse(x) is latent
    bijector.inverse_log_det_jacobian(x, 3)
    bijector.forward_log_det_jacobian(latent, 3)
    assert bijector.forward(latent) is x and network.count.numpy() == 1


def test_the_tape_that_watches_later_gets_its_gradient():
    """Of the input as of the parameters, and although an outer tape recorded the entry."""
    network, bijector = coupling()
    x = tf.Variable(images()).read_value()
    with tf.GradientTape() as outer:
        outer.watch(x)
        latent = bijector.inverse(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            log_det = bijector.inverse_log_det_jacobian(x, 3)
        assert inner.gradient(log_det, x) is not None
        loss = tf.reduce_sum(latent)
    assert outer.gradient(loss, network.gain) is not None


def test_a_dead_latent_leaves_no_entry():
    _, bijector = coupling()
    before = len(Bijector._cache.storage)
    x = images()
    latent = bijector.inverse(x)
    bijector.variables[0].assign_add(tf.ones_like(bijector.variables[0]))
    latent = bijector.inverse(x)
    assert len(Bijector._cache.storage) == before + 2
    del x, latent
    assert len(Bijector._cache.storage) == before
