"""Deep gated networks in graphs: each kind of block traced once, with the values and gradients of eager mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfflows.math.random import fold_in, row_keys
from tfflows.networks import ContextNetwork, GatedConditioner
from tfflows.networks import flowpp as module
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.shared_blocks import traces_apart
from tfflows.tracing.shared_layers import SharedLayers

NUM_BLOCKS = 4


def make_network(kind, dropout_rate=0.0, weight_norm=False):
    options = {"num_heads": 2, "dropout_rate": dropout_rate, "weight_norm": weight_norm, "seed": 3}
    if kind == "context":
        network = ContextNetwork(4, NUM_BLOCKS, mixer="attention", layer_norm=True, **options)
    else:
        context_filters = 3 if kind == "with_context" else 0
        mixer = "maximum" if kind == "maximum" else "attention"
        network = GatedConditioner(4, 6, NUM_BLOCKS, mixer=mixer, context_filters=context_filters, **options)
    network.build([None, 4, 2, 2])
    return network


def normal(*shape, seed=0):
    return tf.random.stateless_normal(shape, seed=[seed, 7])


def condition_of(kind, dropout_rate):
    keys = fold_in(row_keys(5), "dropout") if dropout_rate else None
    if kind == "context":
        return keys
    condition = {"dropout": keys} if dropout_rate else {}
    return {**condition, "context": normal(2, 4, 2, 3, seed=1)} if kind == "with_context" else condition or None


def values_and_gradients(network, x, condition):
    with tf.GradientTape() as tape:
        out = network(x, condition)
        loss = tf.reduce_sum(out * normal(*out.shape, seed=2))
    return out, tape.gradient(loss, [variable.value for variable in network.trainable_variables])


@pytest.fixture
def num_runs(monkeypatch):
    """How often Python runs a block, as a list that grows."""
    runs, run_block = [], module._run_block

    def counted(*args):
        runs.append(args[1])
        return run_block(*args)

    monkeypatch.setattr(module, "_run_block", counted)
    return runs


@pytest.mark.parametrize(
    ("kind", "dropout_rate", "weight_norm"),
    [("plain", 0.5, False), ("with_context", 0.5, True), ("maximum", 0.0, False), ("context", 0.5, False)],
)
def test_a_graph_gives_what_eager_mode_gives_and_traces_one_block(num_runs, kind, dropout_rate, weight_norm):
    network = make_network(kind, dropout_rate, weight_norm)
    x, condition = normal(2, 4, 2, 2), condition_of(kind, dropout_rate)
    network.initialize(x, condition)
    expected, expected_gradients = values_and_gradients(network, x, condition)
    num_runs.clear()
    out, gradients = tf.function(lambda: values_and_gradients(network, x, condition), autograph=False)()
    assert len(num_runs) == 1
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_new_parameters_are_seen_by_what_was_traced():
    network, x = make_network("plain"), normal(2, 4, 2, 2)
    run = tf.function(lambda x: network(x), autograph=False)
    before = run(x)
    kernel = network.blocks[2][0].last.kernel
    kernel.assign(normal(*kernel.shape, seed=9))
    assert np.abs(run(x) - before).max() > 1e-3
    np.testing.assert_allclose(run(x), network(x), rtol=1e-5, atol=1e-6)


def test_blocks_that_differ_have_traces_of_their_own(num_runs):
    network, x = make_network("plain"), normal(2, 4, 2, 2)
    network.blocks[1][0].first.init_scale = 0.5
    out = tf.function(lambda x: network(x), autograph=False)(x)
    assert len(num_runs) == 2
    np.testing.assert_allclose(out, network(x), rtol=1e-5, atol=1e-6)


def test_blocks_are_traced_apart_where_xla_compiles_gradients(num_runs):
    network, x = make_network("plain"), normal(2, 4, 2, 2)
    with traces_apart():
        tf.function(lambda x: network(x), autograph=False).get_concrete_function(x)
    assert len(num_runs) == NUM_BLOCKS


def test_xla_compiles_a_network_with_shared_blocks():
    network, x = make_network("plain"), normal(2, 4, 2, 2)
    out = tf.function(lambda x: network(x), jit_compile=True, autograph=False)(x)
    np.testing.assert_allclose(out, network(x), rtol=1e-4, atol=1e-5)


def made_of_dense(recomputed):
    """Four units of one kind, with a second, nested input that may be missing."""
    units = [[keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=n))] for n in range(4)]
    for (layer,) in units:
        layer.build([None, 3])
    return SharedLayers(
        lambda unit, x, y: x + tf.tanh(unit[0](x if y is None else x + y["more"] * y["most"])), units, recomputed
    )


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_recomputed_units_have_the_same_values_and_gradients(graph):
    def run(shared, mode, x, y):
        variables = [variable.value for (layer,) in shared._units for variable in layer.trainable_variables]
        with tf.GradientTape() as tape, memory_scope(mode):
            tape.watch([x, y])
            out = x
            for index in range(4):
                out = shared(index, out, {"more": y, "most": 2 * y} if index % 2 else None)
            loss = tf.reduce_sum(tf.sin(out))
        return out, tape.gradient(loss, [x, y, *variables])

    x, y = normal(2, 3), normal(2, 3, seed=1)
    expected, expected_gradients = run(made_of_dense(recomputed=False), "plain", x, y)
    shared = made_of_dense(recomputed=True)
    call = tf.function(run, autograph=False) if graph else run
    out, gradients = call(shared, "recompute", x, y)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)
