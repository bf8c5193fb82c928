"""What is added to a slot in place, by few operations for all variables."""

import tensorflow as tf


class Additions:
    """Adds a number to variables: one tensor a shape and number, shared by all variables of that shape."""

    def __init__(self, number):
        self._number = number
        self._filled = {}

    def add_to(self, variable):
        """Adds the number to each entry of this replica's copy."""
        key = tuple(variable.shape), variable.dtype
        if key not in self._filled:
            self._filled[key] = tf.fill(variable.shape, tf.constant(self._number, variable.dtype))
        tf.raw_ops.AssignAddVariableOp(resource=variable.handle, value=self._filled[key])
