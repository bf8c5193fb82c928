"""Batch norm in training: moments of the whole batch, over all replicas, and how they reach the running ones."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfflows.tracing.variables import as_variable, own_children, walk

_current = contextvars.ContextVar("batch_statistics", default=None)


class Update(NamedTuple):
    """A running statistic and what a batch adds to it: `running <- momentum * running + (1 - momentum) * value`.

    Attributes:
      running: Variable, or the tensor that stands in for it.
      value: Of the batch.
      momentum: Share of the running statistic that stays.
    """

    running: Any
    value: tf.Tensor
    momentum: float


class BatchStatistics:
    """The statistics of the batches that were normalized during a training pass, in order."""

    def __init__(self) -> None:
        self.updates: list[Update] = []

    def record(self, running: Any, value: tf.Tensor, momentum: float) -> None:
        """Notes that a batch had this `value` of the statistic that the variable `running` averages."""
        variable = as_variable(running)
        self.updates.append(Update(running if variable is None else variable, tf.stop_gradient(value), momentum))

    @property
    def values(self) -> list[tf.Tensor]:
        """The statistics of the batches."""
        return [update.value for update in self.updates]

    def update(self, values: Sequence[tf.Tensor] | None = None) -> None:
        """Moves the running statistics towards those of the batches.

        It may be called in a replica, where each moves its own copy: the statistics are equal in all of them.

        Args:
          values: In the order of `values`, if the pass was traced into a function that returned them.
        """
        together = tf.distribute.in_cross_replica_context()
        for update, value in zip(self.updates, self.values if values is None else values, strict=True):
            running = update.running
            before = (
                running.read_value()
                if together
                else tf.raw_ops.ReadVariableOp(resource=running.handle, dtype=running.dtype)
            )
            after = update.momentum * before + (1 - update.momentum) * value
            if together:
                running.assign(after)
            else:
                tf.raw_ops.AssignVariableOp(resource=running.handle, value=after)


@contextlib.contextmanager
def batch_statistics(update: bool = True) -> Iterator[BatchStatistics]:
    """Opens a training pass: inside, batch norm normalizes with the moments of the batch, outside with the running ones.

    The moments are those of all rows, of all replicas. `training_loss` of image models opens a pass of its own, unless it is
    called in one.

    Args:
      update: Whether the running statistics take in those of the batch when the context is left; otherwise that is up to the
        caller. A context inside another one leaves it to the outer one.

    Yields:
      The statistics that were collected.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import BatchNorm
      >>> from tfflows.tracing.batch_statistics import batch_statistics
      >>> norm = BatchNorm(1, event_ndims=1, epsilon=0.0)
      >>> batch = tf.constant([[1.0], [5.0]])  # mean 3, standard deviation 2
      >>> with batch_statistics():
      ...     print(norm.inverse(batch).numpy().ravel())
      [-1.  1.]
      >>> norm.mean.numpy().round(4), norm.variance.numpy().round(4)  # a tenth of the way from 0 and 1
      (array([0.3], dtype=float32), array([1.3], dtype=float32))

    References:
      Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167. In flows: Dinh et al. 2017, section 3.7,
      https://arxiv.org/abs/1605.08803.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    statistics = BatchStatistics()
    with _collecting(statistics):
        yield statistics
    if update:
        statistics.update()


@contextlib.contextmanager
def _collecting(statistics):
    token = _current.set(statistics)
    try:
        yield statistics
    finally:
        _current.reset(token)


def in_training_pass() -> bool:
    """Tells whether batch norm uses the statistics of the batch."""
    return _current.get() is not None


def record_batch_statistic(running: Any, value: tf.Tensor, momentum: float) -> None:
    """Notes a statistic in the training pass that the caller is in; see `BatchStatistics.record`."""
    _current.get().record(running, value, momentum)


def pass_within(is_training: bool) -> contextlib.AbstractContextManager:
    """A context for a function that is traced or run again later: a training pass of its own, or none.

    Args:
      is_training: What `in_training_pass` said where the function was first called.

    Returns:
      A context that yields its `BatchStatistics`, or None.
    """
    return _collecting(BatchStatistics() if is_training else None)


def num_replicas() -> int:
    """Number of replicas over which the statistics of a batch are taken."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def normalizing_moments(x: tf.Tensor, mean: Any, variance: Any, momentum: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of each channel to normalize with.

    In a training pass those of the batch, which are noted for the running ones; otherwise the running ones.

    Args:
      x: `[..., C]`; the moments are taken over all axes but the last, and over the replicas.
      mean: Variable of the running mean, `[C]`.
      variance: Variable of the running variance, `[C]`.
      momentum: Share of a running statistic that stays.

    Returns:
      Mean and (population) variance, `[C]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.tracing.batch_statistics import batch_statistics, normalizing_moments
      >>> mean, variance = tf.Variable([0.0]), tf.Variable([1.0])
      >>> x = tf.constant([[2.0], [4.0]])
      >>> [float(moment[0]) for moment in normalizing_moments(x, mean, variance, momentum=0.9)]
      [0.0, 1.0]
      >>> with batch_statistics():
      ...     [float(moment[0]) for moment in normalizing_moments(x, mean, variance, momentum=0.9)]
      [3.0, 1.0]
    """
    statistics = _current.get()
    if statistics is None:
        return tf.convert_to_tensor(mean), tf.convert_to_tensor(variance)
    batch_mean, batch_variance = _batch_moments(x)
    statistics.record(mean, batch_mean, momentum)
    statistics.record(variance, batch_variance, momentum)
    return batch_mean, batch_variance


def _batch_moments(x):
    axes = list(range(x.shape.rank - 1))
    if num_replicas() == 1:
        mean = tf.reduce_mean(x, axis=axes)
        return mean, tf.reduce_mean(tf.square(x - mean), axis=axes)
    # Sums, since replicas may have different numbers of rows; two passes, since the difference of two large sums is rounded.
    rows = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    total, count = _sum_over_replicas([tf.reduce_sum(x, axis=axes), rows])
    mean = total / count
    return mean, _sum_over_replicas([tf.reduce_sum(tf.square(x - mean), axis=axes)])[0] / count


def _sum_over_replicas(tensors):
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def has_batch_statistics(module: Any) -> bool:
    """Tells whether a model holds batch norm: a bijector or layer whose class says `uses_batch_statistics = True`.

    Example:
      >>> from tfflows.bijectors import ActNorm, BatchNorm, Chain
      >>> from tfflows.tracing.batch_statistics import has_batch_statistics
      >>> has_batch_statistics(Chain([ActNorm([3]), BatchNorm(3)])), has_batch_statistics(Chain([ActNorm([3])]))
      (True, False)
    """
    found = []

    def visit(value, path, place, number):
        del path, place, number
        found.append(getattr(type(value), "uses_batch_statistics", False))
        return True

    walk(module, own_children, visit)
    return any(found)
