"""Parts of a batch that the cores of a CPU compute side by side, each operation on one thread."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging


def use_cores(count: int) -> None:
    """Lets TensorFlow run `count` operations at once, each on one thread.

    By default all cores share each operation. But the operations of a flow wait for one another, and many of them are too small
    to share. The call has to come before TensorFlow first uses its devices; afterwards it only warns.

    Raises:
      ValueError: If there is a GPU, which would not gain from it.
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
            "TensorFlow has started already and keeps its threads: computing %d parts side by side may save no time.",
            count,
        )


def side_by_side(function: Callable[..., Any], rows: Sequence[tf.Tensor], num_parts: int) -> Any:
    """What `function` gives for the rows of a batch, computed for consecutive parts that do not wait for each other.

    Args:
      function: `(*rows) -> structure of tensors [B, ...]`, whose row i depends only on row i of its arguments.
      rows: Tensors `[B, ...]`, B known.
      num_parts: Number of parts; there are no more parts than rows.

    Returns:
      The structure for the whole batch.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.devices.side_by_side import side_by_side
      >>> side_by_side(tf.square, [tf.constant([1.0, 2.0, 3.0])], num_parts=2).numpy().tolist()
      [1.0, 4.0, 9.0]
    """
    batch_size = rows[0].shape[0]
    num_parts = min(num_parts, batch_size or 1)
    if num_parts == 1:
        return function(*rows)
    size, rest = divmod(batch_size, num_parts)
    sizes = [size + (number < rest) for number in range(num_parts)]
    parts = [function(*part) for part in zip(*(tf.split(x, sizes) for x in rows), strict=True)]
    return tf.nest.map_structure(lambda *values: tf.concat(values, axis=0), *parts)
