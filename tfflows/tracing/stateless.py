"""A bijector as a function of its parameters: other tensors in the place of its variables."""

import contextlib
import types
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.tracing.walk import as_variable, is_module, own_children, walk

tfb = tfp.bijectors


class Derived:
    """Base of what a module holds but what follows from the rest of it, so that comparisons pass it over."""

    def find_variables(self):
        """Called before tensors stand in for the variables of the module, for what has to know the variables."""


class Structure(Derived):
    """Where the variables of a bijector or layer lie, and what else it is made of.

    Variables are found where attributes of modules and Keras layers hold them, below lists, tuples and dictionaries of modules.
    Two structures with equal `signature` compute the same function of the same parameters: equal classes, settings, shapes
    and dtypes, whatever the names and the seed of their initial parameters (an attribute `_seed`). What cannot be compared
    counts as different.

    Attributes:
      variables: The `tf.Variable`s, each once, in the order of the attributes.
      signature: Hashable.
    """

    def __init__(self, module):
        """Args: module: `tf.Module` (bijectors are) or Keras layer, with its variables built."""
        parts = _Parts(module)
        self.signature = tuple(parts.signature)
        self.variables = [variable for variable, _ in parts.found.values()]
        self._places = [places for _, places in parts.found.values()]
        self._out_of_reach = parts.out_of_reach
        self._derived = parts.derived
        self._kept_alive = parts.kept_alive  # as the signature tells objects apart by their addresses

    def values(self):
        """Tensors of what now stands in the places of the variables, in their order."""
        return [tf.convert_to_tensor(places[0][0][places[0][1]]) for places in self._places]

    @contextlib.contextmanager
    def substituted(self, values):
        """While it is open, the module computes with `values` in the place of its variables.

        Meant for tracing: everything that the module does inside is a pure function of `values` and its arguments.

        Raises:
          ValueError: if a variable lies in a list, tuple or dictionary, and not in an attribute.
        """
        for derived in self._derived:
            derived.find_variables()
        self._derived = []
        before = [places[0][0][places[0][1]] for places in self._places]
        self._put(values)
        try:
            yield
        finally:
            self._put(before)

    def _put(self, values):
        if self._out_of_reach:
            raise ValueError(
                f"{', '.join(self._out_of_reach)} cannot be exchanged in a list, tuple or dictionary: let a module hold each as "
                "an attribute of its own."
            )
        for places, value in zip(self._places, values, strict=True):
            for attributes, name in places:
                attributes[name] = value


def is_assignment(error):
    """Whether an `AttributeError` comes of assigning to a variable that a tensor stands in for."""
    return "has no attribute 'assign" in str(error)


@contextlib.contextmanager
def pure(module):
    """Says clearly what is wrong if the module assigns to one of its variables while it computes."""
    try:
        yield
    except AttributeError as error:
        if not is_assignment(error):
            raise
        raise ValueError(
            f"{module!r} assigns to a variable while it computes. What runs more than once, in the memory modes 'recompute' and "
            "'reversible', must be a function of its inputs and parameters alone: use the mode 'plain'."
        ) from error


class _Parts:
    """What a `Structure` is made of."""

    def __init__(self, module):
        self.signature = []
        self.found = {}  # id of a variable: the variable, and its places (dictionary of attributes, name)
        self.kept_alive = []
        self.out_of_reach = []
        self.derived = []
        walk(module, own_children, self._visit)

    def _visit(self, value, path, place, number):
        description = ("again", number) if number is not None else self._describe(value, place)
        self.signature.append((len(path), path[-1:], description))
        return _is_described_by_parts(value)

    def _describe(self, value, place):
        """What is compared of a value; of what others are part of, all but these."""
        variable = as_variable(value)
        if variable is not None:
            return self._add(variable, value, place)
        if value is None or isinstance(value, bool | int | float | str | bytes | tf.DType):
            return type(value).__name__, value
        if isinstance(value, tf.TensorShape):
            return "shape", None if value.rank is None else tuple(value.as_list())
        if isinstance(value, Derived):
            self.derived.append(value)
            return "derived"
        if isinstance(value, np.ndarray):
            return "array", value.shape, value.dtype.str, value.tobytes()
        if isinstance(value, list | tuple):
            return "sequence"
        if isinstance(value, Mapping):
            return "mapping"
        if isinstance(value, keras.dtype_policies.DTypePolicy):
            return "policy", value.compute_dtype, value.variable_dtype
        if isinstance(value, keras.initializers.Initializer):
            return "initializer"  # of no use once the variables are there
        if is_module(value) and _is_described_by_parts(value):
            return type(value), _settings(value)
        self.kept_alive.append(value)
        return "object", value if isinstance(value, type | types.FunctionType) else id(value)

    def _add(self, variable, value, place):
        if place is None:
            self.out_of_reach.append(variable.name)
            self.kept_alive.append(variable)
            return "object", id(variable)
        index = list(self.found).index(id(variable)) if id(variable) in self.found else len(self.found)
        self.found.setdefault(id(variable), (variable, []))[1].append(place)
        return "variable", index, tuple(variable.shape), variable.dtype.name, value.trainable


def _is_described_by_parts(value):
    if not is_module(value):
        return True  # lists, tuples and dictionaries; others have no parts
    # Bijectors from TFP keep state of their own kinds, as seed generators do; they are told apart by identity.
    foreign = isinstance(value, tfb.Bijector) and type(value).__module__.split(".")[0] == "tensorflow_probability"
    return not foreign and not isinstance(value, keras.random.SeedGenerator)


def _settings(module):
    if isinstance(module, tfb.Bijector):
        return module.forward_min_event_ndims, module.inverse_min_event_ndims, module.dtype
    if isinstance(module, keras.layers.Layer):
        return module.compute_dtype, module.variable_dtype
    return ()
