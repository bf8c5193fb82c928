"""Bijectors made of parts: what the parts may be, and the conditions that they are given."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.math.random import RowKeys, fold_in
from tfflows.math.shapes import flatten_batch

tfb = tfp.bijectors


def check_bijectors(owner: str, *bijectors: Any) -> None:
    """Checks that what `owner` is made of are bijectors.

    Raises:
      TypeError: If one is something else, such as a list or a network.
    """
    for bijector in bijectors:
        if not isinstance(bijector, tfb.Bijector):
            raise TypeError(
                f"{owner} needs bijectors, got {bijector!r}, a {type(bijector).__name__}; bijectors that run one after another "
                "make one as Chain(bijectors), and a network goes into a bijector, such as AffineCoupling(network)."
            )


def check_network_dtype(bijector: tfb.Bijector, parameters: tf.Tensor) -> None:
    """Checks that the output of a bijector's network has the dtype of its data.

    Raises:
      ValueError: If it has another one, as under a mixed policy.
    """
    if parameters.dtype != bijector.dtype:
        raise ValueError(
            f"The network {getattr(bijector.network, 'name', bijector.network)!r} of {type(bijector).__name__} "
            f"{bijector.name!r} gave {parameters.dtype.name} for data of {bijector.dtype.name}: cast its output, or give the "
            "two the same dtype."
        )


def common_dtype(owner: str, bijectors: Sequence[tfb.Bijector]) -> tf.DType | None:
    """The dtype that the bijectors of `owner` share; None if any will do.

    Raises:
      ValueError: If two of them have different dtypes.
    """
    found = None
    for bijector in bijectors:
        if not isinstance(bijector.dtype, tf.DType):
            continue
        found = found or bijector
        if bijector.dtype != found.dtype:
            raise ValueError(
                f"The parts of {owner} need one dtype, but {type(found).__name__} {found.name!r} is {found.dtype.name} and "
                f"{type(bijector).__name__} {bijector.name!r} is {bijector.dtype.name}; build all of them with the same dtype=."
            )
    return None if found is None else found.dtype


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
      >>> from tfflows.bijectors.parts import map_condition
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
