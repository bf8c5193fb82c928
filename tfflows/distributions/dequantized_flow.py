"""Discrete images under a continuous flow, by dequantization."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, bits_per_dim, center, quantize, to_images
from tfflows.distributions.image_model import ImageModel, check_distribution
from tfflows.math.random import RowKeys, fold_in, normal_rows
from tfflows.tracing.variables import unlisted_variables

tfd = tfp.distributions

LOSS_UNITS = ("bits_per_dim", "nats")

_WITH_DROPOUT = ("dequantizer", "augmenter")

_EDGE = 2.0**-8  # of a bin


class DequantizedFlow(ImageModel):
    """A lower bound on the probability of uint8 images, from a density over `v` in `[-1/2, 1/2)^(H x W x C)`.

    `elbo(x) = ln p(v) - M ln n - ln r(u | x)` with `v = (q + u) / n - 1/2`, `u ~ r(u | x)` in [0, 1), levels q of
    `n = 2**num_bits` bins, and M dimensions. Its expectation over u bounds `ln P(x)` from below. In nats per image.

    `flow` is any `tfd.TransformedDistribution` of a standard normal on vectors or images; a condition reaches its bijector as
    `condition=`. With `dropout` that condition is `{'dropout': RowKeys}` in training and None otherwise.

    Or `flow` is an `AugmentedFlow`. Then its own bound stands for `ln p(v)`, with noise drawn along with u; bits/dim still count
    the M dimensions of the images alone.

    Example:
      A black image of one pixel at 1 bit: `q = 0`, and `v` is uniform in [-1/2, 0).

      >>> import tensorflow as tf
      >>> import tensorflow_probability as tfp
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.math.random import row_keys
      >>> tfb, tfd = tfp.bijectors, tfp.distributions
      >>> base = tfd.Sample(tfd.Normal(0.0, 1.0), [1, 1, 1])
      >>> model = DequantizedFlow(tfd.TransformedDistribution(base, tfb.Identity()), num_bits=1)
      >>> images = tf.zeros([2, 1, 1, 1], tf.uint8)
      >>> v = model.dequantize_with(images, noise=0.25)
      >>> print(v[0, 0, 0, 0].numpy())
      -0.25
      >>> print(round(float(model.elbo_of_dequantized(v)[0]), 3))  # ln N(-0.25; 0, 1) - ln 2
      -1.643
      >>> print(model.sample(3, row_keys(seed=0)).shape)
      (3, 1, 1, 1)

    References:
      Kingma & Dhariwal 2018, eq. 2, https://arxiv.org/abs/1807.03039.
      Theis et al. 2016, https://arxiv.org/abs/1511.01844.
      Distributions r other than the uniform one: Ho et al. 2019, section 3.1, https://arxiv.org/abs/1902.00275.
      Augmented flows: Chen et al. 2020, eq. 7, https://arxiv.org/abs/2002.09741.
    """

    has_latent = True

    def __init__(
        self,
        flow: tfd.TransformedDistribution | AugmentedFlow,
        num_bits: int = 8,
        dequantizer: tf.Module | None = None,
        dropout: bool = False,
        loss_unit: str = "bits_per_dim",
        noise_at_init: bool = True,
        name: str = "dequantized_flow",
    ) -> None:
        """Creates the model.

        Args:
          flow: Density over `v`.
          num_bits: Bits per colour, 1 to 8.
          dequantizer: The distribution r, one of `tfflows.distributions.dequantizers`; default: `UniformDequantizer`.
          dropout: Whether flow, dequantizer and augmenter take keys of dropout masks in training.
          loss_unit: Unit of `training_loss`: `'bits_per_dim'`, or `'nats'` (per image).
          noise_at_init: Whether the flow's data-dependent init sees dequantized images, or the lower edges of their bins.
          name: Name of the module.

        Raises:
          TypeError: If the flow is no distribution.
          ValueError: If `loss_unit` is unknown, or the dequantizer holds variables but is no `tf.Module`.
        """
        if not isinstance(flow, AugmentedFlow):
            check_distribution(type(self).__name__, flow)
        super().__init__(flow.event_shape, name)
        if loss_unit not in LOSS_UNITS:
            raise ValueError(f"loss_unit must be one of {LOSS_UNITS}, got {loss_unit!r}.")
        self.flow = flow
        self.num_bits = num_bits
        self.dequantizer = UniformDequantizer() if dequantizer is None else dequantizer
        self.dropout = dropout
        self.loss_unit = loss_unit
        self._noise_at_init = noise_at_init
        self._is_augmented = isinstance(flow, AugmentedFlow)
        self._unlisted_variables = unlisted_variables(flow, self.dequantizer)

    @property
    def latent_shape(self) -> tf.TensorShape:
        """Static shape of the latents of an image, those of an augmented flow's further channels included."""
        return self.flow.distribution.event_shape

    def dequantize(self, images: tf.Tensor, keys: RowKeys) -> tf.Tensor:
        """`v`, in the dtype of the flow, of uint8 images `[B, H, W, C]`, with noise keyed by `keys`."""
        return self._dequantized(images, keys)[0]

    def dequantize_with(self, images: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """`v` of uint8 images with the given noise in `[0, 1 / n)`."""
        return self._centered(images) + noise

    def _centered(self, images):
        return center(quantize(self._checked(images), self.num_bits), self.num_bits, self.flow.dtype)

    def _dequantized(self, images, keys, dropout_keys=None):
        """`v` and `ln r(u | x)`."""
        centered = self._centered(images)
        u, log_prob = self.dequantizer.sample_and_log_prob(centered, keys, dropout_keys)
        return centered + u / 2**self.num_bits, log_prob

    def elbo(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """One-sample bound on `ln P(images)`, nats `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: Keys of the noise.
          condition: Passed to the flow's bijector as `condition=`, if it takes one.

        Returns:
          `ln p(v) - M ln n - ln r(u | x)`.

        Raises:
          ValueError: If the images have another dtype or shape than the model's.
        """
        v, log_prob = self._dequantized(images, keys)
        return self.elbo_of_dequantized(v, condition, keys) - log_prob

    def elbo_of_dequantized(
        self, v: tf.Tensor, condition: Any = None, keys: RowKeys | None = None, dropout_keys: RowKeys | None = None
    ) -> tf.Tensor:
        """`ln p(v) - M ln n`, nats `[B]`: the bound without the dequantizer's part.

        Args:
          v: float `[B, H, W, C]`.
          condition: As in `elbo`.
          keys: Keys of the noise of an augmented flow; not used otherwise.
          dropout_keys: Keys of the dropout of its augmenter, or None for no dropout.

        Returns:
          The bound of dequantized images.
        """
        if self._is_augmented:
            log_prob = self.flow.elbo(v, keys, condition, dropout_keys)
        else:
            log_prob = self.flow.log_prob(v, bijector_kwargs=self._kwargs(condition))
        return log_prob - self.num_dimensions * self.num_bits * math.log(2.0)

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss of each image (minus the bound, in `loss_unit`) and the metrics to log, here bits/dim.

        A flow with batch norm normalizes with the statistics of the batch; the running ones take them in unless the caller has
        opened a `training_pass` of its own.

        Args:
          images: uint8 `[B, H, W, C]`.
          labels: int32 `[B]`; used if the flow is conditional.
          keys: Keys of the noise and the dropout.

        Returns:
          `(loss, metrics)`: a tensor, and a dictionary of tensors with at least `bits_per_dim`, all `[B]`.
        """
        dropout_keys, condition = self._training_condition(labels, keys)
        with self.training_pass():
            v, log_prob = self._dequantized(images, keys, dropout_keys["dequantizer"])
            elbo = self.elbo_of_dequantized(v, condition, keys, dropout_keys["augmenter"]) - log_prob
        bits = bits_per_dim(elbo, self.num_dimensions)
        return -elbo if self.loss_unit == "nats" else bits, {"bits_per_dim": bits}

    def condition_of(self, labels: tf.Tensor) -> tf.Tensor | None:
        """The condition that labels make: the labels themselves if the flow takes them, otherwise None."""
        return labels if takes_condition(self.flow.bijector) and not self.dropout else None

    def _training_condition(self, labels, keys):
        """Keys of the dropout of dequantizer and augmenter, and the flow's condition."""
        if not self.dropout:
            return dict.fromkeys(_WITH_DROPOUT), self.condition_of(labels)
        keys = fold_in(keys, "dropout")
        return {name: fold_in(keys, name) for name in _WITH_DROPOUT}, {"dropout": fold_in(keys, "flow")}

    def initialize(self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys) -> tf.Tensor:
        """Data-dependent init from one batch, eagerly and outside `strategy.run`; returns the batch's latents."""
        dropout_keys, condition = self._training_condition(labels, keys)
        centered = self._centered(images)
        noise = self.dequantizer.initialize(centered, keys, dropout_keys["dequantizer"]) / 2**self.num_bits
        v = centered + noise if self._noise_at_init else centered
        if self._is_augmented:
            return self.flow.initialize(v, keys, condition, dropout_keys["augmenter"])
        bijector = self.flow.bijector
        if not isinstance(bijector, Bijector):
            return bijector.inverse(tf.identity(v))
        return bijector.initialize(v, condition)

    def encode(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """Whitened latents `[B, ...]` of uint8 images, all noise included.

        The noise keeps 1/256 of a bin away from its edges, so that rounding on the way there and back changes no image.
        """
        centered = self._centered(images)
        u, _ = self.dequantizer.sample_and_log_prob(centered, keys, None)
        v = centered + tf.clip_by_value(u, _EDGE, 1.0 - _EDGE) / 2**self.num_bits
        if self._is_augmented:
            return self.flow.encode(v, keys, condition)
        return self.flow.bijector.inverse(tf.identity(v), **self._kwargs(condition))

    def decode_and_check(
        self, latents: tf.Tensor, condition: Any = None, keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(images, finite)` of whitened latents, which leave nothing to be drawn: `keys` are not used."""
        del keys
        values = self.decode_values(latents, condition)
        return to_images(values, self.num_bits), tf.reduce_all(tf.math.is_finite(values), axis=[1, 2, 3])

    def decode_values(self, latents: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Continuous images `v` of whitened latents, before rounding."""
        if self._is_augmented:
            return self.flow.decode(latents, condition)
        return self.flow.bijector.forward(tf.identity(latents), **self._kwargs(condition))

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """uint8 images `[num_samples, H, W, C]`; the base noise is multiplied by `temperature` (Glow, section 6)."""
        return self.sample_and_check(num_samples, keys, temperature, condition)[0]

    def sample_and_check(
        self, num_samples: int | tf.Tensor, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(images, finite)` of samples; arguments as for `sample`."""
        shape = self.flow.distribution.event_shape
        noise = normal_rows(fold_in(keys, "sample"), num_samples, shape, self.flow.dtype)
        return self.decode_and_check(tf.cast(temperature, noise.dtype) * noise, condition)

    def _kwargs(self, condition):
        return {} if condition is None else {"condition": condition}
