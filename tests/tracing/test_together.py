"""What depends on parameters alone is the same computed together, in fewer operations."""

import collections
import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tfflows.bijectors import AdditiveCoupling, Chain, InvertibleConv, InvertibleConvLU
from tfflows.choices import MEMORY_MODES
from tfflows.networks import (
    AutoregressiveConv2D,
    CouplingNetwork,
    DataDependentConv2D,
    ExponentialGainConv2D,
    ExponentialGainConv2DTranspose,
    MaskedConv2D,
    ShiftedConv2D,
    ShiftedConv2DTranspose,
    UnitNormConv2D,
    WeightNormConv2D,
    WeightNormConv2DTranspose,
)
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.of_parameters import given_tensors, given_to
from tfflows.tracing.shared_blocks import traces_apart
from tfflows.tracing.together import Together, computing_together

LAYERS = {
    "dense": lambda seed: InvertibleConv(4, seed),
    "lu": lambda seed: InvertibleConvLU(4, seed),
    "lu_direct": lambda seed: InvertibleConvLU(4, seed, diagonal="direct"),
    "weight_norm": lambda seed: WeightNormConv2D(3, seed=seed),
    "weight_norm_transpose": lambda seed: WeightNormConv2DTranspose(3, seed=seed),
    "masked": lambda seed: MaskedConv2D(3, (3, 3), "masked", "A", seed=seed),
    "shifted": lambda seed: MaskedConv2D(3, (3, 2), "shifted", "C", seed=seed),
    "data_dependent": lambda seed: DataDependentConv2D(3, weight_norm=True, seed=seed),
    "exponential": lambda seed: ExponentialGainConv2D(3, seed=seed),
    "exponential_released": lambda seed: ExponentialGainConv2DTranspose(3, seed=seed),
    "exponential_fixed": lambda seed: ExponentialGainConv2DTranspose(3, compatibility="fixed", seed=seed),
    "autoregressive": lambda seed: AutoregressiveConv2D(4, seed=seed),
    "pixelcnn": lambda seed: ShiftedConv2D(3, (2, 3), "down", seed=seed),
    "pixelcnn_transpose": lambda seed: ShiftedConv2DTranspose(3, "down", seed=seed),
    "unit_norm": lambda seed: UnitNormConv2D(3, seed=seed),
    "unit_norm_fixed": lambda seed: UnitNormConv2D(3, scaled=False, seed=seed),
}


def layers_of(kind):
    """Three layers whose parameters all differ."""
    layers = [LAYERS[kind](seed) for seed in range(3)]
    for layer in layers:
        if isinstance(layer, keras.layers.Layer):
            layer.build([None, 4, 4, 4])
        for number, variable in enumerate(layer.trainable_variables):
            noise = tf.random.stateless_normal(variable.shape, [number, layers.index(layer)])
            variable.assign(variable + 0.1 * noise)
    return layers


@pytest.mark.parametrize("kind", LAYERS)
def test_equals_that_of_each_layer(kind):
    layers = layers_of(kind)
    together = Together(layers)
    with together.giving(together.compute()):
        found = [given_to(layer) for layer in layers]
    assert [given_to(layer) for layer in layers] == [None] * 3
    for own, layer in zip(found, layers, strict=True):
        assert len(own) == layer.num_of_parameters
        for value, expected in zip(own, layer.of_parameters(), strict=True):
            assert value.shape == expected.shape
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_layers_without_weight_norm_and_layers_that_nothing_built_have_nothing_to_compute():
    layers = [DataDependentConv2D(3, seed=seed) for seed in range(2)]
    for layer in layers:
        layer.build([None, 4, 4, 4])
    assert Together([*layers, WeightNormConv2D(3)]).compute() == []


def test_layers_of_which_nothing_is_used_are_told():
    first, second = InvertibleConv(3, 0), InvertibleConv(3, 1)
    together = Together([first, second])
    assert together.unused([False, True, False] + [False] * 3) == [second.weight]
    assert together.unused([True] + [False] * 4 + [True]) == []


def flow(mixing):
    def step(seed):
        network = CouplingNetwork(4, 2, seed=seed, dtype="float64")
        network.build([None, 4, 4, 2])
        return Chain([mixing(4, seed, dtype=tf.float64), AdditiveCoupling(network, dtype=tf.float64)])

    return Chain([Chain([step(seed) for seed in range(3)]), step(3)])


@pytest.mark.parametrize("mode", slow_but(["reversible"], MEMORY_MODES))
@pytest.mark.parametrize("mixing", slow_but([InvertibleConv], [InvertibleConv, InvertibleConvLU]))
@pytest.mark.parametrize("apart", slow_but([False], [False, True]))
def test_gradients_are_the_same_in_every_memory_mode(mixing, mode, apart):
    bijector, x = flow(mixing), tf.random.stateless_normal([2, 4, 4, 4], [0, 1], dtype=tf.float64)
    together, variables = Together(bijector), bijector.trainable_variables

    def value_and_gradients(x, given):
        with tf.GradientTape() as tape:
            with memory_scope(mode), together.giving(given()):
                z, log_det = bijector.inverse_and_log_det(x)
            loss = tf.reduce_sum(z**2) - tf.reduce_sum(tf.constant([1.0, 3.0], tf.float64) * log_det)
        return loss, tape.gradient(loss, variables)

    loss, expected = value_and_gradients(x, list)
    with traces_apart() if apart else contextlib.nullcontext():
        found_loss, found = tf.function(lambda x: value_and_gradients(x, together.compute), autograph=False)(x)
    np.testing.assert_allclose(found_loss, loss, rtol=1e-6)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-9)


def operations_of(function, *arguments):
    """How often an operation of each type runs; a function that several calls share counts once a call."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    bodies = {body.signature.name: body.node_def for body in graph.library.function}

    def count(nodes):
        total = collections.Counter(node.op for node in nodes)
        for node in nodes:
            if "f" in node.attr:
                total += count(bodies[node.attr["f"].func.name])
        return total

    return count(graph.node)


def test_one_decomposition_a_size_both_ways_and_none_of_them_in_the_blocks():
    bijector, x = flow(InvertibleConv), tf.zeros([2, 4, 4, 4], tf.float64)
    both = tf.function(
        computing_together(bijector, lambda x: (bijector.inverse_and_log_det(x), bijector.forward_and_log_det(x))),
        autograph=False,
    )
    found = operations_of(both, x)
    assert (found["LogMatrixDeterminant"], found["MatrixInverse"], found["Qr"]) == (1, 1, 0)
    alone = operations_of(tf.function(bijector.inverse_and_log_det, autograph=False), x)
    assert (alone["LogMatrixDeterminant"], alone["Qr"]) == (0, 4)


def test_nothing_is_given_in_eager_mode_and_outside():
    layers = layers_of("dense")
    assert computing_together(layers, lambda: given_tensors(layers))() == []
    assert len(tf.function(computing_together(layers, lambda: given_tensors(layers)))()) == 9
    assert given_tensors(layers) == []
    few = Together(layers[:2])
    with few.giving(few.compute()):
        assert len(given_tensors(layers[:2])) == 6 and given_tensors(layers) == []
