"""What counts as a variable, a module and its children, and the walk over them that names and traces share."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp


def walk(
    value: Any,
    children_of: Callable[[Any], Iterable[tuple[str, str, Any]]],
    visit: Callable[[Any, tuple, tuple[dict, str] | None, int | None], bool],
) -> None:
    """Walks depth-first over modules and over the lists, tuples and dictionaries below them.

    Args:
      value: Value to begin with.
      children_of: Function of a module that gives `(name, attribute, child)` for each child: `public_children` or
        `own_children`.
      visit: Function `(value, path, place, number) -> bool`, called with every value on the way, including variables, before
        the values below it. If it returns false, nothing below the value is visited. `path` is the tuple of names, keys and
        positions that leads to the value. `place` is `(attributes of the module, attribute)` if a module holds the value
        itself, otherwise None. `number` is the number of an earlier visit to the same module, list, tuple or dictionary, whose
        parts are then not visited again, otherwise None.
    """
    visited = {}  # by id; holds the values too, so that no id is reused

    def go(value, path, place):
        if as_variable(value) is not None or not _is_container(value):
            visit(value, path, place, None)
            return
        if id(value) in visited:
            visit(value, path, place, visited[id(value)][0])
            return
        visited[id(value)] = len(visited), value
        if not visit(value, path, place, None):
            return
        if is_module(value):
            attributes = vars(value)
            for name, attribute, child in children_of(value):
                go(child, (*path, name), (attributes, attribute))
        else:
            for name, child in _parts(value):
                go(child, (*path, name), None)

    go(value, (), None)


def as_variable(value: Any) -> tf.Variable | None:
    """Returns a `tf.Variable` itself, the one that a Keras variable wraps, or None for any other value."""
    if isinstance(value, keras.Variable):
        return value.value
    return value if isinstance(value, tf.Variable) else None


def variables_of_layers(*layers: Any) -> list[tf.Variable]:
    """Lists the `tf.Variable`s of Keras layers, for a `tf.Module` to hold; other callables have none.

    A Keras 3 layer is not a `tf.Module`. A module that holds a layer keeps these variables in an attribute `_layer_variables`;
    otherwise its `trainable_variables` would lack them.

    Args:
      *layers: Keras layers and other callables.

    Returns:
      The variables of the layers, in order.

    Raises:
      ValueError: If a layer has not been built.

    Example:
      >>> import keras
      >>> from tfflows.tracing.walk import variables_of_layers
      >>> layer = keras.layers.Dense(2)
      >>> layer.build([None, 3])
      >>> print([tuple(variable.shape) for variable in variables_of_layers(layer, abs)])
      [(3, 2), (2,)]
    """
    layers = [layer for layer in layers if isinstance(layer, keras.layers.Layer)]
    for layer in layers:
        if not layer.built:
            raise ValueError(
                f"The network {layer.name!r} has no variables yet: call its build(input_shape), or call it once, before handing "
                "it to a bijector or distribution."
            )
    return [as_variable(variable) for layer in layers for variable in layer.variables]


def is_module(value: Any) -> bool:
    """Tells whether a value is an object whose attributes may hold variables."""
    kinds = tf.Module | keras.layers.Layer | keras.random.SeedGenerator
    return isinstance(value, kinds) and not isinstance(value, type)


def public_children(module: Any) -> Iterator[tuple[str, str, Any]]:
    """Iterates over the public attributes of a module, in the order in which they were first set.

    A private attribute `_name` counts if the class has a property `name`: TFP keeps the parts of `tfb.Chain` and
    `tfd.TransformedDistribution` this way, and Keras the kernel of a layer. Properties are never evaluated. Bookkeeping is left
    out, except for the list `_layers`, which comes last, for layers that nothing else leads to (those of `keras.Sequential`).

    Yields:
      `(name, attribute, child)`.
    """
    attributes = vars(module)
    last = [_LAYERS] if _LAYERS in attributes else []
    for attribute in [*(name for name in attributes if not _is_bookkeeping(name)), *last]:
        name, child = attribute.removeprefix("_"), attributes[attribute]
        if name == attribute or isinstance(getattr(type(module), name, None), property):
            if attribute == _LAYERS:
                # As in the property `layers`: otherwise a name would depend on whether an input was declared.
                child = [layer for layer in child if not isinstance(layer, keras.layers.InputLayer)]
            yield name, attribute, child


def own_children(module: Any) -> Iterator[tuple[str, str, Any]]:
    """Iterates over all attributes of a module except bookkeeping.

    Yields:
      `(name, attribute, child)`, where the name is the attribute.
    """
    for attribute, child in list(vars(module).items()):
        if not _is_bookkeeping(attribute):
            yield attribute, attribute, child


_LAYERS = "_layers"


@functools.cache
def _is_bookkeeping(attribute):
    """Tells whether an attribute is not a part of a module.

    These are the attributes that TFP, Keras and `tf.Module` give every object, private lists of variables that other attributes
    hold too, and the seed of the initial parameters, which is no longer needed once the variables exist.
    """
    return (
        attribute == "_seed"
        or attribute in _common_attributes()
        or attribute.startswith("_self_")
        or (attribute.startswith("_") and attribute.endswith("_variables"))
    )


@functools.cache
def _common_attributes():
    return {*vars(tfp.bijectors.Identity()), *vars(keras.layers.Layer()), *vars(tf.Module())}


def _is_container(value):
    return isinstance(value, list | tuple | Mapping) or is_module(value)


def _parts(value):
    """Returns the names and children of a list, tuple or dictionary."""
    if isinstance(value, Mapping):
        return list(value.items())
    names = getattr(value, "_fields", None) or range(len(value))
    return list(zip(names, value, strict=True))
