"""Reading and writing variables inside a replica: its own copy, by one operation each."""

import tensorflow as tf


def read(variable):
    """The value in this replica."""
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def write(variable, value):
    """Sets the value in this replica and returns it."""
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
    return value


def subtract(variable, value):
    """Takes a value from the variable in this replica."""
    tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=value)
