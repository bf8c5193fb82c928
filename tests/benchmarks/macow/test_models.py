"""The parts of MaCow that are measured: what is compared computes the same, and nothing is left out."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.macow.models import Case, build_masked_conv, disturb, in_raster_order, networks_of
from tfflows.math.masked_convolution import ORDERS

FORMS = [(kind, order) for kind, orders in ORDERS.items() for order in orders]


@pytest.mark.parametrize(("kind", "order"), FORMS)
def test_raster_order_finds_what_the_library_finds(kind, order):
    bijector = build_masked_conv(kind, order, channels=2)
    data = tf.random.stateless_normal([2, 4, 5, 2], [0, 0])
    bijector.initialize(data)
    disturb(bijector, 4)
    latents, log_det = bijector.inverse_and_log_det(data)
    assert np.max(np.abs(bijector.inverse(2.0 * data) - 2.0 * latents)) > 1e-3  # pixels do depend on others
    found, own_log_det = in_raster_order(bijector, latents)
    np.testing.assert_allclose(found, data, atol=1e-5)
    np.testing.assert_allclose(own_log_det, -log_det, rtol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_all_networks_are_found_where_they_stand(variant):
    from reproductions.macow import model as macow

    case = Case(variant, 8, 1, steps="1, 1+1, 1", widths="4, 4, 4")
    bijector = macow.build(case.experiment, case.image_shape, 0, seed=0).flow.bijector
    found = networks_of(bijector, case.size)
    # Eight masked convolutions and a coupling a step, and two priors.
    assert [side for _, side in found] == [8] * 9 + [4] * 20 + [2] * 9
    # All that is left are a step's five actnorms and its 1x1 convolution, and one of each in a released prior.
    left = sum(10 * channels + channels**2 for channels in (3, 12, 9, 24))
    left += sum(2 * channels + channels**2 for channels in (12, 9)) if variant == "release" else 0
    total = sum(variable.shape.num_elements() for variable in bijector.trainable_variables)
    assert total - sum(network.count_params() for network, _ in found) == left


def test_sequential_calls_of_the_small_architecture():
    assert Case("release", 32, 8).sequential_calls == 28 * 32
    assert Case("paper", 32, 8).sequential_calls == 84 * 32 - 112
