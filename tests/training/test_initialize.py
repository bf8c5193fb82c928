"""Replicas are equal after the data-dependent initialization and after training: trap 5 of the design."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import TinyTrainer, assert_close, assert_equal, build_model, digits, replicas_of
from tfflows.devices.strategies import make_strategy
from tfflows.tracing.variables import named_variables
from tfflows.training.parameters import equalize_replicas, initialize_from_data


@functools.cache
def initialized(kind, replicas=0):
    """A strategy and a model under it, initialized from 16 images."""
    strategy = make_strategy(kind, replicas)
    model = build_model(strategy)
    initialize_from_data(strategy, model, digits(), batch_size=16, seed=3, augmentation="none")
    return strategy, named_variables(model)


def assert_replicas_equal(strategy, variables, count):
    for name, variable in variables.items():
        first, *others = replicas_of(strategy, variable)
        assert len(others) == count - 1, name
        for other in others:
            np.testing.assert_array_equal(other, first, name)


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_are_equal_after_it_and_as_on_one_device(replicas):
    _, expected = initialized("one_device")
    strategy, variables = initialized("mirrored", replicas)
    assert_replicas_equal(strategy, variables, replicas)
    before = named_variables(build_model(make_strategy("one_device")))
    changed = [name for name, variable in before.items() if np.any(variable.numpy() != variables[name].numpy())]
    assert changed and all("step" in name or "bijectors" in name for name in changed)
    assert_equal({n: v.numpy() for n, v in variables.items()}, {n: v.numpy() for n, v in expected.items()})


def test_it_depends_on_the_images():
    strategy = make_strategy("one_device")
    model = build_model(strategy)
    initialize_from_data(strategy, model, digits(), batch_size=8, seed=3, augmentation="none")
    _, expected = initialized("one_device")
    assert any(np.any(v.numpy() != expected[name].numpy()) for name, v in named_variables(model).items())


def test_unequal_replicas_are_made_equal():
    strategy = make_strategy("mirrored", 3)
    with strategy.scope():
        variables = [tf.Variable(tf.zeros([2, 3])), tf.Variable(0.0)]
    generator = np.random.default_rng(0)
    values = [generator.standard_normal([3, *variable.shape]).astype(np.float32) for variable in variables]
    for variable, rows in zip(variables, values, strict=True):
        for component, row in zip(strategy.experimental_local_results(variable), rows, strict=True):
            component.assign(row)
    equalize_replicas(strategy, variables)
    for variable, rows in zip(variables, values, strict=True):
        for component in replicas_of(strategy, variable):
            np.testing.assert_array_equal(component, rows[0])


@pytest.mark.slow
def test_replicas_are_equal_after_three_steps(tmp_path):
    trainers = [TinyTrainer(replicas) for replicas in (1, 2)]
    for trainer in trainers:

        def initialize(trainer=trainer):
            TinyTrainer.initialize(trainer)
            initialize_from_data(
                trainer.strategy, trainer.model, trainer.source, batch_size=16, seed=3, augmentation="none"
            )
            trainer.flat.gather()

        trainer.initialize = initialize
        trainer.run(tmp_path / str(trainer.strategy.num_replicas_in_sync), 3)
    one, two = trainers
    assert_replicas_equal(two.strategy, two.replicated, 2)
    moved = [name for name, value in two.values().items() if np.any(value != two.initial[name])]
    assert any(name.startswith("optimizer/momentum") for name in moved)
    assert_close(two.values(), one.values(), rtol=1e-3, atol=1e-5)
