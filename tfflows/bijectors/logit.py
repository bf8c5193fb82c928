"""Pixels in a bounded range to the whole real line."""

import math

import tensorflow as tf

from tfflows.bijectors.base import Bijector


class Logit(Bijector):
    """Data to latent: `inverse(v) = logit((1 - 2 margin) v + 1/2)` for `v` in [-1/2, 1/2], elementwise.

    Log-determinant of an event: the sum of `ln(1 - 2 margin) + softplus(x) + softplus(-x)` over its elements, x the latent. With
    a margin the latent is bounded by `logit(1 - margin)`. Data v with `(1 - 2 margin) v + 1/2` outside of [0, 1] give NaN.

    Example:
      >>> from tfflows.bijectors import Logit
      >>> logit = Logit(margin=0.05, event_ndims=1)
      >>> latent, log_det = logit.inverse_and_log_det([-0.5, 0.0, 0.5])
      >>> print(latent.numpy().round(4))  # logit(0.05), logit(0.5), logit(0.95)
      [-2.9444  0.      2.9444]
      >>> print(round(float(log_det), 4))  # ln 0.9 - ln(p (1 - p)) for each p
      7.1643
      >>> print(logit.forward(latent).numpy().round(4))
      [-0.5  0.   0.5]

    References:
      Dinh et al. 2017, section 4.1, https://arxiv.org/abs/1605.08803; the margin of 0.05: Ho et al. 2019,
      https://arxiv.org/abs/1902.00275, released code.
    """

    def __init__(
        self,
        margin: float = 0.05,
        event_ndims: int = 3,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "logit",
    ) -> None:
        """Creates the bijector.

        Args:
          margin: Distance of the logit's argument from 0 and 1 at the ends of the range, in [0, 1/2).
          event_ndims: Number of axes of an event.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `margin` is out of its range.
        """
        parameters = dict(locals())
        if not 0 <= margin < 0.5:
            raise ValueError(f"margin must be at least 0 and below 1/2, got {margin}.")
        self._scale = 1 - 2 * margin
        super().__init__(
            forward_min_event_ndims=event_ndims,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _log_det(self, x):
        """Log-determinant of the direction from data to latent."""
        each = math.log(self._scale) + tf.nn.softplus(x) + tf.nn.softplus(-x)
        return tf.reduce_sum(each, axis=list(range(-self.forward_min_event_ndims, 0)))

    def _inverse_and_log_det(self, y):
        scaled = self._scale * y
        x = tf.math.log(0.5 + scaled) - tf.math.log(0.5 - scaled)
        return x, self._log_det(x)

    def _forward_and_log_det(self, x):
        # tanh keeps the digits of values near the middle of the range.
        return 0.5 * tf.tanh(0.5 * x) / self._scale, -self._log_det(x)
