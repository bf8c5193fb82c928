"""Where variables are among the authors' weights, and how these are checked, loaded and exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfflows.tracing.variables import as_variable


def assign(places: Sequence[Place], weights: Mapping[str, Any]) -> None:
    """Sets the variables of `Place`s from weights by the authors' names.

    Args:
      places: One for each variable.
      weights: Arrays by the authors' names.

    Raises:
      ValueError: If a name is missing or extra, or a value has the wrong shape or is not finite; nothing is changed then.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.interop.places import assign, halves, values_by_name
      >>> variable = tf.Variable([1.0, 2.0, 3.0, 4.0])
      >>> places = [halves(variable, ["norm0/g", "norm1/g"])]
      >>> values_by_name(places)["norm1/g"]
      array([3., 4.], dtype=float32)
      >>> assign(places, {"norm0/g": np.array([5.0, 6.0]), "norm1/g": np.array([7.0, 8.0])})
      >>> variable.numpy()
      array([5., 6., 7., 8.], dtype=float32)
    """
    check_names([name for place in places for name in place.names], weights)
    values = [place.join([place.fitted(name, weights[name]) for name in place.names]) for place in places]
    for place, value in zip(places, values, strict=True):
        place.variable.assign(value)


def num_numbers(places: Iterable[Place]) -> int:
    """How many numbers the variables of `Place`s have in all."""
    return sum(place.variable.shape.num_elements() for place in places)


def values_by_name(places: Iterable[Place]) -> dict[str, np.ndarray]:
    """Returns the values of the variables as `{authors' name: array}`."""
    parts = ((place, place.split(place.variable.numpy())) for place in places)
    return {name: part for place, own in parts for name, part in zip(place.names, own, strict=True)}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the parts of a variable are among the authors' weights.

    Attributes:
      variable: The variable.
      names: The authors' names, one per part.
      split: Function from the variable's value to the list of its parts.
      join: The inverse of `split`.
    """

    variable: tf.Variable
    names: tuple[str, ...]
    split: Callable[[np.ndarray], list[np.ndarray]]
    join: Callable[[list[np.ndarray]], np.ndarray]

    def fitted(self, name: str, value: Any) -> np.ndarray:
        """Returns `value` with the shape and dtype of the part of that name; errors as in the function `fitted`."""
        own = self.split(np.zeros(self.variable.shape))[self.names.index(name)]
        return fitted(name, value, own.shape, self.variable.dtype.as_numpy_dtype)


def whole(variable: tf.Variable | keras.Variable, name: str) -> Place:
    """Returns the `Place` of a variable that the authors store as it is."""
    return Place(as_variable(variable), (name,), split=lambda value: [value], join=lambda parts: parts[0])


def halves(variable: tf.Variable | keras.Variable, names: Sequence[str]) -> Place:
    """Returns the `Place` of a variable whose last axis the authors store in two halves."""
    return Place(
        as_variable(variable),
        tuple(names),
        split=lambda value: np.split(value, 2, axis=-1),
        join=lambda parts: np.concatenate(parts, axis=-1),
    )


def check_names(expected: Collection[str], weights: Mapping[str, Any]) -> None:
    """Checks that weights have the expected names.

    Args:
      expected: The authors' names.
      weights: Arrays by the authors' names.

    Raises:
      ValueError: If names are missing from `weights` or extra; it lists them.
    """
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


def fitted(name: str, value: Any, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Returns `value` as an array of a shape and dtype.

    Leading axes of size 1, which the authors' vectors have, are dropped.

    Args:
      name: The authors' name, for the messages of errors.
      value: Array.
      shape: The shape that it must have.
      dtype: Numpy dtype of the result.

    Raises:
      ValueError: If `value` has the wrong shape or is not finite.
    """
    value, shape = np.asarray(value), tuple(shape)
    leading = value.shape[: max(value.ndim - len(shape), 0)]
    squeezed = value.reshape(value.shape[len(leading) :]) if all(size == 1 for size in leading) else value
    if squeezed.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; this model needs {shape}.")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{name} holds values that are not finite; give weights without NaN and infinity.")
    return squeezed.astype(dtype)
