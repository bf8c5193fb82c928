"""Conditions of bijectors: structures of tensors and random keys."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfflows.math.random import RowKeys, fold_in
from tfflows.math.shapes import flatten_batch


def map_condition(
    condition: Any,
    on_tensor: Callable[[tf.Tensor], tf.Tensor] | None = None,
    on_keys: Callable[[RowKeys], RowKeys] | None = None,
) -> Any:
    """Applies functions to the tensors and to the random keys of a condition; None stays None.

    Args:
      condition: `Tensor`, `RowKeys`, None, or dictionaries, lists and tuples of them.
      on_tensor: Function of a tensor; None for the identity.
      on_keys: Function of `RowKeys`; None for the identity.

    Returns:
      The results in the structure of the condition.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors.conditions import map_condition
      >>> condition = {"labels": tf.constant([3.0]), "context": None}
      >>> squared = map_condition(condition, on_tensor=tf.square)
      >>> print(squared["labels"].numpy(), squared["context"])
      [9.] None
    """
    if condition is None:
        return None
    if isinstance(condition, RowKeys):
        return on_keys(condition) if on_keys else condition
    if isinstance(condition, dict):
        return {name: map_condition(value, on_tensor, on_keys) for name, value in condition.items()}
    if isinstance(condition, list | tuple):
        return type(condition)(map_condition(value, on_tensor, on_keys) for value in condition)
    return on_tensor(condition) if on_tensor else condition


def at_place(condition: Any, place: int) -> Any:
    """Gives the condition of the bijector at a place of a chain, with random keys of an independent stream.

    Equal bijectors then draw different noise, such as dropout masks, without having to know their places.
    """
    return map_condition(condition, on_keys=lambda keys: fold_in(keys, place))


def flat_condition(condition: Any, batch_ndims: int) -> Any:
    """Folds the `batch_ndims` batch axes of the tensors of a condition into one, as networks expect."""
    return map_condition(condition, on_tensor=lambda tensor: flatten_batch(tensor, tensor.shape.rank - batch_ndims))
