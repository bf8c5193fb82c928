"""Where variables are among the authors' weights, and what is done there: check, load, export."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfflows.tracing.walk import as_variable


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
    return Place(as_variable(variable), (name,), split=lambda value: [value], join=lambda parts: parts[0])


def halves(variable, names):
    """The `Place` of a variable whose last axis the authors hold in two halves."""
    return Place(
        as_variable(variable),
        tuple(names),
        split=lambda value: np.split(value, 2, axis=-1),
        join=lambda parts: np.concatenate(parts, axis=-1),
    )


def check_names(expected, weights):
    """Raises `ValueError` that lists what is missing from `weights` and what is too much; both by the authors' names."""
    missing = [name for name in expected if name not in weights]
    extra = [name for name in weights if name not in expected]
    problems = [f"{kind} {_listed(names)}" for kind, names in (("missing:", missing), ("extra:", extra)) if names]
    if problems:
        raise ValueError(
            f"The weights do not fit this model ({len(expected)} names): {'; '.join(problems)}. Build the model with the "
            "settings that the weights were trained with (its depth, widths and kinds of layers)."
        )


def _listed(names, most=5):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


def fitted(name, value, shape, dtype):
    """`value` as an array of a shape and dtype; leading axes of size 1, which the authors' vectors have, are dropped.

    Raises:
      ValueError: if it has another shape or is not finite.
    """
    value, shape = np.asarray(value), tuple(shape)
    leading = value.shape[: max(value.ndim - len(shape), 0)]
    squeezed = value.reshape(value.shape[len(leading) :]) if all(size == 1 for size in leading) else value
    if squeezed.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; this model needs {shape}.")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{name} holds values that are not finite.")
    return squeezed.astype(dtype)
