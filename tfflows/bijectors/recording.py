"""A record of what each bijector was given and gave, in one eager run."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

# The list that calls are added to and the numbers of the calls under way, or None.
_record = contextvars.ContextVar("record_of_bijectors", default=None)


class Call(NamedTuple):
    """One direction of a bijector that called no other bijector.

    Attributes:
      bijector: The bijector.
      direction: `inverse` or `forward`.
      x: Input, `[..., event]`.
      event_ndims: Number of axes of an event of the input.
      condition: Structure of tensors, or None.
      value: Output.
      log_det: Log-determinant, nats.
    """

    bijector: Any
    direction: str
    x: tf.Tensor
    event_ndims: int
    condition: Any
    value: tf.Tensor
    log_det: tf.Tensor


@contextlib.contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Records the calls of all bijectors that call no other bijector, in eager mode.

    Yields:
      A list that grows with each call. If a call raises an error, those before it are in the list.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.bijectors.recording import recorded_calls
      >>> flow = Chain([ActNorm([3]), InvertibleConv(3)])
      >>> with recorded_calls() as calls:
      ...     _ = flow.inverse_and_log_det(tf.ones([2, 4, 4, 3]))
      >>> [call.bijector.name for call in calls]
      ['actnorm', 'invertible_conv']
    """
    calls = []
    token = _record.set((calls, []))
    try:
        yield calls
    finally:
        _record.reset(token)


def noting(
    run: Callable[[str, tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]],
    bijector: Any,
    direction: str,
    x: tf.Tensor,
    event_ndims: int,
    condition: Any,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `run(direction, x, condition)`, a value and a log-determinant, and notes the call if calls are recorded."""
    record = _record.get()
    if record is None or not tf.executing_eagerly():
        return run(direction, x, condition)
    calls, open_calls = record
    if open_calls:
        open_calls[-1] = True
    open_calls.append(False)
    try:
        value, log_det = run(direction, x, condition)
    finally:
        calls_others = open_calls.pop()
    if not calls_others:
        x = tf.convert_to_tensor(x, dtype_hint=bijector.dtype)
        calls.append(Call(bijector, direction, x, event_ndims, condition, value, log_det))
    return value, log_det
