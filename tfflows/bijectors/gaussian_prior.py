"""A learned Gaussian prior, as the bijector that whitens it."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.math import coupling
from tfflows.math.shapes import flatten_batch, shape_of, unflatten_batch
from tfflows.tracing.walk import variables_of_layers


class GaussianPrior(Bijector):
    """Data to latent: `inverse(z) = (z - mean) / scale`, `(mean, log_scale) = network(condition)`; latent N(0, I).

    A density `N(z; mean, scale)` is the same as this bijector onto a standard normal, with log-determinant `-sum log_scale`.

    #### References

    Released Glow code (`split2d`, `prior`); RealNVP's factoring out, Dinh et al. 2017, section 3.6.
    """

    def __init__(
        self,
        network,
        conditional=True,
        parameter_order="interleaved",
        dtype=tf.float32,
        validate_args=False,
        name="gaussian_prior",
    ):
        """Creates the prior of events `[H, W, C]`.

        Args:
          network: Callable that gives `[B, H, W, 2 C]` (B may be 1): of the condition, a tensor `[B, ...]`, if
            `conditional`, else of nothing.
          conditional: Python `bool`, whether mean and scale depend on `condition=`.
          parameter_order: Where the channels hold mean and log-scale: `'interleaved'` (even and odd) or `'contiguous'`.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if `parameter_order` is unknown.
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
        # Broadcasting would hide a wrong shape, and count its log-determinant wrongly.
        if not parameters.shape[1:].is_compatible_with([height, width, 2 * channels]):
            raise ValueError(
                f"The network of {self.name} gave {parameters.shape} for latents of shape {z.shape}; it must be "
                f"[B, {height}, {width}, {2 * channels}]."
            )
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
