"""Several training steps in one traced call, with the metrics of each."""

import tensorflow as tf


def make_several_steps(train_step, metric_names, steps_per_execution=1):
    """A function that takes steps and gives their metrics as one tensor, so that reading them is one transfer.

    Args:
      train_step: `batch -> {name: scalar}`; traceable if `steps_per_execution` is above 1.
      metric_names: Names of the metrics to give, in order.
      steps_per_execution: The most steps that a call takes. With 1 nothing is traced here.

    Returns:
      A function `(batches, num_steps) -> metrics`: takes `num_steps` (Python `int`, 1 to `steps_per_execution`) elements of the
      iterator `batches`, distributed or not, through `train_step`, one after the other; metrics float64
      `[num_steps, len(metric_names)]`, or fewer rows, of which the last is not finite: on parameters that are not finite a
      further step would fail with an error that does not say why. It is traced once, whatever the number of steps.
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


def steps_before(step, last_step, steps_per_execution, *periods):
    """Steps that the call after `step` takes: it ends at `last_step` and at every multiple of a period, crossing none.

    Args:
      step: Steps done.
      last_step: Steps in all.
      steps_per_execution: The most steps of a call.
      *periods: Python `int`s; 0 stands for never.

    Returns:
      Python `int`, at least 1 if `step < last_step`.
    """
    return min(steps_per_execution, last_step - step, *(period - step % period for period in periods if period))
