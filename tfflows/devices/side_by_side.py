"""Parts of a batch that the cores of a CPU compute side by side, each operation on one thread."""

import tensorflow as tf
from absl import logging


def use_cores(count):
    """Lets TensorFlow run `count` operations at a time, each on one thread.

    By default all cores share each operation. But those of a flow wait for one another, and many of them are too small to
    share. Has to come before TensorFlow first uses its devices; afterwards it only warns.

    Raises:
      ValueError: if there is a GPU, which has no use for it.
    """
    if tf.config.list_physical_devices("GPU"):
        raise ValueError(
            f"Computing {count} parts side by side is for machines without a GPU; leave side_by_side at 1."
        )
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        logging.warning(
            "TensorFlow is at work already and keeps its threads: computing %d parts side by side may win nothing.",
            count,
        )


def side_by_side(function, rows, num_parts):
    """What `function` gives for the rows of a batch, computed for consecutive parts that do not wait for each other.

    Args:
      function: `(*rows) -> structure of tensors [B, ...]`, whose row i depends on row i of its arguments alone.
      rows: Tensors `[B, ...]`, B known.
      num_parts: Python `int`; there are no more parts than rows.

    Returns:
      the structure for the whole batch.
    """
    batch_size = rows[0].shape[0]
    num_parts = min(num_parts, batch_size or 1)
    if num_parts == 1:
        return function(*rows)
    size, rest = divmod(batch_size, num_parts)
    sizes = [size + (number < rest) for number in range(num_parts)]
    parts = [function(*part) for part in zip(*(tf.split(x, sizes) for x in rows), strict=True)]
    return tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *parts)
