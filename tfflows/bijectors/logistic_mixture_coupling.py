"""The coupling of Flow++: the CDF of a mixture of logistics, then a logit, a scale and a shift."""

from collections.abc import Callable

import tensorflow as tf

from tfflows.bijectors.coupling import Coupling
from tfflows.math import logistic_mixture
from tfflows.math.coupling import LOG_SCALES


class LogisticMixtureCoupling(Coupling):
    """Data to latent: `inverse(y) = [a, logit(F(b)) exp(s) + t]` with `[a, b] = y` the halves of the channels.

    `F(b) = sum_k pi_k sigmoid((b - mu_k) exp(-l_k))`, elementwise; `s = tanh(r)`, `l_k` is at least -7. The network computes
    `r`, t, the logits of pi, mu and l from a. Log-determinant: the sum of `ln f - ln F - ln(1 - F) + s` over b, f the density of
    F. The paper's form is `scale='exp'` (`s = r`) with `min_log_scale=None`.

    With a `margin` m the logit is taken of `(1 - 2 m) F(b) + m`, which keeps it within `logit(1 - m)`. Everything is then finite,
    but the map is not onto: from latent to data, values that no data map to become the mixture's quantile 1e-5 or 1 - 1e-5.

    The direction from latent to data solves for b with a bracketing root finder; its gradients are those of the implicit
    function.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import LogisticMixtureCoupling
      >>> from tfflows.networks import GatedConditioner
      >>> network = GatedConditioner(width=8, filters=3 * (2 + 3 * 4), num_blocks=1)
      >>> network.build([None, 4, 2, 3])
      >>> coupling = LogisticMixtureCoupling(network, num_components=4)
      >>> images = tf.random.stateless_normal([2, 4, 2, 6], seed=[0, 0])
      >>> latent = coupling.initialize(images)
      >>> print(latent.shape, coupling.inverse_log_det_jacobian(images).shape)
      (2, 4, 2, 6) (2,)
      >>> print(bool(tf.reduce_all(latent[..., :3] == images[..., :3])))  # the first half passes unchanged
      True

      With one component of mean 0 and scale 1 and with s = t = 0, F is the sigmoid and the coupling is the identity:

      >>> coupling = LogisticMixtureCoupling(lambda a: tf.zeros([*a.shape[:-1], 5]), num_components=1)
      >>> latent, log_det = coupling.inverse_and_log_det(tf.reshape([1.0, 2.0], [1, 1, 1, 2]))
      >>> print(latent.numpy().ravel().round(4), abs(float(log_det[0])) < 1e-5)
      [1. 2.] True

    References:
      Ho et al. 2019, eq. 12 to 14, https://arxiv.org/abs/1902.00275; the bounds of s and l: released code
      (aravindsrinivas/flowpp). A margin of 0.05: Chen et al. 2020, https://arxiv.org/abs/2002.09741, released code.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        num_components: int,
        scale: str = "tanh",
        min_log_scale: float | None = logistic_mixture.MIN_LOG_SCALE,
        margin: float = 0.0,
        conditioning_half: str = "first",
        conditional: bool | str = False,
        event_ndims: int = 3,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "logistic_mixture_coupling",
    ) -> None:
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., (2 + 3 K) C/2]`: a built Keras layer, a `tf.Module` or a function.
            `tfflows.math.logistic_mixture` says which channels hold what. Its second argument is the condition, if
            `conditional`.
          num_components: Number K of components of a mixture.
          scale: `'tanh'` (`s = tanh(r)`, released code), `'exp'` (`s = r`, paper) or `'sigmoid'` (as in Glow).
          min_log_scale: Lower bound of the `l_k` (released code: -7); None for no bound (paper).
          margin: The margin m, in [0, 1/2).
          conditioning_half: `'first'` or `'second'`: the half that passes unchanged.
          conditional: Whether the network takes `condition=`; `'optional'` if the condition may be missing (the network then
            gets None).
          event_ndims: Number of axes of an event.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `num_components` is not positive, `scale` is unknown or `margin` is out of its range, or as for
            `Coupling`.
        """
        parameters = dict(locals())
        if num_components < 1:
            raise ValueError(f"num_components must be at least 1, got {num_components}.")
        if scale not in LOG_SCALES:
            raise ValueError(f"scale must be one of {tuple(LOG_SCALES)}, got {scale!r}.")
        if not 0 <= margin < 0.5:
            raise ValueError(f"margin must be at least 0 and below 1/2, got {margin}.")
        self.num_components = num_components
        self._form = (num_components, LOG_SCALES[scale], min_log_scale, margin)
        self._parameters_per_channel = 2 + 3 * num_components
        super().__init__(network, conditioning_half, conditional, event_ndims, dtype, validate_args, parameters, name)

    def _encode(self, transformed, parameters):
        y, log_det = logistic_mixture.encode(transformed, parameters, *self._form)
        return y, self._summed(log_det)

    def _decode(self, transformed, parameters):
        x, log_det = logistic_mixture.decode(transformed, parameters, *self._form)
        return x, self._summed(log_det)

    def _summed(self, log_det):
        return tf.reduce_sum(log_det, axis=list(range(-self.forward_min_event_ndims, 0)))
