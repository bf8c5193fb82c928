"""Flags that any worker may set, made known to all of them."""

from collections.abc import Callable

import tensorflow as tf

from tfflows.devices.strategies import num_workers


def make_any_worker(strategy: tf.distribute.Strategy) -> Callable[[object], bool]:
    """A function that tells whether a flag is set in any worker: signals reach workers between different steps.

    Args:
      strategy: Every worker must call the function the same number of times.

    Returns:
      A function `flag -> bool`.
    """
    if num_workers(strategy) == 1:
        return bool

    @tf.function
    def total(flag):
        def replica(flag):
            # An argument is on no device, and the sum goes where its summand is.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))

        return strategy.experimental_local_results(strategy.run(replica, args=(flag,)))[0]

    return lambda flag: float(total(tf.constant(float(bool(flag))))) > 0
