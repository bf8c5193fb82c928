"""What the gated networks of Flow++ are made of, without variables."""

import tensorflow as tf

from tfflows.math.random import kept_rows


def concat_elu(x):
    """`elu([x, -x])` joined on the channels: `[..., C] -> [..., 2 C]` (Salimans et al. 2017; Ho et al. 2019)."""
    return tf.concat([tf.nn.elu(x), tf.nn.elu(-x)], axis=-1)


def gate(x):
    """`p * sigmoid(q)` of the halves `[p, q]` of the channels: `[..., 2 C] -> [..., C]`."""
    value, opening = tf.split(x, 2, axis=-1)
    return value * tf.sigmoid(opening)


def layer_norm(x, scale, bias, epsilon):
    """`(x - mean) scale / sqrt(variance + epsilon) + bias`, mean and variance over the channels.

    Bit for bit `keras.ops.layer_normalization` and its gradient, but can be differentiated again: the variance of
    `tf.nn.moments` takes its mean for a constant, which leaves gradients as they are, but not theirs.

    Args:
      x: Float `Tensor` `[..., C]`.
      scale: `[C]`, of the dtype of `x`.
      bias: `[C]`, likewise.
      epsilon: Python `float`.

    Returns:
      `Tensor` like `x`.
    """
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)

    @tf.custom_gradient
    def squared_distance(x):
        # No gradient goes through the mean, as the mean of all squares does not change by it; but that of this gradient does.
        squares = tf.math.squared_difference(x, tf.stop_gradient(mean))
        return squares, lambda upstream: 2.0 * upstream * (x - mean)

    variance = tf.reduce_mean(squared_distance(x), axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon) * scale
    return x * inverse + (-mean * inverse + bias)


def dropout_rows(x, rate, keys):
    """Sets each number of `x` to 0 with probability `rate` and divides the others by `1 - rate`.

    Args:
      x: Float `Tensor` `[B, ...]`; what row i loses depends on `keys.seed` and `keys.start + i` alone, so it does not depend on
        how a batch is split, and is the same when computed again.
      rate: Python `float` in [0, 1).
      keys: `RowKeys`, or None for no dropout.

    Returns:
      `Tensor` like `x`.

    Raises:
      ValueError: if `rate` is out of range, or the size of an event is not known.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"A dropout rate must be at least 0 and below 1, got {rate}.")
    if keys is None or rate == 0:
        return x
    event_shape = x.shape[1:]
    if not event_shape.is_fully_defined():
        raise ValueError(f"Dropout needs to know the size of an event, got a batch of shape {x.shape}.")
    kept = kept_rows(keys, tf.shape(x)[0], event_shape, rate)
    return x * (tf.cast(kept, x.dtype) * (1 / (1 - rate)))
