"""Shapes, static where they are known."""

import tensorflow as tf


def shape_of(x):
    """The shape of `x`: Python integers if all are known, else a `Tensor`.

    Integers cost no operation in a graph, and XLA needs shapes when it compiles.
    """
    return x.shape.as_list() if x.shape.is_fully_defined() else tf.shape(x)


def sizes_of(x):
    """The sizes of the axes of `x`, each a Python integer if it is known, else a scalar `Tensor`."""
    if x.shape.is_fully_defined():
        return x.shape.as_list()
    dynamic = tf.shape(x)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]
