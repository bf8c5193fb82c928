"""A learned Gaussian prior, written as the bijector that whitens it."""

from collections.abc import Callable

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.bijectors.parts import check_network_dtype
from tfflows.math import coupling
from tfflows.math.shapes import flatten_batch, shape_of, unflatten_batch
from tfflows.tracing.variables import variables_of_layers


class GaussianPrior(Bijector):
    """Data to latent: `inverse(z) = (z - mean) / scale`, `(mean, log_scale) = network(condition)`; latent N(0, I).

    A density `N(z; mean, scale)` equals that of this bijector onto a standard normal, with log-determinant `-sum log_scale`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import GaussianPrior
      >>> def network(condition):  # mean = condition, scale = 2
      ...     return tf.concat([condition, tf.fill(condition.shape, tf.math.log(2.0))], axis=-1)
      >>> prior = GaussianPrior(network, parameter_order="contiguous")
      >>> z, condition = tf.fill([1, 2, 2, 1], 7.0), tf.fill([1, 2, 2, 1], 3.0)
      >>> latent, log_det = prior.inverse_and_log_det(z, condition)
      >>> print(latent.numpy().ravel(), log_det.numpy().round(4))  # (7 - 3) / 2, -4 ln 2
      [2. 2. 2. 2.] [-2.7726]

    References:
      Released Glow code (openai/glow, `split2d` and `prior`). Factoring out: Dinh et al. 2017, section 3.6,
      https://arxiv.org/abs/1605.08803.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        conditional: bool = True,
        parameter_order: str = "interleaved",
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "gaussian_prior",
    ) -> None:
        """Creates the prior of events `[H, W, C]`.

        Args:
          network: Callable that gives `[B, H, W, 2 C]` (B may be 1). If `conditional`, its argument is the condition, a tensor
            `[B, ...]`; otherwise it has none.
          conditional: Whether mean and scale depend on `condition=`.
          parameter_order: Where the network's channels hold mean and log-scale: `'interleaved'` (even and odd channels) or
            `'contiguous'` (first and last half).
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `parameter_order` is unknown, or the network is a Keras layer that has not been built.
        """
        parameters = dict(locals())
        if parameter_order not in coupling.CHANNEL_SPLITS:
            raise ValueError(
                f"parameter_order must be one of {tuple(coupling.CHANNEL_SPLITS)}, got {parameter_order!r}."
            )
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self._split_parameters = coupling.CHANNEL_SPLITS[parameter_order]
        self.takes_condition = conditional
        super().__init__(
            forward_min_event_ndims=3,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _mean_and_log_scale(self, z, condition):
        if not self.takes_condition:
            mean, log_scale = self._split_parameters(self._checked(self.network(), z))
            ones = [1] * (z.shape.rank - 4)
            return tuple(tf.reshape(part, [*ones, *part.shape]) if ones else part for part in (mean, log_scale))
        if condition is None:
            raise ValueError(f"{self.name} needs a condition; pass condition=.")
        batch_ndims = z.shape.rank - 3
        parameters = self.network(flatten_batch(condition, condition.shape.rank - batch_ndims))
        return self._split_parameters(unflatten_batch(self._checked(parameters, z), z))

    def _checked(self, parameters, z):
        height, width, channels = z.shape[-3:]
        # Broadcasting would hide a wrong shape and give a wrong log-determinant.
        wanted = [height, width, channels and 2 * channels]
        if not parameters.shape[1:].is_compatible_with(wanted):
            raise ValueError(
                f"The network of {self.name} gave {parameters.shape} for latents of shape {z.shape}; it must give "
                f"[B, {', '.join(map(str, wanted))}]."
            )
        check_network_dtype(self, parameters)
        return parameters

    def _log_scale_sum(self, z, log_scale):
        total = tf.reduce_sum(log_scale, axis=[-3, -2, -1])
        batch_shape = shape_of(z)[:-3]
        total = (
            tf.broadcast_to(tf.reshape(total, []), batch_shape)
            if z.shape.rank == 3
            else tf.broadcast_to(total, batch_shape)
        )
        return tf.ensure_shape(total, z.shape[:-3])

    def _inverse_and_log_det(self, y, condition=None):
        mean, log_scale = self._mean_and_log_scale(y, condition)
        x = (y - mean) * tf.exp(-log_scale)
        return tf.reshape(x, shape_of(y)), -self._log_scale_sum(y, log_scale)

    def _forward_and_log_det(self, x, condition=None):
        mean, log_scale = self._mean_and_log_scale(x, condition)
        y = mean + tf.exp(log_scale) * x
        return tf.reshape(y, shape_of(x)), self._log_scale_sum(x, log_scale)
