"""The terms that the objective of a VAE takes of an inverse autoregressive flow."""

import numpy as np
import pytest

from tests.bijectors.test_all_bijectors import build, data_of, kwargs_of

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
