"""The logit of a logistic mixture's CDF as a bijector, with given parameters."""

from collections.abc import Sequence

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.math.logistic_mixture import mixture_logit, mixture_logit_inverse


class LogisticMixtureLogitCDF(Bijector):
    """Data to latent, elementwise: `inverse(y) = logit(F(y)) exp(log_scale) + shift`, F the CDF of a mixture of logistics.

    `F(y) = sum_k pi_k sigmoid((y - mu_k) exp(-l_k))`. Under a standard logistic base, with `log_scale = shift = 0`, the
    distribution of `forward(x)` is the mixture itself. Log-determinant per element: `ln f - ln F - ln(1 - F) + log_scale`, f the
    density of F.

    Example:
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import LogisticMixtureLogitCDF
      >>> mixture = LogisticMixtureLogitCDF(logits=[0.0, 0.0], means=[-1.0, 1.0], log_scales=[0.0, 0.0])
      >>> latent = mixture.inverse([0.0, 2.0])
      >>> print(latent.numpy().round(4))  # F(0) = 1/2
      [0.     1.6718]
      >>> print(mixture.forward(latent).numpy().round(4))
      [0. 2.]
      >>> distribution = tfp.distributions.TransformedDistribution(tfp.distributions.Logistic(0.0, 1.0), mixture)
      >>> print(round(float(distribution.prob(0.0)), 4))  # sigmoid(1) * sigmoid(-1)
      0.1966

    References:
      Ho et al. 2019, section 3.2, https://arxiv.org/abs/1902.00275.
    """

    def __init__(
        self,
        logits: tf.Tensor | tf.Variable | Sequence,
        means: tf.Tensor | tf.Variable | Sequence,
        log_scales: tf.Tensor | tf.Variable | Sequence,
        log_scale: tf.Tensor | tf.Variable | float = 0.0,
        shift: tf.Tensor | tf.Variable | float = 0.0,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "logistic_mixture_logit_cdf",
    ) -> None:
        """Creates the bijector.

        Args:
          logits: Logits of the `pi_k`, shape `[..., K]`, which must broadcast to the data's shape followed by K.
          means: The `mu_k`, shape as for `logits`.
          log_scales: The `l_k`, shape as for `logits`; they have no lower bound.
          log_scale: Log-scale of the latent; its shape must broadcast to the data's shape.
          shift: Shift of the latent, shape as for `log_scale`.
          dtype: Dtype of the parameters and the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If the three parameters of the mixture have different numbers of components.
        """
        parameters = dict(locals())
        self.logits, self.means, self.log_scales, self.log_scale, self.shift = (
            value if isinstance(value, tf.Variable) else tf.convert_to_tensor(value, dtype)
            for value in (logits, means, log_scales, log_scale, shift)
        )
        sizes = [value.shape[-1:] for value in (self.logits, self.means, self.log_scales)]
        if not (sizes[0] == sizes[1] == sizes[2] and sizes[0].rank == 1):
            raise ValueError(
                f"logits, means and log_scales must have the same number of components on their last axes, got shapes "
                f"{self.logits.shape}, {self.means.shape} and {self.log_scales.shape}."
            )
        super().__init__(
            forward_min_event_ndims=0,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _inverse_and_log_det(self, y):
        log_scale, shift = self._broadcast(self.log_scale, y), self._broadcast(self.shift, y)
        x, log_det = mixture_logit(y, *self._mixture(y))
        return x * tf.exp(log_scale) + shift, log_det + log_scale

    def _forward_and_log_det(self, x):
        log_scale, shift = self._broadcast(self.log_scale, x), self._broadcast(self.shift, x)
        y, log_det = mixture_logit_inverse((x - shift) * tf.exp(-log_scale), *self._mixture(x))
        return y, log_det - log_scale

    def _mixture(self, x):
        return [self._components_first(value, x) for value in (self.logits, self.means, self.log_scales)]

    def _components_first(self, value, x):
        """Transposes and broadcasts `[..., K]` to `[K, shape of x]`."""
        rank = value.shape.rank
        self._check_parameter_rank(rank - 1, x)
        first = tf.transpose(value, [rank - 1, *range(rank - 1)])
        ones = [1] * (x.shape.rank - rank + 1)
        aligned = tf.reshape(first, tf.concat([tf.shape(first)[:1], ones, tf.shape(first)[1:]], axis=0))
        out = tf.broadcast_to(aligned, tf.concat([tf.shape(first)[:1], tf.shape(x)], axis=0))
        return tf.ensure_shape(out, [value.shape[-1], *x.shape])

    def _broadcast(self, value, x):
        self._check_parameter_rank(value.shape.rank, x)
        return tf.ensure_shape(tf.broadcast_to(value, tf.shape(x)), x.shape)

    def _check_parameter_rank(self, rank, x):
        if rank > x.shape.rank:
            raise ValueError(
                f"{self.name} has parameters with {rank} axes per component, too many for an input of shape {x.shape}."
            )
