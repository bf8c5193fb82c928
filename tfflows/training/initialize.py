"""Data-dependent initialization, done once and alike on every replica."""

from collections.abc import Sequence

import tensorflow as tf
from absl import logging

from tfflows.data import ImageSource, training_batches
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import fold_in, row_keys


def initialize_from_data(
    strategy: tf.distribute.Strategy,
    model: ImageModel,
    source: ImageSource,
    *,
    batch_size: int,
    seed: int,
    augmentation: str,
) -> None:
    """Sets what depends on data (actnorms) from one batch of training images, layer after layer.

    It runs eagerly outside `strategy.run`: inside, each replica would take other values from its own images. With several workers
    all of them then take the values of the first.

    Args:
      strategy: Strategy of the model.
      model: Its `initialize(images, labels, keys)` is called.
      source: Training images.
      batch_size: Number of images in the batch.
      seed: Integer in [0, 2**31).
      augmentation: As in training.
    """
    batches = training_batches(source, global_batch_size=batch_size, seed=seed, augmentation=augmentation)
    batch = next(iter(batches))
    latents = model.initialize(batch["image"], batch["label"], fold_in(row_keys(seed), "initialize"))
    if not bool(tf.reduce_all(tf.math.is_finite(latents))):
        logging.warning("The data-dependent initialization gave latents that are not finite.")
    equalize_replicas(strategy, model.variables)


def equalize_replicas(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    """Gives all replicas of all workers the values of the first replica."""
    if strategy.num_replicas_in_sync == 1:
        return

    @tf.function
    def values_of_first():
        def replica_values():
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group, 0)
            own = [tf.where(first, variable, tf.zeros_like(variable)) for variable in variables]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return [strategy.experimental_local_results(value)[0] for value in strategy.run(replica_values)]

    for variable, value in zip(variables, values_of_first(), strict=True):
        variable.assign(value)
