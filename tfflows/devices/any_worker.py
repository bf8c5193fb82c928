"""What any worker wants, known to all of them."""

import tensorflow as tf

from tfflows.devices.strategies import num_workers


def make_any_worker(strategy):
    """A function that tells whether a flag is set in any worker: signals reach workers between different steps."""
    if num_workers(strategy) == 1:
        return bool

    @tf.function
    def total(flag):
        def replica(flag):
            # An argument lies on no device, and the sum goes where its summand lies.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))

        return strategy.experimental_local_results(strategy.run(replica, args=(flag,)))[0]

    return lambda flag: float(total(tf.constant(float(bool(flag))))) > 0
