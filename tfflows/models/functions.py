"""What a model in hand and an exported one compute, as functions of tensors.

The streams of noise are those of the evaluation of runs and of their pictures: the same seeds give the same numbers there.
"""

import tensorflow as tf

from tfflows.math.random import fold_in, row_keys, uniform_rows


def _log_prob(model, images, labels, seed, start):
    return model.elbo(images, fold_in(row_keys(seed, 0, start), "evaluation"), model.condition_of(labels))


def _importance_log_prob(model, images, labels, seed, start, num_samples):
    keys = fold_in(row_keys(seed, 0, start), "importance")
    return model.importance_weighted_log_prob(images, keys, num_samples, model.condition_of(labels))


def _sample(model, labels, seed, start, temperature):
    return model.sample_and_check(
        tf.shape(labels)[0], row_keys(seed, 0, start), temperature, model.condition_of(labels)
    )


def _encode(model, images, labels, seed, start):
    return model.encode(images, fold_in(row_keys(seed, 0, start), "encode"), model.condition_of(labels))


def _decode(model, latents, labels, seed, start):
    del seed, start
    return model.decode_and_check(latents, model.condition_of(labels))


def _decode_drawn(model, latents, labels, seed, start):
    return model.decode_and_check(latents, model.condition_of(labels), row_keys(seed, 0, start))


def rows_of_labels(labels: tf.Tensor, num_rows: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns int32 labels for all rows, checked when the graph runs.

    Args:
      labels: Integers `[B]`, or one for all.
      num_rows: Number B of rows.
      num_classes: Number of classes.

    Raises:
      tf.errors.InvalidArgumentError: If a label is no class, or there is not one for each row. A compiler leaves checks out.
    """
    labels = tf.cast(labels, tf.int32)
    count, rank = tf.size(labels), tf.rank(labels)
    fit = (rank == 0) | ((rank == 1) & (count == num_rows))
    with tf.control_dependencies(
        [
            tf.debugging.Assert(fit, ["Expected a label for each image; images, labels:", num_rows, count]),
            tf.debugging.Assert(
                tf.reduce_all((labels >= 0) & (labels < num_classes)),
                [f"Labels must be 0 to {num_classes - 1}, got", labels],
            ),
        ]
    ):
        return tf.broadcast_to(labels, [num_rows])


def random_labels(num_rows: tf.Tensor, num_classes: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns int32 `[num_rows]` labels, each class with the same probability."""
    uniforms = uniform_rows(fold_in(row_keys(seed), "labels"), num_rows, [])
    return tf.cast(uniforms * num_classes, tf.int32)


FUNCTIONS = {
    "log_prob": _log_prob,
    "importance_log_prob": _importance_log_prob,
    "sample": _sample,
    "encode": _encode,
    "decode": _decode,
    "decode_drawn": _decode_drawn,
}
