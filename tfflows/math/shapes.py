"""Shapes, static where they are known."""

import tensorflow as tf


def shape_of(x):
    """The shape of `x`: Python integers if all are known, else a `Tensor`.

    Integers cost no operation in a graph, and XLA needs shapes when it compiles.
    """
    return x.shape.as_list() if x.shape.is_fully_defined() else tf.shape(x)
