"""A bijector as a function of its parameters: other tensors in the place of its variables."""

import contextlib
import functools
import types
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

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
        walk = _Walk()
        self.signature = walk.visit(module)
        self.variables = [variable for variable, _ in walk.found.values()]
        self._places = [places for _, places in walk.found.values()]
        self._out_of_reach = walk.out_of_reach
        self._derived = walk.derived
        self._kept_alive = walk.kept_alive  # as the signature tells objects apart by their addresses

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


class _Walk:
    """One depth-first walk over the attributes."""

    def __init__(self):
        self.found = {}  # id of a variable: the variable, and its places (dictionary of attributes, name)
        self.kept_alive = []
        self.out_of_reach = []
        self.derived = []
        self._visited = {}

    def visit(self, value, attributes=None, name=None):
        variable = _as_variable(value)
        if variable is not None:
            return self._add(variable, value, attributes, name)
        if value is None or isinstance(value, bool | int | float | str | bytes | tf.DType):
            return type(value).__name__, value
        if isinstance(value, tf.TensorShape):
            return "shape", None if value.rank is None else tuple(value.as_list())
        if isinstance(value, Derived):
            self.derived.append(value)
            return "derived"
        if isinstance(value, np.ndarray):
            return "array", value.shape, value.dtype.str, value.tobytes()
        if id(value) in self._visited:
            return "again", self._visited[id(value)]
        self.kept_alive.append(value)
        self._visited[id(value)] = len(self._visited)
        if isinstance(value, list | tuple):
            return "sequence", tuple(self.visit(child) for child in value)
        if isinstance(value, Mapping):
            return "mapping", tuple((self.visit(key), self.visit(child)) for key, child in value.items())
        keras = _keras()
        if isinstance(value, keras.dtype_policies.DTypePolicy):
            return "policy", value.compute_dtype, value.variable_dtype
        if isinstance(value, keras.initializers.Initializer):
            return "initializer"  # of no use once the variables are there
        if _is_module(value):
            return self._visit_module(value)
        return "object", value if isinstance(value, type | types.FunctionType) else id(value)

    def _visit_module(self, module):
        attributes, settings = vars(module), ()
        if isinstance(module, tfb.Bijector):
            settings = (module.forward_min_event_ndims, module.inverse_min_event_ndims, module.dtype)
        elif isinstance(module, _keras().layers.Layer):
            settings = (module.compute_dtype, module.variable_dtype)
        children = tuple(
            (name, self.visit(child, attributes, name))
            for name, child in list(attributes.items())
            if not _is_bookkeeping(name)
        )
        return type(module), settings, children

    def _add(self, variable, value, attributes, name):
        if attributes is None:
            self.out_of_reach.append(variable.name)
            self.kept_alive.append(variable)
            return "object", id(variable)
        index = list(self.found).index(id(variable)) if id(variable) in self.found else len(self.found)
        self.found.setdefault(id(variable), (variable, []))[1].append((attributes, name))
        return "variable", index, tuple(variable.shape), variable.dtype.name, value.trainable


def _as_variable(value):
    """The `tf.Variable` that `value` is or, for Keras, wraps; else None."""
    if isinstance(value, _keras().Variable):
        return value.value
    return value if isinstance(value, tf.Variable) else None


def _is_module(value):
    # Bijectors from TFP keep state of their own kinds; they are told apart by identity.
    ours = not isinstance(value, tfb.Bijector) or type(value).__module__.split(".")[0] != "tensorflow_probability"
    return isinstance(value, tf.Module | _keras().layers.Layer) and ours


@functools.cache
def _keras():
    import keras

    return keras


@functools.cache
def _is_bookkeeping(name):
    """Whether an attribute repeats what others hold (what TFP, Keras and `tf.Module` give every object, lists of variables), or
    is the seed of initial parameters, of no use once the variables are there.
    """
    return name == "_seed" or name in _common_attributes() or name.startswith("_self_") or name.endswith("_variables")


@functools.cache
def _common_attributes():
    return {*vars(tfb.Identity()), *vars(_keras().layers.Layer()), *vars(tf.Module())}
