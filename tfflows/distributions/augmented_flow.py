"""A flow over data and more: channels z beside the data x, which are summed out by a bound."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, inverse_and_log_det
from tfflows.bijectors.chain import Chain
from tfflows.bijectors.on_data import OnData
from tfflows.distributions.augmenters import NormalAugmenter
from tfflows.distributions.image_model import log_mean_weight
from tfflows.math.random import fold_in, normal_rows

tfd = tfp.distributions


class AugmentedFlow(tf.Module):
    """A lower bound on the density of x `[..., C]`, from a flow over `[x, z]` `[..., C + C_z]` and a distribution q(z | x).

    `elbo(x) = ln p(x, z) - ln q(z | x)`, z ~ q(z | x); its expectation over z bounds `ln p(x)` from below, p(x) the marginal of
    the flow. In nats. With preprocessing f flow and q are of `y = f.inverse(x)`:
    `elbo(x) = ln p(y, z) - ln q(z | y) + ln |dy/dx|`.

    z follows x on the last axis; samples leave it out.

    #### Examples

    ```python
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [32, 32, 6]), bijector)
    augmented = AugmentedFlow(flow, NormalAugmenter(3))
    model = DequantizedFlow(augmented, num_bits=8, dequantizer=dequantizer)       # of images [32, 32, 3]
    ```

    #### References

    Chen et al. 2020, eq. 5 and 7.
    """

    def __init__(self, flow, augmenter, preprocessing=None, name="augmented_flow"):
        """Creates the bound.

        Args:
          flow: `tfd.TransformedDistribution` of a standard normal, over events `[..., C + C_z]`.
          augmenter: q, as in `tfflows.distributions.augmenters`.
          preprocessing: Bijector of x alone without variables, data to y by its `inverse`, such as `Logit`; None: y is x.
          name: Python `str`.

        Raises:
          ValueError: if the flow has no more channels than z alone.
        """
        super().__init__(name=name)
        channels = flow.event_shape[-1]
        if channels <= augmenter.num_channels:
            raise ValueError(
                f"A flow over {channels} channels leaves none for the data beside {augmenter.num_channels} of z: build it with "
                "the channels of both."
            )
        self.flow = flow
        self.augmenter = augmenter
        self.preprocessing = preprocessing

    @property
    def event_shape(self):
        """Static shape of x."""
        *outer, channels = self.flow.event_shape
        return tf.TensorShape([*outer, channels - self.augmenter.num_channels])

    @property
    def bijector(self):
        """Of the flow over `[y, z]`."""
        return self.flow.bijector

    @property
    def distribution(self):
        """Of the latents of `[y, z]`."""
        return self.flow.distribution

    def elbo(self, x, keys, condition=None, dropout_keys=None):
        """One-sample bound on `ln p(x)`, nats `[B]`.

        Args:
          x: float `[B, ..., C]`.
          keys: `RowKeys` of z.
          condition: What the flow's bijector takes as `condition=`, if it takes one.
          dropout_keys: `RowKeys` of the dropout of q, or None for none.
        """
        y, log_det = self._preprocessed(x)
        z, log_prob = self.augmenter.sample_and_log_prob(y, keys, dropout_keys)
        return self.log_joint(y, z, condition) - log_prob + log_det

    def log_joint(self, y, z, condition=None):
        """`ln p(y, z)`, nats `[B]`."""
        return self.flow.log_prob(tf.concat([y, z], axis=-1), bijector_kwargs=_kwargs(condition))

    def importance_weighted_log_prob(self, x, keys, num_samples, condition=None):
        """`ln (1/S) sum_s exp(elbo_s)`, nats, float64 `[B]`: eq. 5, in memory of one sample.

        Args: as for `elbo`; num_samples: Python `int` S.
        """
        return log_mean_weight(lambda keys: self.elbo(x, keys, condition), keys, num_samples, tf.shape(x)[0])

    def initialize(self, x, keys, condition=None, dropout_keys=None):
        """Data-dependent init from one batch, q first, eagerly and outside `strategy.run`; returns its latent."""
        y, _ = self._preprocessed(x)
        z = self.augmenter.initialize(y, keys, dropout_keys)
        joined = tf.concat([y, z], axis=-1)
        if not isinstance(self.bijector, Bijector):
            return self.bijector.inverse(joined)
        return self.bijector.initialize(joined, condition)

    def encode(self, x, keys, condition=None):
        """Whitened latents of x and a z drawn for it."""
        y, _ = self._preprocessed(x)
        z, _ = self.augmenter.sample_and_log_prob(y, keys)
        return self.bijector.inverse(tf.concat([y, z], axis=-1), **_kwargs(condition))

    def decode(self, latents, condition=None):
        """x of whitened latents; z is left out."""
        y = self.bijector.forward(latents, **_kwargs(condition))[..., : self.event_shape[-1]]
        return y if self.preprocessing is None else self.preprocessing.forward(y)

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """x `[num_samples, ...]`; the base noise, of `RowKeys`, is multiplied by `temperature`."""
        latents = normal_rows(fold_in(keys, "sample"), num_samples, self.distribution.event_shape)
        return self.decode(temperature * latents, condition)

    def _preprocessed(self, x):
        if self.preprocessing is None:
            return x, tf.zeros([], x.dtype)
        return inverse_and_log_det(self.preprocessing, x, self.event_shape.rank)


def augment(flow, num_channels, augmenter=None, joint=()):
    """The augmented flow that begins where a plain flow is: over `[x, z]`, the plain flow on x and the identity on z.

    With q = N(0, I), the default, its `elbo` is the plain flow's `log_prob` to rounding (Chen et al. 2020, theorem 1). All
    parameters of the plain flow are those of the result: training one trains the other.

    Args:
      flow: `tfd.TransformedDistribution` of a standard normal over `[..., C]`, of any shape of latents.
      num_channels: Python `int`, of z.
      augmenter: q, as in `tfflows.distributions.augmenters`; default: `NormalAugmenter`.
      joint: Bijectors over `[..., C + num_channels]` on the side of the data, so that x and z meet: to keep the value, they begin
        as the identity, as couplings do whose networks are zero.
    """
    *outer, channels = flow.event_shape
    on_data = OnData(flow.bijector, [*outer, channels], num_channels)
    bijector = Chain([*joint, on_data], name="augmented")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), on_data.inverse_event_shape([*outer, channels + num_channels]))
    joint_flow = tfd.TransformedDistribution(base, bijector, name="augmented")
    return AugmentedFlow(joint_flow, NormalAugmenter(num_channels) if augmenter is None else augmenter)


def _kwargs(condition):
    return {} if condition is None else {"condition": condition}
