"""Levels 0 ... 255 in bins under a logistic."""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties, reparameterization, samplers

from tfflows.math import discretized_logistic
from tfflows.tracing.finite import check_finite

tfd = tfp.distributions


class DiscretizedLogistic(tfd.Distribution):
    """`P(y) = S((l + c - loc) / s) - S((l - loc) / s)`, S the sigmoid, `c = 256 / num_levels`, `l = c floor(y / c)`.

    A scalar distribution over the bins of levels 0 ... 255; `loc` and `s = exp(log_scale)` are on the scale of [0, 256]. As
    printed in the paper, the bins cover [0, 256) alone: the probabilities add up to less than 1, and `log_prob` is a lower
    bound. With `open_edges` the outer bins include the tails, and the probabilities add up to 1. Samples are lower edges of
    bins, drawn with open edges either way.

    Example:
      With its middle at 0, half of the logistic lies below the first bin.

      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.discretized_logistic import DiscretizedLogistic
      >>> for open_edges in (False, True):
      ...     pixel = DiscretizedLogistic(loc=0.0, log_scale=1.0, open_edges=open_edges)
      ...     print(round(float(tf.reduce_sum(pixel.prob(tf.range(256.0)))), 3))
      0.5
      1.0
      >>> means = tf.fill([5, 4, 4, 3], 128.0)
      >>> images = tfp.distributions.Independent(DiscretizedLogistic(means, log_scale=0.0), 3)
      >>> print(images.log_prob(tf.zeros([5, 4, 4, 3], tf.uint8)).shape)
      (5,)

    References:
      Lucas & Verbeek 2018, eq. 8, https://arxiv.org/abs/1711.11479.
    """

    def __init__(
        self,
        loc: tf.Tensor | float,
        log_scale: tf.Tensor | float,
        num_levels: int = 256,
        open_edges: bool = False,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "discretized_logistic",
    ) -> None:
        """Creates the distribution.

        Args:
          loc: Location of the logistic, float.
          log_scale: Logarithm of its scale, float; broadcasts with `loc`.
          num_levels: Number of bins: a power of 2 from 2 to 256.
          open_edges: Whether the outer bins include the tails.
          validate_args: As in TFP.
          allow_nan_stats: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If 256 levels do not fall into `num_levels` equal bins.
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
    def loc(self) -> tf.Tensor:
        """Location of the logistic."""
        return self._loc

    @property
    def log_scale(self) -> tf.Tensor:
        """Logarithm of the scale of the logistic."""
        return self._log_scale

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, value):
        value = tf.cast(value, self.dtype)
        log_prob = discretized_logistic.log_prob(value, self._loc, self._log_scale, self._num_levels, self._open_edges)
        check_finite(self, log_prob, (value, self._loc, self._log_scale), "log_prob")
        return log_prob

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        return self.levels_of(samplers.uniform(shape, self._least_uniform(), 1.0, dtype=self.dtype, seed=seed))

    def levels_of(self, uniforms: tf.Tensor) -> tf.Tensor:
        """Samples from uniform numbers in [0, 1), such as keyed ones: the lower edges of the bins of the logistic's quantiles."""
        uniforms = tf.maximum(uniforms, self._least_uniform())
        values = discretized_logistic.quantile(uniforms, self._loc, self._log_scale)
        return discretized_logistic.lower_edges(tf.clip_by_value(values, 0.0, 255.0), self._num_levels)

    def _least_uniform(self):
        return 2.0**-24 if self.dtype == tf.float32 else 2.0**-53

    def _default_event_space_bijector(self):
        return None
