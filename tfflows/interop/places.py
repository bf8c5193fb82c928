"""Where variables are among the authors' weights, and what is done there: load, export."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfflows.interop.fitting import check_names, fitted


def assign(places, weights):
    """Sets the variables of `Place`s from weights by the authors' names.

    Raises:
      ValueError: if a name is missing, extra, of another shape, or not finite; nothing is changed then.
    """
    check_names([name for place in places for name in place.names], weights)
    values = [place.join([place.fitted(name, weights[name]) for name in place.names]) for place in places]
    for place, value in zip(places, values, strict=True):
        place.variable.assign(value)


def values_by_name(places):
    """`{authors' name: array}` of what the variables hold."""
    parts = ((place, place.split(place.variable.numpy())) for place in places)
    return {name: part for place, own in parts for name, part in zip(place.names, own, strict=True)}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a variable's parts are among the authors' weights.

    Attributes:
      variable: `tf.Variable`.
      names: The authors', one a part.
      split: From the variable's value to its parts.
      join: The inverse.
    """

    variable: tf.Variable
    names: tuple
    split: Callable
    join: Callable

    def fitted(self, name, value):
        """`value` as the part of that name."""
        own = self.split(np.zeros(self.variable.shape))[self.names.index(name)]
        return fitted(name, value, own.shape, self.variable.dtype.as_numpy_dtype)


def whole(variable, name):
    """The `Place` of a variable that the authors hold as it is."""
    return Place(variable_of(variable), (name,), split=lambda value: [value], join=lambda parts: parts[0])


def halves(variable, names):
    """The `Place` of a variable whose last axis the authors hold in two halves."""
    return Place(
        variable_of(variable),
        tuple(names),
        split=lambda value: np.split(value, 2, axis=-1),
        join=lambda parts: np.concatenate(parts, axis=-1),
    )


def variable_of(variable):
    """The `tf.Variable` of a variable of Keras or TensorFlow."""
    return variable.value if isinstance(variable, keras.Variable) else variable
