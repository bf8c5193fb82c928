"""Shapes, static where they are known, and batch axes folded into one."""

import math
from collections.abc import Sequence

import tensorflow as tf


def shape_of(x: tf.Tensor) -> list[int] | tf.Tensor:
    """The shape of `x`: Python integers if all sizes are known, otherwise a `Tensor`.

    Integers cost no operation in a graph, and XLA needs shapes when it compiles.
    """
    return x.shape.as_list() if x.shape.is_fully_defined() else tf.shape(x)


def sizes_of(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The sizes of the axes of `x`: each a Python integer if it is known, otherwise a scalar `Tensor`."""
    if x.shape.is_fully_defined():
        return x.shape.as_list()
    dynamic = tf.shape(x)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]


def product_as_factor(sizes: Sequence[int | tf.Tensor], dtype: tf.DType) -> int | tf.Tensor:
    """The product of `sizes_of`, to be multiplied by a tensor of `dtype`: a Python integer if all sizes are known."""
    product = math.prod(sizes)
    return tf.cast(product, dtype) if tf.is_tensor(product) else product


def flatten_batch(x: tf.Tensor, event_ndims: int = 3) -> tf.Tensor:
    """Folds all leading axes of `x` into one: `[..., event]` to `[B, event]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.shapes import flatten_batch, unflatten_batch
      >>> x = tf.zeros([2, 3, 4, 4, 1])
      >>> flat = flatten_batch(x)
      >>> print(flat.shape, unflatten_batch(flat, like=x).shape)
      (6, 4, 4, 1) (2, 3, 4, 4, 1)
    """
    if x.shape.rank == event_ndims + 1:
        return x
    batch_ndims = x.shape.rank - event_ndims
    flat = tf.reshape(x, tf.concat([[-1], tf.shape(x)[batch_ndims:]], axis=0))
    return tf.ensure_shape(flat, [x.shape[:batch_ndims].num_elements(), *x.shape[batch_ndims:]])


def unflatten_batch(y: tf.Tensor, like: tf.Tensor, like_event_ndims: int = 3) -> tf.Tensor:
    """Gives `[B, event]` the leading axes of `like`: inverse of `flatten_batch`."""
    if like.shape.rank == like_event_ndims + 1:
        return y
    batch_ndims = like.shape.rank - like_event_ndims
    out = tf.reshape(y, tf.concat([tf.shape(like)[:batch_ndims], tf.shape(y)[1:]], axis=0))
    return tf.ensure_shape(out, like.shape[:batch_ndims] + y.shape[1:])
