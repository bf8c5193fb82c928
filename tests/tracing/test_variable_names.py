"""Short names change no variable but in its name."""

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from tests.training.tiny_runs import EXPERIMENT, replicas_of
from tfflows.devices.strategies import make_strategy
from tfflows.tracing.named_variables import count_parameters, named_variables
from tfflows.tracing.variable_names import short_variable_names


def build():
    return glow.build(EXPERIMENT, [8, 8, 1], 10, seed=0)


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_same_variables_under_short_names(replicas):
    expected = named_variables(build())
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope(), short_variable_names():
        variables = named_variables(build())
    assert variables.keys() == expected.keys()
    for name, variable in variables.items():
        assert variable.name.count("/") == 0 and variable.trainable == expected[name].trainable
        for copy in replicas_of(strategy, variable):
            np.testing.assert_array_equal(copy, expected[name], name)
    assert any("/" in variable.name for variable in expected.values())


def test_in_a_graph_variables_stay_apart():
    with tf.Graph().as_default(), short_variable_names():
        model = build()
        assert len({variable.name for variable in model.variables}) == len(model.variables)
        count = count_parameters(model)
    assert count == count_parameters(build())
