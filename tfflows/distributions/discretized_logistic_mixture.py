"""Pixels under mixtures of discretized logistics."""

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import parameter_properties, reparameterization, samplers

from tfflows.math import discretized_logistic_mixture
from tfflows.tracing.finite import check_finite

tfd = tfp.distributions


class DiscretizedLogisticMixture(tfd.Distribution):
    """A pixel, `[3]` levels 0 ... 255, under a mixture in which green depends on red, and blue on both; or `[1]`, a grey one.

    The parameters are described in `tfflows.math.discretized_logistic_mixture`. The probabilities of the 256^3 pixels add up to
    1; samples are exact.

    Example:
      With all parameters 0, each colour has a logistic of scale 1 around the middle of [-1, 1], where its density is 1/4. Bins
      are 2/255 wide, so a grey pixel costs about `3 ln 510` nats.

      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
      >>> pixels = DiscretizedLogisticMixture(tf.zeros([5, 4, 4, 20]), num_components=2)
      >>> grey = tf.fill([5, 4, 4, 3], 128)
      >>> print(round(float(pixels.log_prob(grey)[0, 0, 0]), 3))
      -18.703
      >>> print(tfp.distributions.Independent(pixels, 2).log_prob(grey).shape)
      (5,)

    References:
      Salimans et al. 2017, section 2, https://arxiv.org/abs/1701.05517.
    """

    def __init__(
        self,
        pixel_parameters: tf.Tensor,
        num_components: int,
        official_approximation: bool = False,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "discretized_logistic_mixture",
    ) -> None:
        """Creates the distribution.

        Args:
          pixel_parameters: float `[..., 10 K]`, or `[..., 3 K]` for grey pixels.
          num_components: Number K of components.
          official_approximation: Whether bins of little mass are approximated as in the released code.
          validate_args: As in TFP.
          allow_nan_stats: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If there are neither `10 K` nor `3 K` parameters per pixel.
        """
        parameters = dict(locals())
        with tf.name_scope(name):
            self._pixel_parameters = tf.convert_to_tensor(pixel_parameters)
        parts = discretized_logistic_mixture.components_of(self._pixel_parameters, num_components)
        self._num_channels = parts.means.shape[-2]
        self._num_components = num_components
        self._official_approximation = official_approximation
        super().__init__(
            dtype=self._pixel_parameters.dtype,
            reparameterization_type=reparameterization.NOT_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"pixel_parameters": parameter_properties.ParameterProperties(event_ndims=1)}

    @property
    def pixel_parameters(self) -> tf.Tensor:
        """Parameters of the mixture, float `[..., 10 K]`, or `[..., 3 K]` for grey pixels."""
        return self._pixel_parameters

    def _event_shape(self):
        return tf.TensorShape([self._num_channels])

    def _event_shape_tensor(self):
        return tf.constant([self._num_channels], tf.int32)

    def _log_prob(self, value):
        pixels = discretized_logistic_mixture.to_pixels(value, self.dtype)
        log_prob = discretized_logistic_mixture.log_prob(
            pixels, self._pixel_parameters, self._num_components, self._official_approximation
        )
        check_finite(self, log_prob, (pixels, self._pixel_parameters), "log_prob")
        return log_prob

    def _sample_n(self, n, seed=None):
        seeds = samplers.split_seed(seed, n=2)
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        least = 2.0**-24 if self.dtype == tf.float32 else 2.0**-53
        component, logistic = (
            samplers.uniform(tf.concat([shape, [size]], axis=0), least, 1.0, dtype=self.dtype, seed=own)
            for size, own in zip((self._num_components, self._num_channels), seeds, strict=True)
        )
        parameters = self._pixel_parameters + tf.zeros([n] + [1] * self._pixel_parameters.shape.rank, self.dtype)
        pixels = discretized_logistic_mixture.sample(
            parameters, self._num_components, component, logistic, rounded=True
        )
        return tf.round(127.5 * pixels + 127.5)

    def _default_event_space_bijector(self):
        return None
