"""Batch norm in a training pass: moments, log-determinants, gradients, running statistics, shared traces, memory modes."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.derivatives import assert_derivatives
from tests.slow import slow_but
from tfflows.bijectors import BatchNorm, Chain, CheckerboardAffineCoupling
from tfflows.networks import ResidualConditioner
from tfflows.tracing.batch_statistics import batch_statistics, has_batch_statistics
from tfflows.tracing.memory import memory_scope

tfd = tfp.distributions

PARTS = {"all": 3, "first": 4, "second": 4, "even": 3, "odd": 3}
EPSILON = 1e-4


def images(channels=3, dtype=tf.float32, batch=5):
    return 2 * tf.random.stateless_normal([batch, 3, 4, channels], [1, 2], dtype=dtype) + 1


def steps(number=3, dtype="float32"):
    """Couplings of one kind, each with its batch norm."""

    def step(seed):
        network = ResidualConditioner(4, 6, num_blocks=1, colour="even", seed=seed, dtype=dtype)
        network.build([None, 4, 4, 3])
        coupling = CheckerboardAffineCoupling(network, initial_rescaling=0.3, dtype=dtype)
        return Chain([coupling, BatchNorm(3, part="odd", dtype=dtype)])

    return Chain([step(seed) for seed in range(number)])


@pytest.mark.parametrize("part", PARTS)
def test_a_training_pass(part):
    norm, x = BatchNorm(PARTS[part], part=part), images(PARTS[part])
    row, column = np.indices([3, 4])
    masks = {
        **dict.fromkeys(("all", "first", "second"), np.ones([3, 4, 1], bool)),
        "even": ((row + column) % 2 == 0)[..., None],
        "odd": ((row + column) % 2 == 1)[..., None],
    }
    halves = {"first": np.s_[..., :2], "second": np.s_[..., 2:]}
    own, mask = x.numpy()[halves.get(part, np.s_[...])], masks[part]
    mean, variance = (own * mask).mean((0, 1, 2)), (own * mask).var((0, 1, 2))  # zeros of the other colour count
    with batch_statistics():
        z, log_det = norm.inverse_and_log_det(x)
    expected = x.numpy()
    expected[halves.get(part, np.s_[...])] = np.where(mask, (own - mean) / np.sqrt(variance + EPSILON), own)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)
    each = -0.5 * mask.sum() * np.log(variance + EPSILON).sum()
    np.testing.assert_allclose(log_det, np.full([5], each), rtol=1e-5)
    np.testing.assert_allclose(norm.mean, 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(norm.variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_the_running_statistics_are_what_is_inverted():
    norm, x = BatchNorm(3), images()
    with batch_statistics():
        z = norm.inverse(x)
    assert np.abs(norm.inverse(x) - z).max() > 0.1  # nor does TFP's cache serve the training pass
    np.testing.assert_allclose(norm.forward(tf.identity(norm.inverse(x))), x, rtol=1e-4, atol=1e-5)
    with batch_statistics(update=False):
        np.testing.assert_allclose(
            norm.forward(tf.identity(z)), z * np.sqrt(norm.variance + EPSILON) + norm.mean, rtol=1e-5, atol=1e-5
        )


def test_each_pass_updates_once():
    norm, x = BatchNorm(3, momentum=0.5), images()
    distribution = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [3, 4, 3]), norm)
    mean = x.numpy().mean((0, 1, 2))
    with batch_statistics() as statistics:
        distribution.log_prob(x)
    assert len(statistics.updates) == 2
    np.testing.assert_allclose(norm.mean, mean / 2, rtol=1e-4)
    with batch_statistics() as outer:
        with batch_statistics() as inner:
            distribution.log_prob(tf.identity(x))
        assert inner is outer
        np.testing.assert_allclose(norm.mean, mean / 2, rtol=1e-4)  # the outer pass is not over
    np.testing.assert_allclose(norm.mean, 0.75 * mean, rtol=1e-4)
    with batch_statistics(update=False):
        distribution.log_prob(tf.identity(x))
    np.testing.assert_allclose(norm.mean, 0.75 * mean, rtol=1e-4)


def test_derivatives_go_through_the_statistics():
    norm = BatchNorm(3, part="odd", dtype="float64")

    def run(x):
        with batch_statistics(update=False):
            return norm.inverse_and_log_det(x)

    assert_derivatives(run, [images(dtype=tf.float64)], [], ["value", "log_det"])


def one_pass(flow, x, memory="plain", traced=False):
    variables = flow.trainable_variables

    def run():
        with tf.GradientTape() as tape:
            with memory_scope(memory), batch_statistics(update=False) as statistics:
                z, log_det = flow.inverse_and_log_det(x)
            loss = tf.reduce_sum(tf.sin(z)) + tf.reduce_sum(log_det)
        statistics.update()
        return [z, log_det, *tape.gradient(loss, variables)]

    before = [variable.numpy() for variable in flow.variables]
    results = (tf.function(run, autograph=False) if traced else run)()
    after = [variable.numpy() for variable in flow.variables if not variable.trainable]
    for variable, value in zip(flow.variables, before, strict=True):
        variable.assign(value)
    return [np.asarray(value) for value in results], after


@functools.cache
def eager_pass():
    flow, x = steps(2, dtype="float64"), tf.random.stateless_normal([3, 4, 4, 3], [0, 0], dtype=tf.float64)
    return flow, x, one_pass(flow, x)


WAYS = [("recompute", True), ("recompute", False), ("plain", True)]


@pytest.mark.parametrize(("memory", "traced"), slow_but(WAYS[:1], WAYS, rows=True))
def test_shared_traces_and_recomputation_give_the_same(memory, traced):
    flow, x, (expected, running) = eager_pass()
    assert all(np.abs(value).max() > 0 for value in running)
    found, updated = one_pass(flow, x, memory, traced)
    for actual, value in zip(found + updated, expected + running, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-9, atol=1e-10)


def test_steps_share_a_trace():
    flow = steps()

    def run(x):
        with batch_statistics(update=False) as statistics:
            z, log_det = flow.inverse_and_log_det(x)
        return z, log_det, statistics.values

    graph = tf.function(run, autograph=False).get_concrete_function(tf.zeros([2, 4, 4, 3])).graph
    calls = [operation for operation in graph.get_operations() if operation.type.endswith("PartitionedCall")]
    assert (len(calls), len({call.get_attr("f").name for call in calls})) == (3, 1)


@pytest.mark.parametrize("make", [lambda: BatchNorm(3), steps], ids=["alone", "in a chain"])
def test_reversible_memory_is_refused(make):
    flow, x = make(), tf.random.stateless_normal([3, 4, 4, 3], [0, 0])
    with memory_scope("reversible"), batch_statistics(), pytest.raises(ValueError, match=r"batch norm.*'recompute'"):
        flow.inverse(x)
    with memory_scope("reversible"):
        flow.inverse(x)  # with running statistics it is a constant scale and shift


def test_what_holds_batch_norm():
    assert has_batch_statistics(steps(1)) and has_batch_statistics({"norm": [BatchNorm(3)]})
    assert not has_batch_statistics(Chain([tfp.bijectors.Shift(1.0)]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 3, "part": "some"}, "part must be one of"),
        ({"channels": 3, "part": "first"}, "half of the channels, but there are 3"),
        ({"channels": 3, "part": "odd", "event_ndims": 1}, "event_ndims=3, got event_ndims=1"),
        ({"channels": 3, "momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**arguments)


def test_an_unknown_colour():
    with pytest.raises(ValueError, match=r"conditioning_colour must be one of .*'red'"):
        CheckerboardAffineCoupling(tf.identity, conditioning_colour="red")
    with pytest.raises(ValueError, match=r"scale must be one of .*rescaled_tanh"):
        CheckerboardAffineCoupling(tf.identity, scale="cubic")
