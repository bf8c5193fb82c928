"""The coupling of Flow++: the CDF of a mixture of logistics, then a logit, a scale and a shift."""

import tensorflow as tf

from tfflows.bijectors.coupling import Coupling
from tfflows.math import logistic_mixture
from tfflows.math.coupling import LOG_SCALES


class LogisticMixtureCoupling(Coupling):
    """Data to latent: `inverse(y) = [a, logit(F(b)) exp(s) + t]` with `[a, b] = y` the halves of the channels.

    `F(b) = sum_k pi_k sigmoid((b - mu_k) exp(-l_k))`, elementwise; `s = tanh(r)`, `l_k` at least -7; `r`, t, the logits of pi, mu
    and l are what the network gives for a. Log-determinant: `sum ln f - ln F - ln(1 - F) + s` over b, f the density of F.
    The paper's form is `scale='exp'` (`s = r`) with `min_log_scale=None`.

    With a `margin` m the logit is of `(1 - 2 m) F(b) + m`, which keeps it within `logit(1 - m)`. All is finite then, but the map
    is not onto: latent to data, what nothing maps to becomes the mixture's quantile 1e-5 or 1 - 1e-5.

    The direction latent to data solves for b by a bracketing root finder; its gradients are those of the implicit function.

    #### Examples

    ```python
    network = GatedConditioner(width=96, filters=3 * (2 + 3 * 32), num_blocks=10)
    network.build([None, 32, 16, 3])
    coupling = LogisticMixtureCoupling(network, num_components=32)     # events [32, 16, 6]
    ```

    #### References

    Ho et al. 2019, eq. 12 to 14; the bounds of s and l: the released code. A margin of 0.05: the released VFlow code (Chen et al.
    2020).
    """

    def __init__(
        self,
        network,
        num_components,
        scale="tanh",
        min_log_scale=logistic_mixture.MIN_LOG_SCALE,
        margin=0.0,
        conditioning_half="first",
        conditional=False,
        event_ndims=3,
        dtype=tf.float32,
        validate_args=False,
        name="logistic_mixture_coupling",
    ):
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., (2 + 3 K) C/2]`, its channels as `tfflows.math.logistic_mixture` cuts them:
            a built Keras layer, a `tf.Module` or a function. A second argument is the condition, if `conditional`.
          num_components: Python `int` K.
          scale: `'tanh'` (`s = tanh(r)`, released code) or `'exp'` (`s = r`, paper); `'sigmoid'` as in Glow.
          min_log_scale: Python `float`, lower bound of the `l_k` (released code: -7); None for none (paper).
          margin: Python `float` m in [0, 1/2).
          conditioning_half: `'first'` or `'second'`: which half passes unchanged.
          conditional: Whether the network takes `condition=`: Python `bool`, or `'optional'` if it does without, too (it then
            gets None).
          event_ndims: Python `int`, axes of an event.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if `num_components` is not positive, `scale` is unknown or `margin` out of its range.
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
