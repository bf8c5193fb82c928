"""Batches for the replicas of a strategy, each the rows of the global batch that are its share."""

from tfflows.data import evaluation_batches, training_batches
from tfflows.devices.strategies import check_batch_divides, num_local_replicas, num_workers, worker_index


def distributed_training_batches(strategy, source, *, global_batch_size, seed, start_step, augmentation, accumulate=1):
    """Endless training batches from `start_step` on; see `tfflows.data.training_batches`."""
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


def distributed_evaluation_batches(strategy, source, *, global_batch_size, seed=0):
    """One pass over a split, the last batch padded; see `tfflows.data.evaluation_batches`."""
    replica_batch_size = check_batch_divides(global_batch_size, strategy)

    def dataset():
        share = _share(strategy, replica_batch_size)
        return evaluation_batches(source, global_batch_size=global_batch_size, seed=seed, **share)

    return _distribute(strategy, dataset)


def round_up_to_replicas(batch_size, strategy):
    """The smallest batch of at least `batch_size` that divides over the replicas; for evaluation, where padding is free."""
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def _distribute(strategy, make_dataset):
    # To one replica the data set itself: the iterators that tf.distribute wraps around it may take as long again to end.
    if strategy.num_replicas_in_sync == 1:
        return make_dataset()
    return strategy.distribute_datasets_from_function(lambda context: make_dataset())


def _share(strategy, replica_batch_size):
    rows_per_worker = replica_batch_size * num_local_replicas(strategy)
    first_row = rows_per_worker * worker_index(strategy) if num_workers(strategy) > 1 else 0
    return {"first_row": first_row, "num_rows": rows_per_worker, "batch_size": replica_batch_size}
