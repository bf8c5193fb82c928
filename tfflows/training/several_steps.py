"""Several training steps in one traced call, with the metrics of each."""

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf


def make_several_steps(
    train_step: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    metric_names: Sequence[str],
    steps_per_execution: int = 1,
) -> Callable[[Iterator, int], tf.Tensor]:
    """A function that takes steps and gives their metrics as one tensor, so that reading them is one transfer.

    Args:
      train_step: `batch -> {name: scalar}`; traceable if `steps_per_execution` is above 1.
      metric_names: Names of the metrics to give, in order.
      steps_per_execution: Largest number of steps per call. With 1 nothing is traced here.

    Returns:
      A function `(batches, num_steps) -> metrics`. It takes `num_steps` (1 to `steps_per_execution`) elements of the iterator
        `batches`, distributed or not, through `train_step`, one after the other. The metrics are float64
        `[num_steps, len(metric_names)]`, or fewer rows, the last of which is not finite: on parameters that are not finite a
        further step would fail with an error that does not say why. It is traced once, whatever the number of steps.

    Example:
      >>> from tfflows.training.several_steps import make_several_steps
      >>> several_steps = make_several_steps(lambda batch: {"loss": 2.0 * batch}, ["loss"])
      >>> several_steps(iter([1.0, 2.0]), 1).numpy().tolist()
      [[2.0]]
    """

    def one_step(batches):
        metrics = train_step(next(batches))
        return tf.stack([tf.cast(metrics[name], tf.float64) for name in metric_names])

    @tf.function
    def loop(batches, num_steps):
        def goes_on(number, finite, _):
            return (number < num_steps) & finite

        def step(number, _, rows):
            row = one_step(batches)
            return number + 1, tf.reduce_all(tf.math.is_finite(row)), rows.write(number, row)

        rows = tf.TensorArray(tf.float64, num_steps, element_shape=[len(metric_names)])
        number, _, rows = tf.while_loop(goes_on, step, (0, True, rows), parallel_iterations=1)
        return rows.gather(tf.range(number))

    def several_steps(batches, num_steps):
        if not 1 <= num_steps <= steps_per_execution:
            raise ValueError(f"num_steps must be 1 to {steps_per_execution}, got {num_steps}.")
        if steps_per_execution == 1:
            return one_step(batches)[tf.newaxis]
        return loop(batches, tf.constant(num_steps))

    return several_steps


def steps_before(step: int, last_step: int, steps_per_execution: int, *periods: int) -> int:
    """Number of steps that the call after `step` takes: it ends at `last_step` and at every multiple of a period, crossing none.

    Args:
      step: Number of steps done.
      last_step: Total number of steps.
      steps_per_execution: Largest number of steps per call.
      *periods: Numbers of steps; 0 means never.

    Returns:
      The number of steps, at least 1 if `step < last_step`.

    Example:
      >>> from tfflows.training.several_steps import steps_before
      >>> steps_before(8, 100, 5, 10)  # stops at step 10
      2
    """
    return min(steps_per_execution, last_step - step, *(period - step % period for period in periods if period))
