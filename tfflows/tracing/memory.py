"""What training keeps for the backward pass: everything, the inputs of the blocks, or only the last output."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.choices import MEMORY_MODES, PLAIN
from tfflows.tracing.batch_statistics import in_training_pass, pass_within
from tfflows.tracing.stateless import Structure, pure

tfb = tfp.bijectors

_mode = contextvars.ContextVar("memory_mode", default=PLAIN)


@contextlib.contextmanager
def memory_scope(mode: str) -> Iterator[None]:
    """Opens a context that chooses what bijectors keep for the backward pass; the gradients are the same in every mode.

    So are gradients of gradients; a tape that records the backward pass for them keeps its tensors, whatever the mode.

    - `plain`: every intermediate tensor is kept.
    - `recompute`: only the input of each block of a `Chain` is kept; the backward pass runs the block's network once more.
    - `reversible`: only the latent is kept; the backward pass rebuilds each block's input from its output through the
      inverse. Memory does not grow with depth, but rounding errors of the inverse reach the gradients.

    Args:
      mode: `plain`, `recompute` or `reversible`.

    Yields:
      None.

    Raises:
      ValueError: If the mode is unknown.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.tracing.memory import memory_scope
      >>> flow = Chain([ActNorm([2], event_ndims=1), InvertibleConv(2, event_ndims=1)])
      >>> distribution = tfp.distributions.TransformedDistribution(
      ...     tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), 2), flow
      ... )
      >>> def gradient(mode):
      ...     with tf.GradientTape() as tape, memory_scope(mode):
      ...         loss = -tf.reduce_mean(distribution.log_prob([[1.0, 2.0], [3.0, 5.0]]))
      ...     return tape.gradient(loss, flow.bijectors[0].bias)
      >>> print(gradient("plain").numpy().round(3))  # the mean of the batch, since the flow starts as a rotation
      [2.  3.5]
      >>> print(gradient("reversible").numpy().round(3))
      [2.  3.5]

    References:
      Recomputation: Chen et al. 2016, https://arxiv.org/abs/1604.06174. Reversible networks: Gomez et al. 2017,
      https://arxiv.org/abs/1707.04585.
    """
    if mode not in MEMORY_MODES:
        raise ValueError(f"The memory mode must be one of {', '.join(MEMORY_MODES)}, got {mode!r}.")
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def memory_mode() -> str:
    """Returns the mode of the innermost `memory_scope`, or `plain` outside of any."""
    return _mode.get()


def reversible_value_and_log_det(
    bijector: tfb.Bijector, direction: str, x: tf.Tensor, condition: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a bijector's pair so that the backward pass starts from the value alone.

    Args:
      bijector: Bijector of this library, with `_value_and_log_det(direction, x, condition)` and `_rebuild_and_gradient`.
      direction: `inverse` or `forward`.
      x: Input of that direction.
      condition: Structure of tensors, or None.

    Returns:
      `(value, log_det)`, as in the plain mode.

    Raises:
      ValueError: If the bijector assigns to a variable while it computes, or normalizes with the statistics of a batch.
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
        with structure.substituted(values), memory_scope(PLAIN), pass_within(in_training_pass()) as statistics:
            y, log_det = bijector._value_and_log_det(direction, x, own_condition)
        if statistics is not None and statistics.updates:
            raise ValueError(
                f"{bijector!r} holds batch norm, which normalizes with the statistics of the batch: its input cannot be rebuilt "
                "from its output in the memory mode 'reversible'; use the mode 'recompute'."
            )
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
