"""The memory modes give the gradients of the plain one; equal blocks share one trace."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.slow import slow_but
from tfflows.bijectors import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    GaussianPrior,
    InvertibleConv,
    InvertibleConvLU,
    Level,
    MaskedConv,
    MultiScale,
    OnFirstChannels,
    Permutation,
    Reverse,
    Squeeze,
    Unsqueeze,
)
from tfflows.choices import MEMORY_MODES
from tfflows.networks import CouplingNetwork, MaskedNetwork, TopPrior, ZeroConv2D
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.shared_blocks import traces_apart

tfb = tfp.bijectors
DEPTH = 2
DTYPE = tf.float64
# Drawn outside of what XLA compiles: it draws other numbers.
INPUT, WEIGHTS = (tf.random.stateless_normal([4, 8, 8, 1], [0, seed], dtype=DTYPE) for seed in (1, 5))


class Conditioner(tf.Module):
    """Two pixelwise layers with stateless dropout between them; counts how often Python runs it."""

    runs = 0

    def __init__(self, inputs, outputs, seed):
        super().__init__()
        normal = tf.random.stateless_normal
        self.first = tf.Variable(0.3 * normal([inputs, 8], [seed, 1], dtype=DTYPE))
        self.last = tf.Variable(0.3 * normal([8, outputs], [seed, 2], dtype=DTYPE))

    def __call__(self, x, condition=None):
        Conditioner.runs += 1
        if condition is not None:
            x = tf.concat([x, condition], axis=-1)
        hidden = tf.nn.experimental.stateless_dropout(tf.tanh(x @ self.first), 0.25, seed=[4, 2])
        return hidden @ self.last


def coupling(kind, channels, seed, condition_channels=0, **options):
    outputs = channels if kind is AffineCoupling else channels // 2
    network = Conditioner(channels // 2 + condition_channels, outputs, seed)
    return kind(network, conditional=condition_channels > 0, dtype=DTYPE, **options)


def chain_of(channels, kind=AffineCoupling, mixing=InvertibleConv, condition_channels=0):
    def step(seed):
        mix = (
            mixing(channels, seed, dtype=DTYPE)
            if mixing in (InvertibleConv, InvertibleConvLU)
            else mixing(channels, seed)
        )
        half = "first" if seed % 2 else "second"
        block = coupling(kind, channels, seed, condition_channels, conditioning_half=half)
        return Chain([ActNorm([channels], dtype=DTYPE), mix, block])

    return Chain([Squeeze(), *(step(seed) for seed in range(DEPTH))])


def multiscale(num_classes=0, condition_channels=0):
    split_prior = ZeroConv2D(4, dtype=DTYPE)
    split_prior.build([None, 4, 4, 2])
    top_prior = TopPrior([2, 2, 8], num_classes=num_classes, dtype=DTYPE)
    top_prior.build()
    levels = [
        Level(chain_of(4, condition_channels=condition_channels), GaussianPrior(split_prior, dtype=DTYPE)),
        Level(
            chain_of(8, condition_channels=4 * condition_channels),
            GaussianPrior(top_prior, conditional=num_classes > 0, parameter_order="contiguous", dtype=DTYPE),
        ),
    ]
    return MultiScale(levels, [8, 8, 1])


def glow():
    def step(seed):
        network = CouplingNetwork(6, 4, deinterleave=True, seed=seed, dtype=DTYPE)
        network.build([None, 4, 4, 2])
        mixing = InvertibleConv(4, seed, dtype=DTYPE)
        return Chain(
            [ActNorm([4], dtype=DTYPE), mixing, AffineCoupling(network, parameter_order="contiguous", dtype=DTYPE)]
        )

    return Chain([Squeeze(), *map(step, range(DEPTH))])


def flat_chain():
    """Couplings that lie in the chain themselves, with a bijector from TFP between."""
    parts = [
        [coupling(AffineCoupling, 4, seed), Reverse(), tfb.Scale(tf.constant(1.5, DTYPE))] for seed in range(DEPTH)
    ]
    return Chain([Squeeze(), *(bijector for part in parts for bijector in part)])


def nested(condition_channels=0):
    """Blocks within what goes on from a split, and what gives the latent the shape of the image."""

    def masked(channels, context, order):
        network = MaskedNetwork(2 * channels, order=order, width=4, context_filters=context, dtype=DTYPE)
        network.build([None, 4, 4, channels])
        return MaskedConv(network, conditional=context > 0, dtype=DTYPE)

    def step(channels, context):
        norm = ActNorm([channels], form="exp_scale_then_shift", dtype=DTYPE)
        return Chain([norm, masked(channels, context, "A"), masked(channels, context, "B")])

    inner = Chain([step(3, condition_channels), step(3, condition_channels)])
    outer = [step(4, condition_channels) for _ in range(DEPTH)]
    return Chain([Squeeze(), *outer, OnFirstChannels(3, inner), Unsqueeze()])


def labels():
    return tf.constant([0, 2, 1, 2])


def spatial(channels):
    return tf.random.stateless_normal([4, 8, 8, channels], [0, 9], dtype=DTYPE)


CASES = {
    "affine": (chain_of, (4,), {}, None),
    "additive_shuffled": (chain_of, (4, AdditiveCoupling, Permutation.random), {}, None),
    "lu": (chain_of, (4, AffineCoupling, InvertibleConvLU), {}, None),
    "conditional": (chain_of, (4,), {"condition_channels": 4}, lambda: spatial(1)),
    "glow": (glow, (), {}, None),
    "flat": (flat_chain, (), {}, None),
    "multiscale": (multiscale, (), {}, None),
    "class_conditional": (multiscale, (), {"num_classes": 3}, labels),
    "spatially_conditional": (multiscale, (), {"condition_channels": 4}, lambda: spatial(1)),
    "nested": (nested, (), {}, None),
    "nested_conditional": (nested, (), {"condition_channels": 4}, lambda: spatial(1)),
}


def disturbed(bijector):
    """The bijector with all parameters away from their initial values."""
    for index, variable in enumerate(bijector.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [index, 3], dtype=variable.dtype)
        variable.assign_add(0.1 * noise)
    return bijector


def value_and_gradients(bijector, direction, condition, mode):
    """Loss, and gradients with respect to input, condition and parameters."""
    x, weights = INPUT, WEIGHTS
    if direction == "forward":
        x = tf.identity(bijector.inverse(x, **({} if condition is None else {"condition": condition})))
    sources = [x, *bijector.trainable_variables]
    if condition is not None and condition.dtype.is_floating:
        sources.append(condition)
    with tf.GradientTape() as tape, memory_scope(mode):
        tape.watch([source for source in sources if not isinstance(source, tf.Variable)])
        run = bijector.inverse_and_log_det if direction == "inverse" else bijector.forward_and_log_det
        y, log_det = run(x, condition)
        loss = tf.reduce_sum(tf.sin(y) * tf.reshape(weights, y.shape)) + tf.reduce_sum(tf.square(log_det))
    return loss, tape.gradient(loss, sources)


def assert_same(found, expected, rtol):
    np.testing.assert_allclose(found[0], expected[0], rtol=rtol)
    for gradient, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(gradient, other, rtol=rtol, atol=rtol * np.abs(other).max())


def built(case):
    build, arguments, options, condition = CASES[case]
    return disturbed(build(*arguments, **options)), None if condition is None else condition()


@pytest.mark.parametrize("case", slow_but({"affine"}, CASES))
def test_every_mode_gives_the_plain_gradients(case):
    bijector, condition = built(case)
    expected = value_and_gradients(bijector, "inverse", condition, "plain")
    assert all(gradient is not None for gradient in expected[1])
    for mode in ("recompute", "reversible"):
        found = tf.function(
            lambda mode=mode: value_and_gradients(bijector, "inverse", condition, mode), autograph=False
        )()
        assert_same(found, expected, rtol=1e-9)


@pytest.mark.parametrize("mode", ["recompute", "reversible"])
@pytest.mark.parametrize("case", slow_but(["flat"], ["conditional", "flat", "spatially_conditional"]))
def test_direction_of_samples_in_eager_mode(case, mode):
    bijector, condition = built(case)
    expected = value_and_gradients(bijector, "forward", condition, "plain")
    assert_same(value_and_gradients(bijector, "forward", condition, mode), expected, rtol=1e-9)


@pytest.mark.parametrize("case", ["affine", "class_conditional"])
def test_shared_traces_give_what_eager_mode_gives(case):
    bijector, condition = built(case)
    expected = value_and_gradients(bijector, "inverse", condition, "plain")
    assert_same(
        tf.function(lambda: value_and_gradients(bijector, "inverse", condition, "plain"), autograph=False)(),
        expected,
        rtol=1e-10,
    )


@pytest.mark.parametrize("mode", slow_but([], list(MEMORY_MODES)))
def test_modes_under_xla(mode):
    bijector, _ = built("glow")  # XLA draws other dropout masks
    expected = value_and_gradients(bijector, "inverse", None, "plain")
    compiled = tf.function(
        lambda: value_and_gradients(bijector, "inverse", None, mode), jit_compile=True, autograph=False
    )
    assert_same(compiled(), expected, rtol=1e-8)


def second_derivatives(bijector, direction, mode):
    """Gradients of a sum of the gradients of `value_and_gradients`, each number with a weight of its own."""
    sources = [INPUT, *bijector.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(INPUT)
        _, first = value_and_gradients(bijector, direction, None, mode)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in first], axis=0)
        total = tf.reduce_sum(flat * tf.cos(tf.range(flat.shape[0], dtype=DTYPE)))
    return total, tape.gradient(total, sources, unconnected_gradients="zero")


@pytest.mark.parametrize("direction", slow_but(["inverse"], ["inverse", "forward"]))
@pytest.mark.parametrize("case", slow_but(["flat"], ["affine", "flat", "glow", "lu", "nested", "multiscale"]))
def test_every_mode_gives_the_plain_second_derivatives(case, direction):
    bijector, _ = built(case)
    expected = second_derivatives(bijector, direction, "plain")
    assert any(np.abs(gradient).max() > 0.1 for gradient in expected[1])
    for mode in ("recompute", "reversible"):
        assert_same(second_derivatives(bijector, direction, mode), expected, rtol=1e-8)
    traced = tf.function(lambda: second_derivatives(bijector, direction, "reversible"), autograph=False)
    assert_same(traced(), expected, rtol=1e-8)


def couplings(*halves):
    return [coupling(AffineCoupling, 4, seed, conditioning_half=half) for seed, half in enumerate(halves)]


@pytest.mark.parametrize(("mode", "extra_runs"), [("plain", 0), ("recompute", 1), ("reversible", 1)])
def test_a_network_runs_at_most_once_more(mode, extra_runs):
    bijector = Chain([Chain([ActNorm([4], dtype=DTYPE), block]) for block in couplings(*["first"] * 4)])
    x = tf.random.stateless_normal([2, 3, 3, 4], [0, 1], dtype=DTYPE)
    Conditioner.runs = 0
    with tf.GradientTape() as tape, memory_scope(mode):
        loss = tf.reduce_sum(bijector.inverse_and_log_det(x)[0])
    tape.gradient(loss, bijector.trainable_variables)
    # Recomputed blocks are traced functions, of which four equal blocks need one; else each block runs in Python.
    assert Conditioner.runs == (1 + extra_runs) * (1 if mode == "recompute" else 4)


@pytest.mark.parametrize(
    ("halves", "kinds"), [(["first"] * 4, 1), (["first", "second"] * 2, 2), (["first"] * 3 + ["second"], 2)]
)
def test_blocks_are_traced_once_a_kind(halves, kinds):
    bijector = Chain([Chain([ActNorm([4], dtype=DTYPE), block]) for block in couplings(*halves)])
    disturbed(bijector)
    x = tf.random.stateless_normal([2, 3, 3, 4], [0, 1], dtype=DTYPE)
    expected = tf.identity(bijector.inverse(x))
    Conditioner.runs = 0
    traced = tf.function(bijector.inverse, autograph=False)
    np.testing.assert_allclose(traced(x), expected, rtol=1e-12)
    assert Conditioner.runs == kinds
    bijector.trainable_variables[0].assign_add(tf.ones([4], DTYPE))
    np.testing.assert_allclose(traced(x), bijector.inverse(tf.identity(x)), rtol=1e-12)


def test_traces_apart_for_what_xla_compiles():
    bijector = disturbed(Chain([Chain([ActNorm([4], dtype=DTYPE), block]) for block in couplings(*["first"] * 3)]))
    x = tf.random.stateless_normal([2, 3, 3, 4], [0, 1], dtype=DTYPE)
    Conditioner.runs = 0
    with traces_apart():
        apart = tf.function(bijector.inverse, autograph=False).get_concrete_function(x)
    assert Conditioner.runs == 3
    assert not [node for node in apart.graph.as_graph_def().node if "PartitionedCall" in node.op]
    together = tf.function(bijector.inverse, autograph=False).get_concrete_function(x)
    assert [node for node in together.graph.as_graph_def().node if "PartitionedCall" in node.op]
    np.testing.assert_allclose(apart(x), together(x), rtol=1e-12)


class Counting(Conditioner):
    """A network with a state of its own."""

    def __init__(self, inputs, outputs, seed):
        super().__init__(inputs, outputs, seed)
        self.count = tf.Variable(0, trainable=False)
        self.limit = tf.Variable(100, trainable=False)

    def __call__(self, x):
        self.count.assign_add(1)
        return super().__call__(x)


def test_networks_with_a_state_run_as_they_are():
    networks = [Counting(2, 4, seed) for seed in range(3)]
    bijector = Chain([AffineCoupling(network, dtype=DTYPE) for network in networks])
    x = tf.random.stateless_normal([2, 3, 3, 4], [0, 1], dtype=DTYPE)
    tf.function(bijector.inverse, autograph=False)(x)
    assert [int(network.count) for network in networks] == [1, 1, 1]
    for mode in ("recompute", "reversible"):
        with pytest.raises(ValueError, match="assigns to a variable while it computes"), memory_scope(mode):
            bijector.inverse_and_log_det(x)


def test_unknown_mode():
    with pytest.raises(ValueError, match="plain, recompute, reversible, got 'free'"), memory_scope("free"):
        pass
