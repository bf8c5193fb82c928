"""Parameters of +-100 give finite numbers, or an error that names the part."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.distributions.augmenters import GaussianAugmenter
from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.distributions.iaf_ladder import TopDownBlock
from tfflows.math.random import row_keys
from tfflows.tracing.finite import NotFiniteError


def constant_layer(values):
    """A layer `[B, H, W, 1] -> [B, H, W, len(values)]` that gives these values everywhere."""
    layer = keras.layers.Dense(len(values), kernel_initializer="zeros")
    layer.build([None, None, None, 1])
    layer.bias.assign(values)
    return layer


def logistic(location, log_scale):
    return DiscretizedLogistic([location], [log_scale], name="part").log_prob([5.0])


def mixture(location, log_scale):
    parameters = np.repeat([0.0, location, log_scale, 0.3], [2, 6, 6, 6]).astype(np.float32)
    return DiscretizedLogisticMixture(parameters, 2, name="part").log_prob([[5.0, 0.0, 255.0]])


def augmenter(location, log_scale):
    made = GaussianAugmenter(constant_layer([location, log_scale]), 1, name="part")
    x = tf.ones([3, 2, 2, 1])
    return made.sample_and_log_prob(x, row_keys(0)), made.log_prob(x, x)


def posterior(location, log_scale):
    block = TopDownBlock(4, 2, name="part")
    evidence = tf.fill([1, 4, 4, 2], location), tf.fill([1, 4, 4, 2], log_scale), tf.zeros([1, 4, 4, 4])
    return block(tf.zeros([1, 4, 4, 4]), evidence, tf.ones([1, 4, 4, 2]))


@pytest.mark.parametrize("part", [logistic, mixture, augmenter, posterior])
def test_finite_or_named(part):
    ends = 0
    for location, log_scale in itertools.product([-100.0, 100.0], repeat=2):
        try:
            result = part(location, log_scale)
        except NotFiniteError as error:
            ends += "'part' is not finite" in str(error)
            continue
        ends += all(np.isfinite(tensor).all() for tensor in tf.nest.flatten(result))
    assert ends == 4
