"""Batches for the replicas of a strategy: each gets its share of the rows of the global batch."""

from collections.abc import Iterable

import tensorflow as tf

from tfflows.data import ImageSource, evaluation_batches, training_batches
from tfflows.devices.strategies import check_batch_divides, num_local_replicas, num_workers, worker_index


def distributed_training_batches(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int,
    augmentation: str,
    accumulate: int = 1,
) -> Iterable:
    """Endless training batches from `start_step` on; see `tfflows.data.training_batches`.

    Args:
      strategy: The strategy whose replicas take the batches.
      source: The split.
      global_batch_size: Images per step, over all replicas and accumulated parts.
      seed: Integer in [0, 2**31).
      start_step: Step of the first batch.
      augmentation: One of `tfflows.data.AUGMENTATIONS`.
      accumulate: Number of parts into which each replica will cut its batch.

    Raises:
      ValueError: If the batch does not divide over replicas and parts.
    """
    replica_batch_size = check_batch_divides(global_batch_size, strategy, accumulate) * accumulate

    def dataset():
        return training_batches(
            source,
            global_batch_size=global_batch_size,
            seed=seed,
            start_step=start_step,
            augmentation=augmentation,
            **_share(strategy, replica_batch_size),
        )

    return _distribute(strategy, dataset)


def distributed_evaluation_batches(
    strategy: tf.distribute.Strategy, source: ImageSource, *, global_batch_size: int, seed: int = 0
) -> Iterable:
    """One pass over a split, the last batch padded; see `tfflows.data.evaluation_batches`.

    Raises:
      ValueError: If the batch does not divide over the replicas.
    """
    replica_batch_size = check_batch_divides(global_batch_size, strategy)

    def dataset():
        share = _share(strategy, replica_batch_size)
        return evaluation_batches(source, global_batch_size=global_batch_size, seed=seed, **share)

    return _distribute(strategy, dataset)


def round_up_to_replicas(batch_size: int, strategy: tf.distribute.Strategy) -> int:
    """The smallest batch of at least `batch_size` that divides over the replicas; for evaluation, where padding is free.

    Example:
      >>> from tfflows.devices.inputs import round_up_to_replicas
      >>> from tfflows.devices.strategies import make_strategy
      >>> round_up_to_replicas(5, make_strategy("one_device"))
      5
    """
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def _distribute(strategy, make_dataset):
    # One replica gets the data set itself: the iterators that tf.distribute wraps around it may take as long again to end.
    if strategy.num_replicas_in_sync == 1:
        return make_dataset()
    return strategy.distribute_datasets_from_function(lambda context: make_dataset())


def _share(strategy, replica_batch_size):
    rows_per_worker = replica_batch_size * num_local_replicas(strategy)
    first_row = rows_per_worker * worker_index(strategy) if num_workers(strategy) > 1 else 0
    return {"first_row": first_row, "num_rows": rows_per_worker, "batch_size": replica_batch_size}
