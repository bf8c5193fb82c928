"""Backpropagation that rebuilds inputs from outputs, so that nothing between has to be kept."""

import tensorflow as tf

from tfflows.tracing.memory import PLAIN, memory_scope
from tfflows.tracing.stateless import Structure, pure


def value_and_log_det(bijector, direction, x, condition=None):
    """A bijector's pair whose backward pass starts from the value alone.

    Args:
      bijector: Of the library: has `_value_and_log_det(direction, x, condition)` and `_rebuild_and_gradient`.
      direction: `inverse` or `forward`.
      x: Input of that direction.
      condition: Structure of tensors, or None.

    Returns:
      `(value, log_det)`, as in the plain mode.
    """
    if bijector._structure is None:
        bijector._structure = Structure(bijector)
    structure = bijector._structure
    conditions = [] if condition is None else tf.nest.flatten(condition)

    def unpacked(rest):
        given = list(rest[: len(conditions)])
        return tf.nest.pack_sequence_as(condition, given) if conditions else None, list(rest[len(conditions) :])

    @tf.custom_gradient
    def run(x, *rest):
        own_condition, values = unpacked(rest)
        with structure.substituted(values), memory_scope(PLAIN):
            y, log_det = bijector._value_and_log_det(direction, x, own_condition)
        input_shape = x.shape

        def backward(*upstream):
            with structure.substituted(values), memory_scope(PLAIN):
                _, d_x, d_condition, d_values = bijector._rebuild_and_gradient(
                    direction, y, list(upstream), own_condition, values
                )
            d_x = tf.ensure_shape(d_x, input_shape)
            return [d_x, *(tf.nest.flatten(d_condition) if conditions else []), *d_values]

        return (y, log_det), backward

    with pure(bijector):
        return run(x, *conditions, *structure.values())
