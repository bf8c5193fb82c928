"""Settings of training that cannot be are refused by a sentence that names them."""

import dataclasses
import inspect

import keras
import pytest
import tensorflow as tf

from tfflows.training import Execution, LoopSettings
from tfflows.training.optimizers import UpdateRule, optimizer_variables
from tfflows.training.schedules import Constant, GeometricDecay, Linear
from tfflows.training.train_step import make_train_step
from tfflows.training.trainer import TrainingSummary


@pytest.mark.parametrize(
    "name", ["log_every", "checkpoint_every", "evaluation_batch_size", "max_to_keep", "steps_per_execution"]
)
def test_a_period_is_positive(name):
    assert getattr(LoopSettings(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        LoopSettings(**{name: 0})


def test_evaluations_may_be_left_out_but_not_negative():
    assert LoopSettings(evaluate_every=0).evaluate_every == 0
    with pytest.raises(ValueError, match="evaluate_every must be at least 0, got -1"):
        LoopSettings(evaluate_every=-1)


@pytest.mark.parametrize("name", ["accumulate", "num_side_by_side"])
def test_parts_of_a_batch_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Execution(**{name: 0})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": "little"}, "Unknown memory mode 'little'; the valid ones are plain"),
        ({"jit_compile": True, "num_side_by_side": 2}, "leave num_side_by_side at 1 with jit_compile"),
    ],
)
def test_ways_to_compute_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Execution(**settings)


def test_an_update_rule_without_a_rule():
    class Nothing(UpdateRule):
        pass

    rule = Nothing(0.1, name="nothing")
    with pytest.raises(TypeError, match="Nothing does not say what its updates share"):
        rule.scalars(tf.constant(1.0), tf.constant(0.1))
    with pytest.raises(TypeError, match="Nothing does not say how a variable is updated"):
        rule.update(tf.Variable(0.0), tf.constant(0.0), [], {})


def test_variables_of_an_optimizer_that_belong_to_no_parameter():
    class Odd(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            self.odd = self.add_variable((), name="odd")

    optimizer = Odd(0.1)
    optimizer.build([keras.Variable(0.0)])
    with pytest.raises(ValueError, match=r"Odd has variables that belong to no parameter: .*odd"):
        optimizer_variables(optimizer, ["parameter"])


@pytest.mark.parametrize(
    "settings",
    [
        LoopSettings(),
        Execution(),
        TrainingSummary(3, {}, 1.0),
        Linear(9, 0.0, 1.0),
        Constant(9, 1.0),
        GeometricDecay(9, 1.0, 0.5),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_settings_are_not_changed_once_made(settings):
    name = dataclasses.fields(settings)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, name, getattr(settings, name))


def test_a_step_is_taken_whole_unless_parts_are_asked_for():
    defaults = {name: value.default for name, value in inspect.signature(make_train_step).parameters.items()}
    settings = Execution()
    assert (settings.accumulate, settings.num_side_by_side, settings.memory, settings.jit_compile) == (
        1,
        None,  # what the process was set up for
        "plain",
        False,
    )
    for name in ("accumulate", "num_side_by_side", "memory", "jit_compile"):
        assert defaults[name] == getattr(settings, name)
