"""Pixels of a bounded range to the whole line."""

import math

import tensorflow as tf

from tfflows.bijectors.base import Bijector


class Logit(Bijector):
    """Data to latent: `inverse(v) = logit((1 - 2 margin) v + 1/2)` for `v` in [-1/2, 1/2], elementwise.

    Log-determinant of an event: `sum ln(1 - 2 margin) + softplus(x) + softplus(-x)`, x the latent. With a margin the latent is
    bounded by `logit(1 - margin)`; data beyond [-1/2, 1/2] by more than the margin gives NaN.

    #### References

    Dinh et al. 2017, section 4.1; margin 0.05: Ho et al. 2019, released code.
    """

    def __init__(self, margin=0.05, event_ndims=3, dtype=tf.float32, validate_args=False, name="logit"):
        """Args: margin: Python `float` in [0, 1/2); event_ndims: axes of an event; rest as in TFP."""
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
        """Of the direction data to latent."""
        each = math.log(self._scale) + tf.nn.softplus(x) + tf.nn.softplus(-x)
        return tf.reduce_sum(each, axis=list(range(-self.forward_min_event_ndims, 0)))

    def _inverse_and_log_det(self, y):
        scaled = self._scale * y
        x = tf.math.log(0.5 + scaled) - tf.math.log(0.5 - scaled)
        return x, self._log_det(x)

    def _forward_and_log_det(self, x):
        # tanh keeps the digits of values near the middle of the range.
        return 0.5 * tf.tanh(0.5 * x) / self._scale, -self._log_det(x)
