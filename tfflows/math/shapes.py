"""Shapes, static where they are known."""

import tensorflow as tf


def shape_of(x):
    """The shape of `x`: Python integers if all are known, else a `Tensor`.

    XLA compiles anew for every value that a shape is computed from. Through a call of a traced function it takes all arguments
    for such values, so that shapes that are known should not be computed.
    """
    return x.shape.as_list() if x.shape.is_fully_defined() else tf.shape(x)
