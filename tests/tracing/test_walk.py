"""What is visited, in which order and under which paths."""

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.tracing.variables import as_variable, is_module, own_children, public_children, variables_of_layers, walk

tfb = tfp.bijectors


def dense(**options):
    layer = keras.layers.Dense(2, **options)
    layer.build([None, 3])
    return layer


class Holder(tf.Module):
    def __init__(self, layer):
        super().__init__(name="holder")
        self.scale = tf.Variable(1.0)
        self._hidden = tf.Variable(2.0)
        self._shown = tf.Variable(3.0)
        self.parts = {"layer": layer, "list": [layer, "text"]}
        self._layer_variables = variables_of_layers(layer)
        self._seed = 3

    @property
    def shown(self):
        raise AssertionError("evaluated")


def visits(module, children_of, descend=lambda value: True):
    found = []

    def visit(value, path, place, number):
        found.append(("/".join(map(str, path)), value, place, number))
        return descend(value)

    walk(module, children_of, visit)
    return found


def variable_paths(*arguments):
    return [path for path, value, *_ in visits(*arguments) if as_variable(value) is not None]


def test_public_children_are_those_that_names_are_made_of():
    paths = variable_paths(Holder(dense()), public_children)
    assert paths == ["scale", "shown", "parts/layer/kernel", "parts/layer/bias"]


def test_own_children_are_all_but_bookkeeping():
    paths = [path for path, *_ in visits(Holder(dense()), own_children)]
    assert {"scale", "_hidden", "_shown", "parts/layer/_kernel", "parts/list/1"} <= set(paths)
    assert not {"_seed", "_name", "_layer_variables", "parts/layer/_layers"} & set(paths)


@pytest.mark.parametrize("children_of", [public_children, own_children])
def test_what_is_reached_twice_is_visited_below_once_and_known_again(children_of):
    layer = dense()
    found = {path: (value, number) for path, value, _, number in visits(Holder(layer), children_of)}
    # Visited before it: the holder and the dictionary.
    assert found["parts/layer"] == (layer, None) and found["parts/list/0"] == (layer, 2)
    assert not any(path.startswith("parts/list/0/") for path in found)


def test_a_place_is_where_another_value_can_be_put():
    holder = Holder(dense())
    places = {path: place for path, _, place, _ in visits(holder, public_children)}
    attributes, name = places["shown"]
    assert attributes is vars(holder) and name == "_shown"
    assert places["parts/layer"] is None


def test_nothing_is_visited_below_what_is_not_entered():
    paths = [path for path, *_ in visits(Holder(dense()), public_children, lambda value: not isinstance(value, dict))]
    assert "parts" in paths and not any(path.startswith("parts/") for path in paths)


@pytest.mark.parametrize(
    ("value", "expected"), [(tf.Module(), True), (tfb.Identity(), True), (tf.Module, False), ([], False), (1, False)]
)
def test_what_a_module_is(value, expected):
    assert is_module(value) is expected


def test_variables_of_layers_are_those_of_keras_layers_alone():
    layers = dense(), dense(use_bias=False)
    found = variables_of_layers(layers[0], tf.nn.relu, layers[1])
    assert [id(variable) for variable in found] == [id(v.value) for layer in layers for v in layer.variables]
    with pytest.raises(ValueError, match="'unbuilt' has no variables yet"):
        variables_of_layers(layers[0], keras.layers.Dense(2, name="unbuilt"))
