"""Bijectors as functions of their parameters: what is found, exchanged and told apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, Permutation, Squeeze
from tfflows.networks import ContextNetwork, CouplingNetwork, EluCouplingNetwork, GatedConditioner, MaskedNetwork
from tfflows.tracing.stateless import Structure

tfb = tfp.bijectors


def network(width=6, seed=0, **options):
    layer = CouplingNetwork(width, 4, seed=seed, **options)
    layer.build([None, 3, 3, 2])
    return layer


def step(seed=0, **options):
    return Chain([ActNorm([4]), InvertibleConv(4, seed), AffineCoupling(network(seed=seed), **options)])


def dense(units, activation=None):
    layer = keras.layers.Dense(units, activation=activation)
    layer.build([None, 2])
    return layer


def built(layer, channels=4):
    layer.build([None, 4, 4, channels])
    return layer


# Blocks of equal structure are traced once: networks may not differ in what gave them their initial parameters.
NETWORKS = {
    "masked": lambda seed: built(MaskedNetwork(8, seed=seed)),
    "shifted": lambda seed: built(MaskedNetwork(8, (3, 2), "shifted", "C", context_filters=2, seed=seed)),
    "elu": lambda seed: built(EluCouplingNetwork(6, 4, seed=seed)),
    "gated": lambda seed: built(GatedConditioner(8, 4, 1, seed=seed)),
    "context": lambda seed: built(ContextNetwork(8, 1, seed=seed)),
}

SAME = {
    "seeds": (lambda: step(0), lambda: step(1)),
    "names": (lambda: ActNorm([4], name="one"), lambda: ActNorm([4], name="other")),
    "permutations": (lambda: Permutation([1, 0]), lambda: Permutation([0, 1])),
    "keras": (lambda: dense(4, "tanh"), lambda: dense(4, "tanh")),
}
DIFFERENT = {
    "class": (lambda: ActNorm([4]), lambda: InvertibleConv(4)),
    "setting": (lambda: step(conditioning_half="first"), lambda: step(conditioning_half="second")),
    "number": (lambda: ActNorm([4], log_scale_factor=3.0), lambda: ActNorm([4], log_scale_factor=1.0)),
    "shape": (lambda: ActNorm([4]), lambda: ActNorm([8])),
    "event": (lambda: ActNorm([4], event_ndims=3), lambda: ActNorm([4], event_ndims=1)),
    "dtype": (lambda: ActNorm([4]), lambda: ActNorm([4], dtype=tf.float64)),
    "function": (lambda: step(scale="sigmoid"), lambda: step(scale="exp")),
    "width": (lambda: network(6), lambda: network(8)),
    "precision": (lambda: network(), lambda: network(dtype="mixed_bfloat16")),
    "order": (lambda: Chain([Squeeze(), ActNorm([4])]), lambda: Chain([ActNorm([4]), Squeeze()])),
    "activation": (lambda: dense(4, "tanh"), lambda: dense(4, "relu")),
    "closure": (lambda: AffineCoupling(lambda x: x), lambda: AffineCoupling(lambda x: x)),
}


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_equal_structure(first, second):
    assert Structure(first()).signature == Structure(second()).signature


@pytest.mark.parametrize("network_of_seed", NETWORKS.values(), ids=NETWORKS)
def test_networks_of_other_seeds_have_equal_structure(network_of_seed):
    assert Structure(network_of_seed(0)).signature == Structure(network_of_seed(1)).signature


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
def test_other_structure(first, second):
    assert Structure(first()).signature != Structure(second()).signature


def test_a_variable_that_is_shared_differs_from_two():
    class Pair(tf.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

    one = tf.Variable(1.0)
    shared, apart = Structure(Pair(one, one)), Structure(Pair(one, tf.Variable(1.0)))
    assert (len(shared.variables), len(apart.variables)) == (1, 2)
    assert shared.signature != apart.signature


def test_every_variable_is_found_once():
    bijector = step()
    found = Structure(bijector).variables
    assert {id(variable) for variable in found} == {id(variable) for variable in bijector.variables}
    assert len(found) == len(bijector.variables)


def test_computes_with_the_values_of_another_and_comes_back():
    first, second = step(0), step(1)
    x = tf.random.stateless_normal([2, 3, 3, 4], [0, 1])
    before, expected = first.inverse_and_log_det(x), second.inverse_and_log_det(x)
    structure = Structure(first)
    with structure.substituted(Structure(second).values()):
        found = first.inverse_and_log_det(x)
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, other)
    for value, other in zip(first.inverse_and_log_det(x), before, strict=True):
        np.testing.assert_array_equal(value, other)
    with pytest.raises(RuntimeError, match="inside"), structure.substituted(Structure(second).values()):
        raise RuntimeError("inside")
    assert isinstance(first.bijectors[0].bias, tf.Variable)


def test_variable_in_a_list_cannot_be_exchanged():
    module = tf.Module()
    module.parts = [tf.Variable(1.0, name="loose")]
    structure = Structure(module)
    with pytest.raises(ValueError, match=r"loose.*attribute of its own"), structure.substituted([]):
        pass


@pytest.mark.parametrize("kind", [tfb.Exp, lambda: tfb.Scale(2.0), lambda: tfb.Invert(tfb.Softplus())])
def test_bijectors_of_tfp_are_told_apart_by_identity(kind):
    """They keep state that nothing here could compare."""
    first, second = kind(), kind()
    assert Structure(Chain([first])).signature == Structure(Chain([first])).signature
    assert Structure(Chain([first])).signature != Structure(Chain([second])).signature
