"""The importance-weighted bound of a batch."""

import math

import tensorflow as tf

from tfflows.math.random import fold_in


def log_mean_weight(bound, keys, num_samples, batch_size):
    """`ln (1/S) sum_s exp(bound(keys_s))`, nats, float64 `[B]` (Burda et al. 2016), in memory of one sample.

    Args:
      bound: From `RowKeys` to one sample of the log-weights, `[B]`.
      keys: `RowKeys`; those of each sample are derived.
      num_samples: S, Python `int` or scalar tensor.
      batch_size: B, integer or tensor.
    """

    def add_sample(sample, running):
        weight = tf.cast(bound(fold_in(keys, sample)), tf.float64)
        return sample + 1, tf.reduce_logsumexp(tf.stack([running, weight]), axis=0)

    start = tf.fill([batch_size], tf.constant(-math.inf, tf.float64))
    _, total = tf.while_loop(lambda sample, _: sample < num_samples, add_sample, (tf.constant(0), start))
    return total - tf.math.log(tf.cast(num_samples, tf.float64))
