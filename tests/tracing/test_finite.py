"""The first part of a model whose output is not finite is found, whatever its kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, AffineCoupling, Chain
from tfflows.tracing.finite import NotFiniteError, find_not_finite

tfb, tfd = tfp.bijectors, tfp.distributions
NAN = float("nan")


class Network(tf.Module):
    """A network that is no Keras layer, around one that is."""

    def __init__(self):
        super().__init__(name="network")
        self.layers = [keras.layers.Dense(4, name="dense")]
        self.layers[0].build([None, 2])
        self.factor = tf.Variable(1.0)

    def __call__(self, x):
        return self.factor * self.layers[0](x)


def made():
    """A density of vectors of 4 numbers, of one part of each kind."""
    coupling = AffineCoupling(Network(), event_ndims=1, name="coupling")
    chain = Chain([ActNorm([4], event_ndims=1, name="actnorm"), coupling, tfb.Scale(tf.Variable(2.0), name="scale")])
    base = tfd.Sample(tfd.Normal(tf.Variable(0.0), 1.0, name="normal"), 4, name="base")
    return tfd.TransformedDistribution(base, chain, name="flow")


CASES = {
    "bijector": (lambda flow: flow.bijector.bijectors[0].bias, "ActNorm 'actnorm' (bijector/bijectors/0)"),
    "layer": (
        lambda flow: flow.bijector.bijectors[1].network.layers[0].kernel,
        "Dense 'dense' (bijector/bijectors/1/network/layers/0)",
    ),
    "module": (
        lambda flow: flow.bijector.bijectors[1].network.factor,
        "Network 'network' (bijector/bijectors/1/network)",
    ),
    "foreign": (lambda flow: flow.bijector.bijectors[2].scale, "Scale 'scale' (bijector/bijectors/2)"),
    "distribution": (lambda flow: flow.distribution.distribution.loc, "Normal 'normal' (distribution/distribution)"),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_part_is_found(kind):
    flow = made()
    variable, described = CASES[kind]
    methods = keras.layers.Layer.__call__, Network.__call__, tfd.Distribution.log_prob
    x = tf.ones([3, 4])
    assert find_not_finite(flow, lambda: flow.log_prob(tf.identity(x))) is None
    variable(flow).assign(tf.fill(variable(flow).shape, NAN))
    assert find_not_finite(flow, lambda: flow.log_prob(tf.identity(x))) == described
    assert methods == (keras.layers.Layer.__call__, Network.__call__, tfd.Distribution.log_prob)


@pytest.mark.parametrize("kind", ["bijector", "layer", "module", "foreign"])
def test_eager_use_raises_an_error_that_says_where(kind):
    flow = made()
    variable, described = CASES[kind]
    variable(flow).assign(tf.fill(variable(flow).shape, NAN))
    place = described.partition("(bijector/")[2][: len("bijectors/0")]
    with pytest.raises(NotFiniteError, match=rf"The inverse of .* is not finite, .* It is {place} of Chain 'chain'\."):
        flow.log_prob(tf.ones([3, 4]))


def test_input_that_is_not_finite_and_graphs_raise_nothing():
    flow = made()
    broken = tf.fill([3, 4], NAN)
    assert np.isnan(flow.log_prob(broken)).all()
    flow.bijector.bijectors[0].bias.assign([NAN] * 4)
    assert np.isnan(tf.function(flow.log_prob)(tf.ones([3, 4]))).all()
