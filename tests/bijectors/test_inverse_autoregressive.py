"""The terms that the objective of a VAE takes of an inverse autoregressive flow."""

import numpy as np
import pytest
import tensorflow as tf

from tests.bijectors.test_all_bijectors import build, data_of, kwargs_of
from tfflows.tracing.sampler import sampler_scope

NAME = "inverse_autoregressive"


def test_log_derivatives_add_up_to_the_log_det():
    bijector, x, kwargs = build(NAME), data_of(NAME, [3]), kwargs_of(NAME, [3])
    value, terms = bijector.inverse_and_log_derivatives(x, **kwargs)
    expected, log_det = bijector.inverse_and_log_det(x, **kwargs)
    assert terms.shape == x.shape
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(np.sum(terms, axis=(1, 2, 3)), log_det, rtol=1e-5)


def test_initialization_gives_the_terms_too():
    bijector, x, kwargs = build(NAME), data_of(NAME, [8]), kwargs_of(NAME, [8])
    value, terms = build(NAME).initialize_and_log_derivatives(x, **kwargs)
    np.testing.assert_array_equal(bijector.initialize(x, **kwargs), value)
    assert terms.shape == x.shape and np.ptp(terms) > 0


def test_terms_need_the_condition():
    with pytest.raises(ValueError, match="needs a condition"):
        build(NAME).inverse_and_log_derivatives(data_of(NAME, [3]))


def test_a_tolerance_ends_the_iteration_earlier_at_an_error_below_it():
    bijector, y, kwargs = build(NAME), data_of(NAME, [3]), kwargs_of(NAME, [3])
    x = bijector.inverse(tf.identity(y), **kwargs)
    exact, _, all_rounds = bijector.jacobi(x, **kwargs)
    near, _, num_rounds = bijector.jacobi(x, **kwargs, tolerance=0.03)
    assert 1 < num_rounds < all_rounds
    assert 0 < np.max(np.abs(near - exact)) < 0.3
    np.testing.assert_array_equal(bijector.forward(tf.identity(x), **kwargs), exact)
    with sampler_scope("jacobi"):
        value = bijector.forward(tf.identity(x), **kwargs)
    np.testing.assert_array_equal(value, bijector.jacobi(x, **kwargs, tolerance=1e-5)[0])
    np.testing.assert_allclose(value, exact, atol=1e-4)


@pytest.mark.parametrize(("gain", "fewest", "most"), [(0.1, 2, 4), (32.0, 5, 13)])
def test_the_sampler_by_passes_is_the_exact_one_up_to_its_tolerance(gain, fewest, most):
    bijector, y, kwargs = build(NAME), data_of(NAME, [3]), kwargs_of(NAME, [3])
    for layer in (bijector.network.shift, bijector.network.log_scale):
        layer.gain.assign_add(tf.fill(layer.gain.shape, tf.math.log(gain)))
    x = bijector.inverse(tf.identity(y), **kwargs)
    exact = bijector.forward(tf.identity(x), **kwargs)
    with sampler_scope("jacobi"):
        near = bijector.forward(tf.identity(x), **kwargs)
    assert fewest <= bijector.jacobi(x, **kwargs, tolerance=1e-5)[2] <= most
    assert np.max(np.abs(near - exact) / np.maximum(np.abs(exact), 1)) <= 1e-5
