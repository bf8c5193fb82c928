import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from reproductions.glow import model as glow
from tests.training.tiny_runs import EXPERIMENT, replicas_of
from tfflows.devices.strategies import make_strategy
from tfflows.tracing.variables import count_parameters, named_variables, parameter_table, short_variable_names

tfb, tfd = tfp.bijectors, tfp.distributions


class Step(tf.Module):
    def __init__(self, width=3):
        super().__init__()
        self.scale = tf.Variable([1.0, 2.0])
        self.network = keras.layers.Dense(width)
        self.network.build((None, 2))
        # The values again, as a bijector keeps them so that TFP sees them.
        self._network_values = [v.value for v in self.network.variables]


class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.levels = [[Step(), Step()], [Step()]]
        self.parts = {"prior": tf.Variable(0.0), "fixed": tf.Variable(0, trainable=False)}
        self.pair = (tf.Variable([1.0]), None, "text")
        self.again = self.levels[0][0]


STEP = ["scale", "network/kernel", "network/bias"]
MODEL = [
    *[f"levels/0/{step}/{name}" for step in (0, 1) for name in STEP],
    *[f"levels/1/0/{name}" for name in STEP],
    "parts/prior",
    "parts/fixed",
    "pair/0",
]


def test_paths_follow_attributes_in_order_and_name_each_variable_once():
    model = Model()
    named = named_variables(model)
    assert list(named) == MODEL
    assert named["levels/0/1/scale"] is model.levels[0][1].scale
    assert named["levels/0/1/network/kernel"] is model.levels[0][1].network.kernel.value
    assert {id(v) for v in named.values()} == {id(v) for v in model.variables}


@pytest.mark.parametrize("number_of_devices", [1, 8])
def test_names_do_not_depend_on_devices(number_of_devices):
    strategy = tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(number_of_devices)])
    with strategy.scope():
        named = named_variables(Model())
    assert list(named) == MODEL
    assert all(len(strategy.experimental_local_results(v)) == number_of_devices for v in named.values())


def test_parts_of_tfp_containers():
    distribution = tfd.TransformedDistribution(
        tfd.Normal(tf.Variable(0.0), tfp.util.TransformedVariable(1.0, tfb.Exp())),
        tfb.Chain([tfb.Shift(tf.Variable([0.0])), tfb.Invert(tfb.Scale(tf.Variable([2.0])))]),
    )
    assert set(named_variables(distribution)) == {
        "distribution/loc",
        "distribution/scale/pretransformed_input",
        "bijector/bijectors/0/shift",
        "bijector/bijectors/1/bijector/scale",
    }


def test_properties_are_not_evaluated():
    class Lazy(tf.Module):
        def __init__(self):
            super().__init__()
            self.value = tf.Variable(1.0)

        @property
        def costly(self):
            raise AssertionError("evaluated")

    assert list(named_variables(Lazy())) == ["value"]


@pytest.mark.parametrize("declared_input", [False, True])
def test_sequential_names_do_not_depend_on_a_declared_input(declared_input):
    first = [keras.Input((2,))] if declared_input else []
    network = keras.Sequential([*first, keras.layers.Dense(3), keras.layers.Dense(1)])
    network.build((None, 2))
    assert list(named_variables(network)) == [
        f"layers/{layer}/{name}" for layer in (0, 1) for name in ("kernel", "bias")
    ]


def test_a_cycle_ends():
    module = tf.Module()
    module.value = tf.Variable(1.0)
    module.parent = module
    assert list(named_variables(module)) == ["value"]


def test_a_variable_without_public_path_is_named():
    step = Step()
    step._hidden = tf.Variable([1.0, 2.0, 3.0], name="forgotten")
    with pytest.raises(ValueError, match=r"no path of public.*forgotten:0 \(3,\)"):
        named_variables(step)


def test_a_hidden_variable_of_a_nested_keras_layer_is_named():
    class Hiding(keras.layers.Layer):
        def build(self, shape):
            self._secret = self.add_weight(shape=(4,), name="secret")

    step = Step()
    step.layer = Hiding()
    step.layer.build((None, 2))
    with pytest.raises(ValueError, match="secret"):
        named_variables(step)


def test_ambiguous_paths_raise():
    module = tf.Module()
    module.a = {"b/c": tf.Variable(1.0)}
    with pytest.raises(ValueError, match=r"'b/c'.*contains '/'"):
        named_variables(module)


def test_count_and_table():
    model = Model()
    expected = 3 * (2 + 6 + 3) + 1 + 1
    assert count_parameters(model) == expected
    table = parameter_table(model).splitlines()
    assert len({len(line) for line in table}) == 1
    assert [line.split()[0] for line in table[2:-2]] == MODEL
    assert "not trained" in table[2 + MODEL.index("parts/fixed")]
    assert table[-1].split() == ["total", str(expected)]


def test_a_frozen_keras_layer_is_not_counted():
    step = Step()
    step.network.trainable = False
    assert count_parameters(step) == 2


def test_count_in_a_graph_takes_no_memory():
    with tf.Graph().as_default():
        step = Step(width=10**12)  # 12 TB, were it allocated
        assert count_parameters(step) == 2 + 3 * 10**12


def built_glow():
    return glow.build(EXPERIMENT, [8, 8, 1], 10, seed=0)


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_same_variables_under_short_names(replicas):
    expected = named_variables(built_glow())
    strategy = make_strategy("mirrored", replicas)
    with strategy.scope(), short_variable_names():
        variables = named_variables(built_glow())
    assert variables.keys() == expected.keys()
    for name, variable in variables.items():
        assert variable.name.count("/") == 0 and variable.trainable == expected[name].trainable
        for copy in replicas_of(strategy, variable):
            np.testing.assert_array_equal(copy, expected[name], name)
    assert any("/" in variable.name for variable in expected.values())


def test_in_a_graph_variables_stay_apart():
    with tf.Graph().as_default(), short_variable_names():
        model = built_glow()
        assert len({variable.name for variable in model.variables}) == len(model.variables)
        count = count_parameters(model)
    assert count == count_parameters(built_glow())
