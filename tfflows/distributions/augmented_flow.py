"""A flow over the data x and further channels z beside it; a bound sums z out."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, inverse_and_log_det
from tfflows.bijectors.chain import Chain
from tfflows.bijectors.on_data import OnData
from tfflows.bijectors.parts import check_bijectors
from tfflows.distributions.augmenters import NormalAugmenter
from tfflows.distributions.image_model import check_distribution, log_mean_weight
from tfflows.math.random import RowKeys, fold_in, normal_rows
from tfflows.tracing.variables import CopiedWithoutLayers, unlisted_variables

tfb, tfd = tfp.bijectors, tfp.distributions


class AugmentedFlow(CopiedWithoutLayers, tf.Module):
    """A lower bound on the density of x `[..., C]`, from a flow over `[x, z]` `[..., C + C_z]` and a distribution q(z | x).

    `elbo(x) = ln p(x, z) - ln q(z | x)`, z ~ q(z | x). Its expectation over z bounds `ln p(x)` from below, where p(x) is the
    marginal of the flow. In nats. With a preprocessing f, flow and q are over `y = f.inverse(x)`:
    `elbo(x) = ln p(y, z) - ln q(z | y) + ln |dy/dx|`.

    z follows x on the last axis; samples leave it out.

    Example:
      One channel of data and two of z. Under the identity and q = N(0, I) the terms of z cancel: the bound is the density of x.

      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.augmented_flow import AugmentedFlow
      >>> from tfflows.distributions.augmenters import NormalAugmenter
      >>> from tfflows.math.random import row_keys
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 3])
      >>> flow = tfd.TransformedDistribution(base, tfb.Identity())
      >>> augmented = AugmentedFlow(flow, NormalAugmenter(num_channels=2))
      >>> augmented.event_shape
      TensorShape([2, 2, 1])
      >>> x = tf.zeros([1, 2, 2, 1])
      >>> print(round(float(augmented.elbo(x, row_keys(seed=0))[0]), 3))  # -4 ln(2 pi) / 2
      -3.676

    References:
      Chen et al. 2020, eq. 5 and 7, https://arxiv.org/abs/2002.09741.
    """

    def __init__(
        self,
        flow: tfd.TransformedDistribution,
        augmenter: tf.Module,
        preprocessing: tfb.Bijector | None = None,
        name: str = "augmented_flow",
    ) -> None:
        """Creates the bound.

        Args:
          flow: Transformed standard normal, over events `[..., C + C_z]`.
          augmenter: The distribution q, one of `tfflows.distributions.augmenters`.
          preprocessing: Bijector of x alone without variables, whose `inverse` maps data to y, such as `Logit`; None: y is x.
          name: Name of the module.

        Raises:
          TypeError: If the flow is no distribution, or the preprocessing no bijector.
          ValueError: If the flow does not have more channels than z, or the augmenter holds variables but is no `tf.Module`.
        """
        super().__init__(name=name)
        check_distribution("AugmentedFlow", flow)
        if preprocessing is not None:
            check_bijectors("AugmentedFlow", preprocessing)
        channels = flow.event_shape[-1]
        if channels <= augmenter.num_channels:
            raise ValueError(
                f"A flow over {channels} channels leaves none for the data beside the {augmenter.num_channels} of z: build it "
                "with the channels of both."
            )
        self.flow = flow
        self.augmenter = augmenter
        self.preprocessing = preprocessing
        self._unlisted_variables = unlisted_variables(flow, augmenter)

    @property
    def event_shape(self) -> tf.TensorShape:
        """Static shape of x."""
        *outer, channels = self.flow.event_shape
        return tf.TensorShape([*outer, channels - self.augmenter.num_channels])

    @property
    def dtype(self) -> tf.DType:
        """Dtype of x."""
        return self.flow.dtype

    @property
    def bijector(self) -> tfb.Bijector:
        """Bijector of the flow over `[y, z]`."""
        return self.flow.bijector

    @property
    def distribution(self) -> tfd.Distribution:
        """Distribution of the latents of `[y, z]`."""
        return self.flow.distribution

    def elbo(
        self, x: tf.Tensor, keys: RowKeys, condition: Any = None, dropout_keys: RowKeys | None = None
    ) -> tf.Tensor:
        """One-sample bound on `ln p(x)`, nats `[B]`.

        Args:
          x: float `[B, ..., C]`.
          keys: Keys of the noise that z is made from.
          condition: Passed to the flow's bijector as `condition=`, if it takes one.
          dropout_keys: Keys of the dropout of q, or None for no dropout.

        Returns:
          `ln p(y, z) - ln q(z | y) + ln |dy/dx|`.
        """
        y, log_det = self._preprocessed(x)
        z, log_prob = self.augmenter.sample_and_log_prob(y, keys, dropout_keys)
        return self.log_joint(y, z, condition) - log_prob + log_det

    def log_joint(self, y: tf.Tensor, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """`ln p(y, z)`, nats `[B]`."""
        return self.flow.log_prob(tf.concat([y, z], axis=-1), bijector_kwargs=_kwargs(condition))

    def importance_weighted_log_prob(
        self, x: tf.Tensor, keys: RowKeys, num_samples: int | tf.Tensor, condition: Any = None
    ) -> tf.Tensor:
        """`ln (1/S) sum_s exp(elbo_s)` (eq. 5), in the memory of one sample.

        Args:
          x: float `[B, ..., C]`.
          keys: Keys that those of each sample are derived from.
          num_samples: S.
          condition: As in `elbo`.

        Returns:
          Nats, float64 `[B]`.
        """
        return log_mean_weight(lambda keys: self.elbo(x, keys, condition), keys, num_samples, tf.shape(x)[0])

    def initialize(
        self, x: tf.Tensor, keys: RowKeys, condition: Any = None, dropout_keys: RowKeys | None = None
    ) -> tf.Tensor:
        """Data-dependent init from one batch, q first, eagerly and outside `strategy.run`; returns the batch's latents."""
        y, _ = self._preprocessed(x)
        z = self.augmenter.initialize(y, keys, dropout_keys)
        joined = tf.concat([y, z], axis=-1)
        if not isinstance(self.bijector, Bijector):
            return self.bijector.inverse(joined)
        return self.bijector.initialize(joined, condition)

    def encode(self, x: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """Whitened latents of x and of a z drawn for it."""
        y, _ = self._preprocessed(x)
        z, _ = self.augmenter.sample_and_log_prob(y, keys)
        return self.bijector.inverse(tf.concat([y, z], axis=-1), **_kwargs(condition))

    def decode(self, latents: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """The x of whitened latents; z is left out."""
        y = self.bijector.forward(tf.identity(latents), **_kwargs(condition))[..., : self.event_shape[-1]]
        return y if self.preprocessing is None else self.preprocessing.forward(y)

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """Samples of x, `[num_samples, ...]`; the base noise, keyed by `keys`, is multiplied by `temperature`."""
        noise = normal_rows(fold_in(keys, "sample"), num_samples, self.distribution.event_shape, self.dtype)
        return self.decode(tf.cast(temperature, noise.dtype) * noise, condition)

    def _preprocessed(self, x):
        if self.preprocessing is None:
            return x, tf.zeros([], x.dtype)
        return inverse_and_log_det(self.preprocessing, x, self.event_shape.rank)


def augment(
    flow: tfd.TransformedDistribution,
    num_channels: int,
    augmenter: tf.Module | None = None,
    joint: Sequence[tfb.Bijector] = (),
) -> AugmentedFlow:
    """The augmented flow that begins where a plain flow is: over `[x, z]`, the plain flow on x and the identity on z.

    With q = N(0, I), the default, its `elbo` equals the `log_prob` of the plain flow up to rounding (theorem 1). It shares all
    parameters of the plain flow: training one trains the other.

    Args:
      flow: Transformed standard normal over `[..., C]`, with latents of any shape.
      num_channels: Number of channels of z.
      augmenter: The distribution q, one of `tfflows.distributions.augmenters`; default: `NormalAugmenter`.
      joint: Bijectors over `[..., C + num_channels]` on the side of the data, through which x and z meet. To keep the value they
        must begin as the identity, as couplings do whose networks are zero.

    Returns:
      The augmented flow, over x.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.augmented_flow import augment
      >>> from tfflows.math.random import row_keys
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 1]), tfb.Scale(2.0))
      >>> augmented = augment(flow, num_channels=3)
      >>> x = tf.ones([1, 2, 2, 1])
      >>> print(round(float(flow.log_prob(x)[0]), 3), round(float(augmented.elbo(x, row_keys(seed=0))[0]), 3))
      -6.948 -6.948

    References:
      Chen et al. 2020, theorem 1, https://arxiv.org/abs/2002.09741.
    """
    *outer, channels = flow.event_shape
    on_data = OnData(flow.bijector, [*outer, channels], num_channels)
    bijector = Chain([*joint, on_data], name="augmented")
    base = tfd.Sample(tfd.Normal(0.0, 1.0), on_data.inverse_event_shape([*outer, channels + num_channels]))
    joint_flow = tfd.TransformedDistribution(base, bijector, name="augmented")
    return AugmentedFlow(joint_flow, NormalAugmenter(num_channels) if augmenter is None else augmenter)


def _kwargs(condition):
    return {} if condition is None else {"condition": condition}
