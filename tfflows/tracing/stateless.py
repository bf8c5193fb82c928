"""A bijector as a function of its parameters: tensors stand in for its variables."""

import contextlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.tracing.of_parameters import given_tensors, giving, is_computed_together
from tfflows.tracing.variables import as_variable, is_module, own_children, walk

tfb = tfp.bijectors


class Derived:
    """Base class of helpers that follow from the rest of the module that holds them, so that comparisons ignore them."""

    def find_variables(self) -> None:
        """Finds the variables of the module, if needed; called before tensors stand in for them."""
        return None


class Structure(Derived):
    """The places of the variables of a bijector or layer, and a signature of everything else in it.

    Variables are found where they are attributes of modules and Keras layers, also in lists, tuples and dictionaries of modules.
    Two modules with equal `signature` compute the same function of the same parameters: they have equal classes, settings,
    shapes and dtypes, while names and the seed of the initial parameters (an attribute `_seed`) may differ. Objects that cannot
    be compared count as different.

    Attributes:
      variables: List of the `tf.Variable`s, each once, in the order of the attributes.
      signature: Hashable value.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm
      >>> from tfflows.tracing.stateless import Structure
      >>> first, second = ActNorm([2], event_ndims=1), ActNorm([2], event_ndims=1, name="second")
      >>> structure = Structure(first)
      >>> structure.signature == Structure(second).signature
      True
      >>> bias, log_scale = structure.values()
      >>> with structure.substituted([bias + 5.0, log_scale]):
      ...     print(first.inverse_and_log_det([1.0, 2.0])[0].numpy())
      [6. 7.]
      >>> print(first.inverse_and_log_det([1.0, 2.0])[0].numpy())
      [1. 2.]
    """

    def __init__(self, module: Any) -> None:
        """Finds the variables.

        Args:
          module: `tf.Module` (such as a bijector) or Keras layer, with its variables built, or a list, tuple or dictionary of
            these.
        """
        parts = _Parts(module)
        self.signature = tuple(parts.signature)
        self.variables = [variable for variable, _ in parts.found.values()]
        self._places = [places for _, places in parts.found.values()]
        self._out_of_reach = parts.out_of_reach
        self._derived = parts.derived
        self._computed_together = parts.computed_together
        self._kept_alive = parts.kept_alive  # since the signature tells objects apart by their addresses

    def values(self) -> list[tf.Tensor]:
        """Returns the values of the variables, or of the tensors that now stand in for them, in the order of `variables`.

        What was computed of them together with those of other modules (`tfflows.tracing.together`) follows.
        """
        return [tf.convert_to_tensor(value) for value in self.held()] + given_tensors(self._computed_together)

    def held(self) -> list[Any]:
        """Returns the variables, or the tensors that now stand in for them, in the order of `variables`."""
        return [places[0][0][places[0][1]] for places in self._places]

    @contextlib.contextmanager
    def substituted(self, values: Sequence[tf.Tensor]) -> Iterator[None]:
        """Opens a context in which the module computes with `values` in place of its variables.

        It is meant for tracing: everything that the module does inside is a pure function of `values` and its arguments.

        Args:
          values: Tensors in the order of `values`.

        Yields:
          None.

        Raises:
          ValueError: If a variable is held by a list, tuple or dictionary instead of an attribute.
        """
        for derived in self._derived:
            derived.find_variables()
        self._derived = []
        before, number = self.held(), len(self.variables)
        self._put(values[:number])
        try:
            with giving(self._computed_together, values[number:]):
                yield
        finally:
            self._put(before)

    def _put(self, values):
        if self._out_of_reach:
            raise ValueError(
                f"{', '.join(self._out_of_reach)} cannot be replaced in a list, tuple or dictionary; let a module hold each "
                "variable as an attribute of its own."
            )
        for places, value in zip(self._places, values, strict=True):
            for attributes, name in places:
                attributes[name] = value


def is_assignment(error: AttributeError) -> bool:
    """Tells whether an error comes from an assignment to a variable that a tensor stands in for."""
    return "has no attribute 'assign" in str(error)


@contextlib.contextmanager
def pure(module: Any) -> Iterator[None]:
    """Opens a context that raises a clear error if the module assigns to one of its variables while it computes.

    Yields:
      None.

    Raises:
      ValueError: If the module assigns to a variable.
    """
    try:
        yield
    except AttributeError as error:
        if not is_assignment(error):
            raise
        raise ValueError(
            f"{module!r} assigns to a variable while it computes. The memory modes 'recompute' and 'reversible' run a bijector "
            "more than once, so it must be a function of its inputs and parameters alone; use the mode 'plain'."
        ) from error


class _Parts:
    """Collects what a `Structure` holds."""

    def __init__(self, module):
        self.signature = []
        self.found = {}  # by the id of a variable: the variable and its places (dictionary of attributes, name)
        self.kept_alive = []
        self.out_of_reach = []
        self.derived = []
        self.computed_together = []
        walk(module, own_children, self._visit)

    def _visit(self, value, path, place, number):
        description = ("again", number) if number is not None else self._describe(value, place)
        self.signature.append((len(path), path[-1:], description))
        return _is_described_by_parts(value)

    def _describe(self, value, place):
        """The part of a value that is compared; its own parts are visited separately."""
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
            return "initializer"  # no longer needed once the variables exist
        if is_computed_together(value):
            self.computed_together.append(value)
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
        return True  # lists, tuples and dictionaries; other values have no parts
    # Bijectors of TFP and seed generators keep state of other kinds; they are told apart by identity.
    foreign = isinstance(value, tfb.Bijector) and type(value).__module__.split(".")[0] == "tensorflow_probability"
    return not foreign and not isinstance(value, keras.random.SeedGenerator)


def _settings(module):
    if isinstance(module, tfb.Bijector):
        return module.forward_min_event_ndims, module.inverse_min_event_ndims, module.dtype
    if isinstance(module, keras.layers.Layer):
        return module.compute_dtype, module.variable_dtype
    return ()
