"""What training keeps for the backward pass: everything, the inputs of the blocks, or only the last output."""

import contextlib
import contextvars

import tensorflow as tf

from tfflows.tracing.stateless import Structure, pure

PLAIN, RECOMPUTE, REVERSIBLE = MODES = ("plain", "recompute", "reversible")

_mode = contextvars.ContextVar("memory_mode", default=PLAIN)


@contextlib.contextmanager
def memory_scope(mode):
    """Bijectors that are called inside differentiate in the given way; the gradients are the same.

    - `plain`: every intermediate tensor is kept.
    - `recompute`: of each block of a `Chain` its input is kept; the backward pass runs the block's network once more.
    - `reversible`: only the latent is kept; the backward pass rebuilds each block's input from its output through the
      inverse. Memory does not grow with depth, and rounding errors of the inverse reach the gradients.

    Args:
      mode: One of these.

    Raises:
      ValueError: if the mode is unknown.

    #### Examples

    ```python
    with tf.GradientTape() as tape, memory_scope("reversible"):
        loss = -tf.reduce_mean(distribution.log_prob(images))
    gradients = tape.gradient(loss, distribution.trainable_variables)
    ```

    #### References

    Chen et al. 2016 (recomputation); Gomez et al. 2017 (reversible networks).
    """
    if mode not in MODES:
        raise ValueError(f"The memory mode must be one of {', '.join(MODES)}, got {mode!r}.")
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def memory_mode():
    """The mode of the innermost `memory_scope`; `plain` outside."""
    return _mode.get()


def reversible_value_and_log_det(bijector, direction, x, condition=None):
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
