"""Masked convolutions cut into parts of a batch; all else of them is among all bijectors."""

import numpy as np
import pytest
import tensorflow as tf

from tests.slow import slow_but
from tfflows.bijectors import Chain, MaskedConv, masked_conv
from tfflows.networks import MaskedNetwork
from tfflows.tracing.sampler import sampler_scope


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(tf.config.threading, "get_inter_op_parallelism_threads", lambda: 2)
    monkeypatch.setattr(masked_conv, "_PIXELS_A_PART", 32)


@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (4, 2), (5, 1), (6, 2), (None, 1)])
def test_number_of_parts(two_threads, batch, parts):
    with tf.Graph().as_default():
        assert masked_conv._num_parts(tf.TensorShape([batch, 4, 4, 3])) == parts
    # Nothing runs side by side there.
    assert masked_conv._num_parts(tf.TensorShape([batch, 4, 4, 3])) == 1


@pytest.mark.parametrize(("threads", "cores", "parts"), [(0, 2, 2), (2, 64, 2), (1, 64, 1)])
def test_there_are_as_many_parts_as_threads_or_cores(monkeypatch, threads, cores, parts):
    monkeypatch.setattr(tf.config.threading, "get_inter_op_parallelism_threads", lambda: threads)
    monkeypatch.setattr(masked_conv.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(masked_conv, "_PIXELS_A_PART", 32)
    with tf.Graph().as_default():
        assert masked_conv._num_parts(tf.TensorShape([64, 4, 4, 3])) == parts


def test_an_affine_flow_needs_shifts_and_scales():
    network = MaskedNetwork(3, (3, 3), "masked", "B", 6)
    network.build([None, 4, 4, 3])
    with pytest.raises(ValueError, match="gives 3 channels; an affine flow needs an even number"):
        MaskedConv(network)
    assert MaskedConv(network, affine=False).is_constant_jacobian


@pytest.mark.parametrize("context_filters", slow_but([], [0, 3]))
def test_parts_equal_the_whole_and_so_do_gradients(two_threads, context_filters):
    network = MaskedNetwork(4, (3, 3), "masked", "B", 6, context_filters, dtype="float64")
    network.build([None, 4, 4, 2])
    bijector = MaskedConv(network, conditional=context_filters > 0, dtype=tf.float64)
    x = tf.random.stateless_normal([6, 4, 4, 2], [0, 1], dtype=tf.float64)
    condition = {}
    if context_filters:
        condition = {"condition": tf.random.stateless_normal([6, 4, 4, context_filters], [0, 2], dtype=tf.float64)}
    for number, variable in enumerate(bijector.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [3, number], dtype=tf.float64))

    def result_and_gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, log_det = bijector.forward_and_log_det(x, **condition)
            total = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det)
        return [y, log_det, *tape.gradient(total, [x, *bijector.trainable_variables])]

    in_parts = tf.function(result_and_gradients, autograph=False)
    graph = in_parts.get_concrete_function(x).graph
    assert any(operation.type == "Split" and len(operation.outputs) == 2 for operation in graph.get_operations())
    for part, whole in zip(in_parts(x), result_and_gradients(x), strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-12)


def test_both_directions_round_alike_under_a_mixed_policy():
    """But for sums in another order: most numbers come back as they were."""
    network = MaskedNetwork(4, (3, 3), "masked", "B", 6, dtype="mixed_bfloat16")
    network.build([None, 4, 4, 2])
    bijector = MaskedConv(network, jit_compile=False)
    for number, variable in enumerate(bijector.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [0, number]))
    x = tf.random.stateless_normal([3, 4, 4, 2], [1, 0])
    latent, log_det = bijector.inverse_and_log_det(x)
    back, inverse_log_det = bijector.forward_and_log_det(tf.identity(latent))
    assert np.median(np.abs(back - x)) < 1e-6 and np.abs(back - x).max() < 0.02
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=0.02)


@pytest.mark.parametrize(("kind", "order", "affine"), [("masked", "B", True), ("shifted", "C", False)])
def test_jacobi_equals_exact_and_so_do_gradients(kind, order, affine):
    """Each scope has its own trace of a block."""
    flows = []
    for number in range(2):
        network = MaskedNetwork(4 if affine else 2, (3, 3), kind, order, 6, 3, seed=number)
        network.build([None, 5, 4, 2])
        for variable in network.trainable_variables:
            variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, [number, 1]))
        flows.append(MaskedConv(network, affine, conditional=True, jit_compile=False))
    chain = Chain(flows)
    x = 2 * tf.random.stateless_normal([3, 5, 4, 2], [0, 1])
    context = tf.random.stateless_normal([3, 5, 4, 3], [0, 2])

    @tf.function(autograph=False)
    def decoded(x, sampler):
        with sampler_scope(sampler), tf.GradientTape() as tape:
            tape.watch(x)
            y, log_det = chain.forward_and_log_det(x, condition=context)
            total = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det)
        return [y, log_det, tape.gradient(total, x)]

    exact, jacobi = decoded(x, "exact"), decoded(x, "jacobi")
    for one, other in zip(exact, jacobi, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=2e-4)
    assert np.any(exact[0] != jacobi[0])
    with pytest.raises(ValueError, match="must be one of exact, jacobi, got 'newton'"), sampler_scope("newton"):
        pass
