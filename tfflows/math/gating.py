"""The operations of Flow++'s gated networks that have no variables."""

import tensorflow as tf

from tfflows.math.random import RowKeys, kept_rows


def concat_elu(x: tf.Tensor) -> tf.Tensor:
    """`elu([x, -x])` joined on the channels: `[..., C] -> [..., 2 C]`.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> from tfflows.math.gating import concat_elu
      >>> print(np.round(concat_elu(tf.constant([1.0])), 4))
      [ 1.     -0.6321]

    References:
      Salimans et al. 2017, https://arxiv.org/abs/1701.05517; Ho et al. 2019, https://arxiv.org/abs/1902.00275.
    """
    return tf.concat([tf.nn.elu(x), tf.nn.elu(-x)], axis=-1)


def gate(x: tf.Tensor) -> tf.Tensor:
    """`p * sigmoid(q)` for the halves `[p, q]` of the channels: `[..., 2 C] -> [..., C]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.math.gating import gate
      >>> gate(tf.constant([3.0, 0.0])).numpy().tolist()  # 3 sigmoid(0)
      [1.5]
    """
    value, opening = tf.split(x, 2, axis=-1)
    return value * tf.sigmoid(opening)


def layer_norm(x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor, epsilon: float) -> tf.Tensor:
    """`(x - mean) scale / sqrt(variance + epsilon) + bias`, with mean and variance over the channels.

    Values and gradients are those of `keras.ops.layer_normalization` bit for bit, but the gradients can be differentiated again.
    The variance of `tf.nn.moments` treats its mean as a constant, which leaves gradients as they are, but not their gradients.

    Args:
      x: Float `[..., C]`.
      scale: `[C]`, in the dtype of `x`.
      bias: `[C]`, in the dtype of `x`.
      epsilon: Added to the variance.

    Returns:
      Tensor of the shape and dtype of `x`.
    """
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)

    @tf.custom_gradient
    def squared_distance(x):
        # No gradient goes through the mean, as the mean of all squares does not change by it; but that of this gradient does.
        squares = tf.math.squared_difference(x, tf.stop_gradient(mean))
        return squares, lambda upstream: 2.0 * upstream * (x - mean)

    variance = tf.reduce_mean(squared_distance(x), axis=-1, keepdims=True)
    # Where the variance overflows its root has no part in the gradient, however large what comes from above is.
    root = tf.where(tf.math.is_inf(variance), tf.zeros_like(variance), tf.math.rsqrt(variance + epsilon))
    inverse = tf.math.multiply_no_nan(scale, root)
    return x * inverse + (-mean * inverse + bias)


def dropout_rows(x: tf.Tensor, rate: float, keys: RowKeys | None) -> tf.Tensor:
    """Sets each number of `x` to 0 with probability `rate` and divides the others by `1 - rate`.

    Args:
      x: Float `[B, ...]`. What row i loses depends only on `keys.seed` and `keys.start + i`, so it does not depend on how a batch
        is split, and is the same when it is computed again.
      rate: Probability in [0, 1).
      keys: Keys of the random rows, or None for no dropout.

    Returns:
      Tensor of the shape and dtype of `x`.

    Raises:
      ValueError: If `rate` is out of range, or the size of an event is unknown.
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
