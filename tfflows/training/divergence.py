"""Where a training step that was not finite went wrong: a second, eager pass over its batch."""

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import row_keys
from tfflows.tracing.finite import find_not_finite, is_finite
from tfflows.tracing.memory import memory_scope


def describe_not_finite(
    strategy: tf.distribute.Strategy,
    model: ImageModel,
    variables: Mapping[str, tf.Variable],
    batch: Mapping[str, Any],
    *,
    seed: int,
    num_parts: int = 1,
    memory: str = "plain",
) -> str:
    """Names the first part of a model whose output is not finite in a training step, or the gradients that are not.

    The loss is computed eagerly, part of the batch by part of the batch; the gradients only if the loss is finite. Of several
    workers, each sees its own images.

    Args:
      strategy: Strategy of the model.
      model: With the parameters from before the step.
      variables: The trained variables by name.
      batch: Of `distributed_training_batches`.
      seed: Seed of the training step.
      num_parts: Number of parts into which the batch of a replica is cut.
      memory: What is kept for the gradients, see `tfflows.tracing.memory`.

    Returns:
      A sentence.
    """
    rows = [strategy.experimental_local_results(batch[name]) for name in ("image", "label", "index", "step")]
    parts = [part for replica in zip(*rows, strict=True) for part in _parts(replica, num_parts)]

    def loss_of(images, labels, index, step):
        with model.training_pass(update=False):
            return model.training_loss(images, labels, row_keys(seed, step[0], index[0]))

    for part in parts:
        where = find_not_finite(model, lambda part=part: loss_of(*part))
        if where is not None:
            return f"The first output that is not finite is that of {where}."
        if not is_finite(loss_of(*part)):
            return "All layers give finite outputs, but the loss that is made of them is not finite."
    for part in parts:
        with tf.GradientTape() as tape, memory_scope(memory):
            loss = tf.reduce_sum(loss_of(*part)[0])
        gradients = tape.gradient(loss, list(variables.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)
        bad = [name for name, gradient in zip(variables, gradients, strict=True) if not is_finite(gradient)]
        if bad:
            return f"All outputs are finite, but not the gradients of {len(bad)} variables, among them {bad[-1]}."
    return "Computed eagerly, the loss of this batch and its gradients are finite."


def described_or_not(**arguments: Any) -> str:
    """`describe_not_finite`, or, if it fails, an empty sentence: the error that it is for comes first."""
    logging.info("A training step was not finite: looking for the layer.")
    try:
        return describe_not_finite(**arguments)
    except Exception as error:
        logging.warning("The layer that was not finite first could not be found: %s", error)
        return ""


def _parts(replica, num_parts) -> Iterator[list[tf.Tensor]]:
    size = max(1, replica[0].shape[0] // num_parts)
    for start in range(0, replica[0].shape[0], size):
        yield [values[start : start + size] for values in replica]
