"""Parameters end to end: the same update as apart, bit for bit, on replicas, in checkpoints and for evaluation."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import replicas_of
from tfflows.devices.strategies import make_strategy
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import Adam, GlowAdamax, IAFAdamax, PixelCNNAdam, optimizer_variables
from tfflows.training.parameters import FlatParameters, build_flat

SHAPES = {"model/a": [3, 2], "model/b": [], "model/c": [5], "model/d": [2, 1, 2]}
DTYPES = {"model/a": "float32", "model/b": "float64", "model/c": "float32", "model/d": "float64"}
DECAY = 0.9


def values(seed):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape).astype(DTYPES[name]) for name, shape in SHAPES.items()}


def make(replicas=1):
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope():
        return strategy, {name: tf.Variable(value) for name, value in values(0).items()}


def assert_values(strategy, variables, expected):
    assert variables.keys() == expected.keys()
    for name, variable in variables.items():
        for copy in replicas_of(strategy, variable):
            np.testing.assert_array_equal(copy, expected[name], name)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("rule", [Adam, GlowAdamax, IAFAdamax, PixelCNNAdam])
def test_updates_and_averages_equal_those_of_variables_apart(rule, replicas):
    strategy, apart = make(replicas)
    with strategy.scope():
        joint = {name: tf.Variable(value) for name, value in values(0).items()}
        optimizers = rule(0.1), rule(0.1)
        optimizers[0].build(list(apart.values()))
        flat = build_flat(optimizers[1], joint)
        averages = MovingAverage(apart, DECAY), MovingAverage(flat.variables, DECAY)

    def update(gradients):
        optimizers[0].apply_sums(gradients, list(apart.values()))
        averages[0].update()
        optimizers[1].apply_sums(flat.flatten(gradients), list(flat.variables.values()))
        flat.spread()
        averages[1].update()

    step = tf.function(lambda *gradients: strategy.run(update, args=(gradients,)), autograph=False)
    for number in range(1, 4):
        step(*map(tf.constant, values(number).values()))
    assert any(np.any(joint[name].numpy() != value) for name, value in values(0).items())
    assert_values(strategy, joint, {name: variable.numpy() for name, variable in apart.items()})
    expected = {**optimizer_variables(optimizers[0], list(SHAPES)), **averages[0].variables()}
    found = {**optimizer_variables(optimizers[1], list(flat.variables)), **averages[1].variables()}
    found = flat.named_parts(found)
    assert found.keys() == expected.keys()
    for name, variable in expected.items():
        assert found[name].shape == variable.shape and found[name].dtype == variable.dtype
        np.testing.assert_array_equal(found[name].numpy(), variable.numpy(), name)


@pytest.mark.parametrize("replicas", [1, 2])
def test_gathered_and_spread(replicas):
    strategy, variables = make(replicas)
    with strategy.scope():
        flat = FlatParameters(variables)
    for name, value in values(1).items():
        variables[name].assign(value)
    flat.gather()
    for name, value in values(2).items():
        variables[name].assign(value)
    strategy.run(flat.spread)
    assert_values(strategy, variables, values(1))


@pytest.mark.parametrize("replicas", [1, 2])
def test_parts_go_through_a_checkpoint(replicas, tmp_path):
    strategy, variables = make(replicas)
    with strategy.scope():
        flat = FlatParameters(variables)
        average = MovingAverage(flat.variables, DECAY)
        other = tf.Variable(3)
    parts = flat.named_parts({**average.variables(), "loop/step": other})
    assert list(parts) == [
        *(f"average/{name}" for name in SHAPES if DTYPES[name] == "float32"),
        *(f"average/{name}" for name in SHAPES if DTYPES[name] == "float64"),
        "loop/step",
    ]
    Checkpoints(tmp_path, parts).save(1)
    for part in parts.values():
        part.assign(tf.zeros(part.shape, part.dtype))
    assert not any(np.any(copy) for v in average.variables().values() for copy in replicas_of(strategy, v))
    # As when averages are evaluated: the parameters read what the averages wrote.
    Checkpoints(tmp_path, {f"average/{name}": variable for name, variable in variables.items()}).restore_latest(
        partial=True
    )
    assert_values(strategy, variables, values(0))
    assert Checkpoints(tmp_path, parts).restore_latest() == 1
    average_of_replicas = [replicas_of(strategy, variable) for variable in average.variables().values()]
    for copies, flat_variable in zip(average_of_replicas, flat.variables.values(), strict=True):
        for copy in copies:
            np.testing.assert_array_equal(copy, flat_variable.numpy())


@pytest.mark.parametrize("fails", [False, True])
def test_exchanged_and_back(fails):
    strategy, variables = make()
    with strategy.scope():
        flat = FlatParameters(variables)
        average = MovingAverage(flat.variables, DECAY)
    for name, value in values(1).items():
        variables[name].assign(value)
    flat.gather()
    with pytest.raises(KeyError) if fails else contextlib.nullcontext(), flat.exchanged(average):
        assert_values(strategy, variables, values(0))
        if fails:
            raise KeyError("evaluation")
    assert_values(strategy, variables, values(1))
    strategy.run(flat.spread)
    assert_values(strategy, variables, values(1))


@pytest.mark.parametrize(
    ("optimizer", "is_flat"),
    [
        (lambda: Adam(0.1), True),
        (lambda: Adam(0.1, global_clipnorm=1.0), True),
        (lambda: Adam(0.1, clipvalue=1.0), True),
        (lambda: Adam(0.1, clipnorm=1.0), False),
        (lambda: keras.optimizers.Lamb(0.1), False),
    ],
)
def test_only_rules_that_treat_numbers_alike_work_on_flat_ones(optimizer, is_flat):
    strategy, variables = make()
    with strategy.scope():
        built = optimizer()
        assert (build_flat(built, variables) is not None) == is_flat
    assert built.built
