"""Checks of what a bijector is made of: other bijectors, and networks."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

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
