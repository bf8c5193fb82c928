"""What counts as a variable, a module and its children: one walk over them, for names and for traces."""

import functools
from collections.abc import Mapping

import keras
import tensorflow as tf
import tensorflow_probability as tfp


def walk(value, children_of, visit):
    """Depth-first over modules and over the lists, tuples and dictionaries below them.

    Args:
      value: Where to begin.
      children_of: From a module to `(name, attribute, child)` of what it holds: `public_children` or `own_children`.
      visit: `(value, path, place, number) -> bool`, called with everything on the way, variables too, before what is below it;
        false: nothing below is visited. `path` is the tuple of names, keys and positions that leads to the value; `place` is
        `(attributes of the module, attribute)` where a module holds it itself, else None; `number` is that of an earlier visit
        to the same module, list, tuple or dictionary, below which nothing is visited again, else None.
    """
    visited = {}  # by id; holds the values, so that ids stay theirs

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


def as_variable(value):
    """The `tf.Variable` that a value is or, for Keras, wraps; else None."""
    if isinstance(value, keras.Variable):
        return value.value
    return value if isinstance(value, tf.Variable) else None


def variables_of_layers(*layers):
    """The `tf.Variable`s of Keras layers (none of other callables), for a `tf.Module` to hold.

    A Keras 3 layer is no `tf.Module`: without them the `trainable_variables` of what holds the layer would be empty. They are
    kept in an attribute `_layer_variables`, whatever holds them.

    Raises:
      ValueError: if a layer has not been built.
    """
    layers = [layer for layer in layers if isinstance(layer, keras.layers.Layer)]
    for layer in layers:
        if not layer.built:
            raise ValueError(
                f"The network {layer.name!r} has no variables yet: call its build(input_shape), or call it once, before handing "
                "it to a bijector or distribution."
            )
    return [as_variable(variable) for layer in layers for variable in layer.variables]


def is_module(value):
    """Whether a value is an object whose attributes may hold variables."""
    kinds = tf.Module | keras.layers.Layer | keras.random.SeedGenerator
    return isinstance(value, kinds) and not isinstance(value, type)


def public_children(module):
    """`(name, attribute, child)` of what a module shows: its public attributes, in the order in which they were first set.

    Also an attribute `_name` whose class has a property `name`: TFP keeps the parts of `tfb.Chain` and
    `tfd.TransformedDistribution` so, and Keras the kernel of a layer. Properties are never evaluated. Bookkeeping is left out,
    but for the list `_layers`, which comes last, for what nothing else leads to (the layers of `keras.Sequential`).
    """
    attributes = vars(module)
    last = [_LAYERS] if _LAYERS in attributes else []
    for attribute in [*(name for name in attributes if not _is_bookkeeping(name)), *last]:
        name, child = attribute.removeprefix("_"), attributes[attribute]
        if name == attribute or isinstance(getattr(type(module), name, None), property):
            if attribute == _LAYERS:
                # As the property has them: else a name would depend on whether an input was declared.
                child = [layer for layer in child if not isinstance(layer, keras.layers.InputLayer)]
            yield name, attribute, child


def own_children(module):
    """`(name, attribute, child)` of all attributes of a module but bookkeeping."""
    for attribute, child in list(vars(module).items()):
        if not _is_bookkeeping(attribute):
            yield attribute, attribute, child


_LAYERS = "_layers"


@functools.cache
def _is_bookkeeping(attribute):
    """Whether an attribute repeats what others hold (what TFP, Keras and `tf.Module` give every object, private lists of
    variables), or is the seed of initial parameters, of no use once the variables are there.
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
    """Names and children of a list, tuple or dictionary."""
    if isinstance(value, Mapping):
        return list(value.items())
    names = getattr(value, "_fields", None) or range(len(value))
    return list(zip(names, value, strict=True))
