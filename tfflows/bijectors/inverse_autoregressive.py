"""Inverse autoregressive flow."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.bijectors.parts import flat_condition
from tfflows.bijectors.recording import noting
from tfflows.choices import JACOBI
from tfflows.math.fixed_point import TOLERANCE, fixed_point
from tfflows.math.shapes import flatten_batch, unflatten_batch
from tfflows.tracing.gradients import INVERSE
from tfflows.tracing.sampler import current_sampler
from tfflows.tracing.variables import variables_of_layers


class InverseAutoregressive(Bijector):
    """`inverse(y) = (y - m(y)) exp(-s(y))`, `[m, s] = network(y)`; log-determinant `-sum s`, in one pass.

    For each number the network sees only those before it, so the Jacobian is triangular. In a posterior, which maps noise to
    latents, the flow goes under `tfb.Invert`: a sample and its density then take one pass together. `forward` solves for y by
    the fixed-point iteration `y <- x exp(s(y)) + m(y)` until nothing changes. Each round settles at least one more number, so
    in exact arithmetic it takes at most as many rounds as there are numbers, and usually far fewer. Within
    `tfflows.tracing.sampler_scope("jacobi")` it ends as soon as nothing changes by more than `1e-5 max(1, |y|)`.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import InverseAutoregressive
      >>> from tfflows.networks import AutoregressiveNetwork
      >>> network = AutoregressiveNetwork(channels=2, width=4)
      >>> network.build([None, 3, 3, 2])
      >>> flow = InverseAutoregressive(network)
      >>> y = tf.random.stateless_normal([5, 3, 3, 2], seed=[0, 0])
      >>> x = flow.inverse(y)
      >>> print(float(tf.reduce_max(tf.abs(flow.forward(x) - y))) < 1e-5)
      True
      >>> noise = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [3, 3, 2])
      >>> posterior = tfp.distributions.TransformedDistribution(noise, tfp.bijectors.Invert(flow))
      >>> sample, log_prob = posterior.experimental_sample_and_log_prob(5, seed=[0, 0])
      >>> print(sample.shape, log_prob.shape)
      (5, 3, 3, 2) (5,)

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        conditional: bool = False,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "inverse_autoregressive",
    ) -> None:
        """Creates the flow.

        Args:
          network: `tfflows.networks.AutoregressiveNetwork`, built, or another network of that kind: `[B, H, W, C]` to
            `[B, H, W, 2 C]`, where the m and s of a number depend on those before it only.
          conditional: Whether the network takes `condition=`.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If the network is a Keras layer that has not been built.
        """
        parameters = dict(locals())
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self.takes_condition = conditional
        super().__init__(
            forward_min_event_ndims=3, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name
        )

    def inverse_and_log_derivatives(self, y: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes `x` and, for each number, its term `-s` of the log-determinant, both of shape `[B, H, W, C]`."""

        def run(direction, y, condition):
            del direction
            return self._whitened(y, self.network(y, *self._conditions(y, condition)))

        return noting(run, self, INVERSE, y, 3, condition)

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the network from a batch and returns the latent, in one call of the network.

        With an `AutoregressiveNetwork` of the compatibility `released`, this is not what `inverse` gives afterwards: as in the
        released code, the layers pass on outputs of the intended gain, but keep its third root. With `fixed` the two agree.
        """
        return self.initialize_and_log_derivatives(y, condition)[0]

    def initialize_and_log_derivatives(self, y: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Initializes the network from a batch `[B, H, W, C]` and computes `inverse_and_log_derivatives` of it in one call."""
        y, condition = self._checked_input(INVERSE, y, condition)
        return self._whitened(y, self.network.initialize(y, *self._conditions(y, condition)))

    def _whitened(self, y, parameters):
        shift, log_scale = tf.split(tf.cast(parameters, y.dtype), 2, axis=-1)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _conditions(self, y, condition):
        if not self.takes_condition:
            return ()
        if condition is None:
            raise ValueError(f"{self.name} needs a condition; pass condition=.")
        return (flat_condition(condition, y.shape.rank - 3),)

    def _inverse_and_log_det(self, y, condition=None):
        conditions = self._conditions(y, condition)
        flat = flatten_batch(y)
        x, log_derivatives = self._whitened(flat, self.network(flat, *conditions))
        return unflatten_batch(x, y), self._summed(log_derivatives, y)

    def _forward_and_log_det(self, x, condition=None):
        y, log_scale, _ = self.jacobi(x, condition, TOLERANCE if current_sampler() == JACOBI else 0.0)
        return unflatten_batch(y, x), self._summed(log_scale, x)

    def jacobi(
        self, x: tf.Tensor, condition: Any = None, tolerance: float = 0.0
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Solves `inverse(y) = x` by the iteration that the class describes.

        Args:
          x: Latents `[..., H, W, C]`.
          condition: As for `forward`.
          tolerance: As for `tfflows.math.fixed_point.fixed_point`.

        Returns:
          `(y, log_scales, num_rounds)`, the first two with all axes of the batch as one.
        """
        conditions = self._conditions(x, condition)
        flat = flatten_batch(x)
        greatest_exponent = math.log(flat.dtype.max) - 1

        def improved(y):
            shift, log_scale = tf.split(tf.cast(self.network(y, *conditions), y.dtype), 2, axis=-1)
            return flat * tf.exp(tf.minimum(log_scale, greatest_exponent)) + shift, log_scale

        # As many rounds as there are numbers invert any autoregressive map.
        return fixed_point(improved, flat, tf.zeros_like(flat), math.prod(x.shape[-3:]) + 1, tolerance)

    def _summed(self, log_derivatives, like):
        total = tf.reduce_sum(log_derivatives, axis=[1, 2, 3])
        return tf.ensure_shape(tf.reshape(total, tf.shape(like)[:-3]), like.shape[:-3])
