"""The logit of a logistic mixture's CDF as a bijector of its own, on parameters from anywhere."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.math.logistic_mixture import mixture_logit, mixture_logit_inverse


class LogisticMixtureLogitCDF(Bijector):
    """Data to latent, elementwise: `inverse(y) = logit(F(y)) exp(log_scale) + shift`, F the CDF of a mixture of logistics.

    `F(y) = sum_k pi_k sigmoid((y - mu_k) exp(-l_k))`. Under a standard logistic base, with `log_scale = shift = 0`, the
    distribution of `forward(x)` is the mixture itself.

    #### Examples

    ```python
    mixture = LogisticMixtureLogitCDF(logits=[0.0, 1.0], means=[-1.0, 2.0], log_scales=[0.0, -1.0])
    latent = mixture.inverse([0.5, 1.5])
    distribution = tfd.TransformedDistribution(tfd.Logistic(0.0, 1.0), mixture)
    ```

    #### References

    Ho et al. 2019, section 3.2.
    """

    def __init__(
        self,
        logits,
        means,
        log_scales,
        log_scale=0.0,
        shift=0.0,
        dtype=tf.float32,
        validate_args=False,
        name="logistic_mixture_logit_cdf",
    ):
        """Creates the bijector.

        Args:
          logits: Of the `pi_k`; `Tensor` or `tf.Variable`, shape `[..., K]`, that broadcasts to the data's shape followed by K.
          means: `mu_k`, as `logits`.
          log_scales: `l_k`, as `logits`; without a lower bound.
          log_scale: `[...]`, broadcasts to the data's shape.
          shift: As `log_scale`.
          dtype: Of parameters and data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if the three parameters of the mixture have different numbers of components.
        """
        parameters = dict(locals())
        self.logits, self.means, self.log_scales, self.log_scale, self.shift = (
            value if isinstance(value, tf.Variable) else tf.convert_to_tensor(value, dtype)
            for value in (logits, means, log_scales, log_scale, shift)
        )
        sizes = [value.shape[-1:] for value in (self.logits, self.means, self.log_scales)]
        if not (sizes[0] == sizes[1] == sizes[2] and sizes[0].rank == 1):
            raise ValueError(
                f"logits, means and log_scales need the same number of components on their last axes, got {self.logits.shape}, "
                f"{self.means.shape} and {self.log_scales.shape}."
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
        """`[..., K]` as `[K, shape of x]`."""
        rank = value.shape.rank
        self._check_rank(rank - 1, x)
        first = tf.transpose(value, [rank - 1, *range(rank - 1)])
        ones = [1] * (x.shape.rank - rank + 1)
        aligned = tf.reshape(first, tf.concat([tf.shape(first)[:1], ones, tf.shape(first)[1:]], axis=0))
        out = tf.broadcast_to(aligned, tf.concat([tf.shape(first)[:1], tf.shape(x)], axis=0))
        return tf.ensure_shape(out, [value.shape[-1], *x.shape])

    def _broadcast(self, value, x):
        self._check_rank(value.shape.rank, x)
        return tf.ensure_shape(tf.broadcast_to(value, tf.shape(x)), x.shape)

    def _check_rank(self, rank, x):
        if rank > x.shape.rank:
            raise ValueError(
                f"{self.name} has parameters of {rank} axes for each component, too many for an input of shape {x.shape}."
            )
