"""Batch normalization as a bijector."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math.coupling import COLOURS, colour_mask
from tfflows.math.shapes import product_as_factor, sizes_of
from tfflows.tracing.batch_statistics import normalizing_moments

_HALVES = ("first", "second")
PARTS = ("all", *_HALVES, *COLOURS)


class BatchNorm(Bijector):
    """Data to latent: `inverse(y) = (y - mean) / sqrt(variance + epsilon)`, per channel.

    The log-determinant of an event is the sum of `-1/2 ln(variance + epsilon)` over all normalized values.

    In a training pass (`tfflows.tracing.batch_statistics`) mean and variance are those of the batch, of all replicas, and the
    running ones follow: `running <- momentum * running + (1 - momentum) * batch`, with the population variance. The gradient
    goes through them. The log-determinant ignores that each image has a part in the statistics: in a training pass it is not
    that of a density. Otherwise, and in `forward` always, they are the running ones: a constant scale and shift.

    After a coupling, `part` names what it has transformed; the rest passes unchanged. With a half of the channels, the moments
    are those of that half. With a colour of the checkerboard they are, as in the released code, those of an image in which the
    other colour is 0: half of the values are exact zeros, and values of mean 0 leave with a variance of 2.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import BatchNorm
      >>> from tfflows.tracing.batch_statistics import batch_statistics
      >>> norm = BatchNorm(1, event_ndims=1, epsilon=0.0)
      >>> batch = tf.constant([[1.0], [5.0]])  # mean 3, standard deviation 2
      >>> with batch_statistics():
      ...     latent, log_det = norm.inverse_and_log_det(batch)
      >>> print(latent.numpy().ravel(), log_det.numpy().round(4))  # -ln 2 each
      [-1.  1.] [-0.6931 -0.6931]

      The running mean has moved from 0 to 0.3, the running variance from 1 to 0.9 + 0.4:

      >>> print(norm.forward([[0.0], [1.0]]).numpy().ravel().round(4))  # 0.3, 0.3 + sqrt(1.3)
      [0.3    1.4402]

    References:
      Dinh et al. 2017, section 3.7, https://arxiv.org/abs/1605.08803, and released code (tensorflow/models, real_nvp). Ioffe &
      Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """

    uses_batch_statistics = True

    def __init__(
        self,
        channels: int,
        event_ndims: int = 3,
        part: str = "all",
        momentum: float = 0.9,
        epsilon: float = 1e-4,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "batch_norm",
    ) -> None:
        """Creates the running statistics: mean 0 and variance 1.

        Args:
          channels: Number of channels of an event, on its last axis.
          event_ndims: Number of axes of an event: 3 for images `[H, W, C]`, 1 for vectors.
          part: What is normalized: `'all'`, the `'first'` or `'second'` half of the channels, or the pixels `'even'` or `'odd'`
            (row + column).
          momentum: Share of a running statistic that stays at each step, in [0, 1).
          epsilon: Added to the variance.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `part` is unknown or does not fit the event, or `momentum` is out of its range.
        """
        parameters = dict(locals())
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}, got {part!r}.")
        if part in _HALVES and channels % 2:
            raise ValueError(f"part={part!r} is a half of the channels, but there are {channels}.")
        if part in COLOURS and event_ndims != 3:
            raise ValueError(f"part={part!r} is for images, with event_ndims=3, got event_ndims={event_ndims}.")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}.")
        self._channels = channels
        self._part = part
        self._momentum = momentum
        self._epsilon = epsilon
        size = [channels // 2 if part in _HALVES else channels]
        self.mean = tf.Variable(tf.zeros(size, dtype), trainable=False, name="mean")
        self.variance = tf.Variable(tf.ones(size, dtype), trainable=False, name="variance")
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _known_event_shape(self, direction):
        return self._known_channels(self._channels)

    def _mask(self, x):
        height, width = sizes_of(x)[-3:-1]
        return colour_mask(height, width, self._part)

    def _transform(self, x, transform):
        """Applies a function to the part that is normalized."""
        if self._part == "all":
            return transform(x)
        if self._part in COLOURS:
            return tf.where(self._mask(x), transform(x), x)
        first, second = tf.split(x, 2, axis=-1)
        return tf.concat([transform(first), second] if self._part == "first" else [first, transform(second)], axis=-1)

    def _normalized_values(self, x):
        """What the moments are taken of."""
        if self._part == "all":
            return x
        if self._part in COLOURS:
            return tf.where(self._mask(x), x, tf.zeros_like(x))
        return tf.split(x, 2, axis=-1)[_HALVES.index(self._part)]

    def _log_det(self, x, variance):
        """Log-determinant of the direction from data to latent."""
        sizes = sizes_of(x)[x.shape.rank - self.forward_min_event_ndims : -1]
        if self._part in COLOURS:
            count = tf.reduce_sum(tf.cast(self._mask(x), x.dtype))
        else:
            count = product_as_factor(sizes, x.dtype)
        log_det = -0.5 * count * tf.reduce_sum(tf.math.log(variance + self._epsilon))
        return broadcast_log_det(log_det, x, self.forward_min_event_ndims)

    def _inverse_and_log_det(self, y):
        mean, variance = normalizing_moments(self._normalized_values(y), self.mean, self.variance, self._momentum)
        factor = tf.math.rsqrt(variance + self._epsilon)
        return self._transform(y, lambda part: (part - mean) * factor), self._log_det(y, variance)

    def _forward_and_log_det(self, x):
        mean, variance = tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)
        factor = tf.sqrt(variance + self._epsilon)
        return self._transform(x, lambda part: part * factor + mean), -self._log_det(x, variance)
