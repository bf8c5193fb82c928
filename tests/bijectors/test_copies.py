"""Copies share variables or are independent, slices are refused, and no network's variables are lost."""

import copy
import functools
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.test_all_bijectors import ALL, build, built, data_of, kwargs_of
from tfflows.bijectors import ActNorm, AdditiveCoupling, Chain, Reverse
from tfflows.tracing.variables import named_variables, own_children, walk

CHANNELS = 4


def has_layers(module):
    found = []

    def visit(value, path, place, number):
        del path, place, number
        found.append(isinstance(value, keras.layers.Layer))
        return True

    walk(module, own_children, visit)
    return any(found)


@ALL
def test_a_copy_shares_the_variables(name):
    bijector = build(name)
    for made in (bijector.copy(name="second"), copy.copy(bijector)):
        assert [id(v) for v in made.variables] == [id(v) for v in bijector.variables]
        x, kwargs = data_of(name, [2]), kwargs_of(name, [2])
        for variable in bijector.trainable_variables:
            variable.assign_add(tf.fill(variable.shape, tf.cast(0.01, variable.dtype)))
        for found, expected in zip(
            made.inverse_and_log_det(x, **kwargs), bijector.inverse_and_log_det(x, **kwargs), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    assert bijector.copy(name="second").name == "second"


@ALL
@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda bijector: pickle.loads(pickle.dumps(bijector))], ids=["deep", "pickle"]
)
def test_a_deep_copy_is_independent_or_refused(name, how):
    bijector = build(name)
    if has_layers(bijector):
        with pytest.raises(TypeError, match=r"cannot copy .* Keras layer .* Build a second one"):
            how(bijector)
        return
    made, x, kwargs = how(bijector), data_of(name, [2]), kwargs_of(name, [2])
    expected = bijector.inverse_and_log_det(x, **kwargs)
    assert not {id(v) for v in made.variables} & {id(v) for v in bijector.variables}
    np.testing.assert_array_equal(made.inverse_and_log_det(x, **kwargs)[0], expected[0])
    for variable in made.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    np.testing.assert_array_equal(bijector.inverse_and_log_det(x, **kwargs)[0], expected[0])


@ALL
def test_there_is_no_batch_to_slice(name):
    with pytest.raises(ValueError, match="has no batch shape, so it cannot be sliced"):
        built(name)[:2]


def test_a_copy_with_other_variables_is_refused():
    with pytest.raises(ValueError, match="has other variables"):
        ActNorm([3]).copy(parameter_shape=[4])


def built_layer():
    layer = keras.layers.Dense(CHANNELS // 2)
    layer.build([None, CHANNELS // 2])
    return layer


class Holder(tf.Module):
    """A module of Keras layers, in attributes and lists."""

    def __init__(self):
        super().__init__()
        self.layers = [built_layer()]
        self.gain = tf.Variable(1.0)

    def __call__(self, x):
        return self.gain * self.layers[0](x)

    def method(self, x):
        return self(x)


class PlainHolder:
    """No module: nothing finds its variables."""

    def __init__(self):
        self.layer = built_layer()

    def __call__(self, x):
        return self.layer(x)


def test_layers_of_a_module_are_found():
    network = Holder()
    coupling = AdditiveCoupling(network)
    assert len(coupling.trainable_variables) == 3
    assert list(named_variables(coupling)) == ["network/layers/0/kernel", "network/layers/0/bias", "network/gain"]
    x = tf.random.stateless_normal([2, 1, 1, CHANNELS], [0, 0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tfp.bijectors.Chain([coupling]).inverse(x) ** 2)
    assert all(g is not None for g in tape.gradient(loss, coupling.trainable_variables))


GLOBAL_LAYER = built_layer()


def reads_a_global(x):
    return GLOBAL_LAYER(x)


@pytest.mark.parametrize(
    "network",
    [
        functools.partial(built_layer(), training=False),
        functools.partial(lambda layer, x: layer(x), built_layer()),
        Holder().method,
        PlainHolder(),
        (lambda layer: lambda x: layer(x))(built_layer()),
        lambda x, layer=built_layer(): layer(x),  # noqa: B008
        lambda x: reads_a_global(x),
        (lambda variable: lambda x: variable * x)(tf.Variable(2.0)),
        tf.function((lambda layer: lambda x: layer(x))(built_layer())),
        functools.partial(lambda layers, x: layers["only"][0](x), {"only": [built_layer()]}),
    ],
    ids=[
        "partial",
        "partial_of_lambda",
        "method",
        "object",
        "closure",
        "default",
        "global",
        "variable",
        "traced",
        "nested",
    ],
)
def test_a_function_that_hides_variables_is_refused(network):
    with pytest.raises(ValueError, match=r"reads the variables of .* hand over the layer itself, or a tf\.Module"):
        AdditiveCoupling(network)


@pytest.mark.parametrize(
    "network",
    [tf.math.tanh, lambda x: tf.math.tanh(x), functools.partial(tf.multiply, 2.0), tf.function(tf.math.tanh)],
    ids=range(4),
)
def test_functions_without_variables_are_fine(network):
    x = tf.random.stateless_normal([2, 1, 1, CHANNELS], [0, 0])
    latent, _ = AdditiveCoupling(network).inverse_and_log_det(x)
    assert latent.shape == x.shape


def test_a_chain_of_copies_has_each_variable_once():
    actnorm = ActNorm([CHANNELS])
    chain = Chain([actnorm, Reverse(), actnorm.copy(name="again")])
    assert len(chain.trainable_variables) == 2 and len(named_variables(chain)) == 2
