"""How far a long graph is, as it runs."""

import contextlib

import tensorflow as tf

from tfflows import progress


def reporting(done: tf.Tensor, number: tf.Tensor, total: int, size: int | tf.Tensor) -> None:
    """Tells the innermost task how far it is, each time that a tensor is computed.

    Only if a task is shown when the graph is made, see `tfflows.progress.shown`; otherwise the graph stays as it is. XLA cannot
    compile a graph that reports.

    Args:
      done: The tensor, such as a row of pixels.
      number: Its number, from 0.
      total: How many there are, such as the rows of an image.
      size: What all of them are of the task, such as the images of a batch.
    """
    if progress.innermost() is None:
        return

    def tell(number, size):
        task = progress.innermost()
        if task is not None:
            with contextlib.suppress(OSError, ValueError):  # a closed stream is no reason to end
                task.part((int(number) + 1) / total, int(size))

    with tf.control_dependencies([done]):
        tf.py_function(tell, [number, size], [])
