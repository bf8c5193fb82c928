"""Levels 0 ... 255 in bins under a logistic."""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties, reparameterization, samplers

from tfflows.math import discretized_logistic

tfd = tfp.distributions


class DiscretizedLogistic(tfd.Distribution):
    """`P(y) = S((l + c - loc) / s) - S((l - loc) / s)`, S the sigmoid, `c = 256 / num_levels`, `l = c floor(y / c)`.

    A scalar distribution over the bins of levels 0 ... 255; `loc` and `s = exp(log_scale)` are on the scale of [0, 256]. As
    printed in the paper the bins cover [0, 256) alone, so that probabilities add up to less than 1 and `log_prob` is a lower
    bound; with `open_edges` the outer bins have the tails, and they add up to 1. Samples are lower edges of bins, drawn with
    open edges either way.

    #### Examples

    ```python
    images = tfd.Independent(DiscretizedLogistic(loc=means, log_scale=log_scales), 3)   # means [B, H, W, C]
    nats = images.log_prob(levels)                                                      # [B]
    ```

    #### References

    Lucas & Verbeek 2018, eq. 8.
    """

    def __init__(
        self,
        loc,
        log_scale,
        num_levels=256,
        open_edges=False,
        validate_args=False,
        allow_nan_stats=True,
        name="discretized_logistic",
    ):
        """Creates the distribution.

        Args:
          loc: Float `Tensor`.
          log_scale: Float `Tensor`, broadcasts with `loc`.
          num_levels: Python `int`, number of bins: a power of 2 from 2 to 256.
          open_edges: Python `bool`.
          validate_args: As in TFP.
          allow_nan_stats: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if there are no so many equal bins.
        """
        parameters = dict(locals())
        discretized_logistic.check_num_levels(num_levels)
        with tf.name_scope(name):
            self._loc = tf.convert_to_tensor(loc)
            self._log_scale = tf.convert_to_tensor(log_scale, self._loc.dtype)
        self._num_levels = num_levels
        self._open_edges = open_edges
        super().__init__(
            dtype=self._loc.dtype,
            reparameterization_type=reparameterization.NOT_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        properties = parameter_properties.ParameterProperties
        return {"loc": properties(), "log_scale": properties()}

    @property
    def loc(self):
        """Location of the logistic."""
        return self._loc

    @property
    def log_scale(self):
        """Logarithm of its scale."""
        return self._log_scale

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, value):
        return discretized_logistic.log_prob(
            tf.cast(value, self.dtype), self._loc, self._log_scale, self._num_levels, self._open_edges
        )

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        least = 2.0**-24 if self.dtype == tf.float32 else 2.0**-53
        uniforms = samplers.uniform(shape, least, 1.0, dtype=self.dtype, seed=seed)
        values = discretized_logistic.quantile(uniforms, self._loc, self._log_scale)
        return discretized_logistic.lower_edges(tf.clip_by_value(values, 0.0, 255.0), self._num_levels)

    def _default_event_space_bijector(self):
        return None
