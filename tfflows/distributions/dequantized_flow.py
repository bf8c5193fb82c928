"""Discrete images under a continuous flow, by dequantization."""

import math

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.dequantizers import UniformDequantizer
from tfflows.distributions.image_model import ImageModel
from tfflows.distributions.quantization import bits_per_dim, center, quantize, to_images
from tfflows.math.random import fold_in, normal_rows

LOSS_UNITS = ("bits_per_dim", "nats")

_WITH_DROPOUT = ("dequantizer", "augmenter")


class DequantizedFlow(ImageModel):
    """A lower bound on the probability of uint8 images, from a density over `v` in `[-1/2, 1/2)^(H x W x C)`.

    `elbo(x) = ln p(v) - M ln n - ln r(u | x)` with `v = (q + u) / n - 1/2`, `u ~ r(u | x)` in [0, 1), `n = 2**num_bits` bins, M
    dimensions; its expectation over u bounds `ln P(x)` from below. In nats an image.

    `flow` is any `tfd.TransformedDistribution` of a standard normal on vectors or images; a condition reaches its bijector as
    `condition=`. With `dropout` that condition is `{'dropout': RowKeys}` in training and None else.

    Or it is an `AugmentedFlow`, whose own bound then stands for `ln p(v)`, its noise drawn with u: bits/dim still count the M
    dimensions of the images alone.

    Source: Glow, eq. 2; Theis et al. 2016; r other than uniform: Ho et al. 2019, section 3.1; augmented: Chen et al. 2020, eq. 7.
    """

    def __init__(
        self,
        flow,
        num_bits=8,
        dequantizer=None,
        dropout=False,
        loss_unit="bits_per_dim",
        noise_at_init=True,
        name="dequantized_flow",
    ):
        """Creates the model.

        Args:
          flow: `tfd.TransformedDistribution` or `AugmentedFlow`.
          num_bits: Python `int`, 1 to 8.
          dequantizer: As in `tfflows.distributions.dequantizers`; default: uniform.
          dropout: Python `bool`, whether flow, dequantizer and augmenter take keys of dropout masks in training.
          loss_unit: `'bits_per_dim'` or `'nats'` (an image), of `training_loss`.
          noise_at_init: Python `bool`, whether the flow's data-dependent init sees dequantized images, or the lower edges of
            their bins.
          name: Python `str`.

        Raises:
          ValueError: if `loss_unit` is unknown.
        """
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

    def dequantize(self, images, keys):
        """`v` of uint8 images `[B, H, W, C]` with fresh noise of `keys` (`RowKeys`); float32."""
        return self._dequantized(images, keys)[0]

    def dequantize_with(self, images, noise):
        """`v` of uint8 images with the given noise in `[0, 1 / n)`."""
        return self._centered(images) + noise

    def _centered(self, images):
        return center(quantize(self._checked(images), self.num_bits), self.num_bits)

    def _dequantized(self, images, keys, dropout_keys=None):
        """`v` and `ln r(u | x)`."""
        centered = self._centered(images)
        u, log_prob = self.dequantizer.sample_and_log_prob(centered, keys, dropout_keys)
        return centered + u / 2**self.num_bits, log_prob

    def elbo(self, images, keys, condition=None):
        """One-sample bound on `ln P(images)`, nats, shape `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: `RowKeys` of the noise.
          condition: What the flow's bijector takes as `condition=`, if it takes one.
        """
        v, log_prob = self._dequantized(images, keys)
        return self.elbo_of_dequantized(v, condition, keys) - log_prob

    def elbo_of_dequantized(self, v, condition=None, keys=None, dropout_keys=None):
        """`ln p(v) - M ln n`, nats, shape `[B]`: the bound without the dequantizer's part.

        Args:
          v: float `[B, H, W, C]`.
          condition: As in `elbo`.
          keys: `RowKeys` of an augmented flow's noise; else not used.
          dropout_keys: `RowKeys` of its augmenter's dropout.
        """
        if self._is_augmented:
            log_prob = self.flow.elbo(v, keys, condition, dropout_keys)
        else:
            log_prob = self.flow.log_prob(v, bijector_kwargs=self._kwargs(condition))
        return log_prob - self.num_dimensions * self.num_bits * math.log(2.0)

    def training_loss(self, images, labels, keys):
        """Loss an image (minus the bound, in `loss_unit`) and the metrics to log, all of shape `[B]`: here bits/dim.

        Args:
          images: uint8 `[B, H, W, C]`.
          labels: int32 `[B]`; used if the flow is conditional.
          keys: `RowKeys`.

        Returns:
          `(loss, metrics)`: a tensor and a dictionary of tensors with at least `bits_per_dim`.
        """
        dropout_keys, condition = self._training_condition(labels, keys)
        v, log_prob = self._dequantized(images, keys, dropout_keys["dequantizer"])
        elbo = self.elbo_of_dequantized(v, condition, keys, dropout_keys["augmenter"]) - log_prob
        bits = bits_per_dim(elbo, self.num_dimensions)
        return -elbo if self.loss_unit == "nats" else bits, {"bits_per_dim": bits}

    def condition_of(self, labels):
        """The condition that labels make: themselves if the flow takes them, else None."""
        return labels if takes_condition(self.flow.bijector) and not self.dropout else None

    def _training_condition(self, labels, keys):
        """Keys of the dropout of dequantizer and augmenter, and the flow's condition."""
        if not self.dropout:
            return dict.fromkeys(_WITH_DROPOUT), self.condition_of(labels)
        keys = fold_in(keys, "dropout")
        return {name: fold_in(keys, name) for name in _WITH_DROPOUT}, {"dropout": fold_in(keys, "flow")}

    def initialize(self, images, labels, keys):
        """Data-dependent init from one batch, eagerly and outside `strategy.run`; returns its latent."""
        dropout_keys, condition = self._training_condition(labels, keys)
        centered = self._centered(images)
        noise = self.dequantizer.initialize(centered, keys, dropout_keys["dequantizer"]) / 2**self.num_bits
        v = centered + noise if self._noise_at_init else centered
        if self._is_augmented:
            return self.flow.initialize(v, keys, condition, dropout_keys["augmenter"])
        bijector = self.flow.bijector
        if not isinstance(bijector, Bijector):
            return bijector.inverse(v)
        return bijector.initialize(v, condition)

    def encode(self, images, keys, condition=None):
        """Whitened latents `[B, ...]` of uint8 images, all noise included."""
        v = self.dequantize(images, keys)
        if self._is_augmented:
            return self.flow.encode(v, keys, condition)
        return self.flow.bijector.inverse(v, **self._kwargs(condition))

    def decode(self, latents, condition=None):
        """uint8 images of whitened latents."""
        return to_images(self.decode_values(latents, condition), self.num_bits)

    def decode_values(self, latents, condition=None):
        """Continuous images `v` of whitened latents, before rounding."""
        if self._is_augmented:
            return self.flow.decode(latents, condition)
        return self.flow.bijector.forward(latents, **self._kwargs(condition))

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """uint8 images `[num_samples, H, W, C]`; the base noise is multiplied by `temperature` (Glow, section 6)."""
        shape = self.flow.distribution.event_shape
        latents = temperature * normal_rows(fold_in(keys, "sample"), num_samples, shape)
        return self.decode(latents, condition)

    def _kwargs(self, condition):
        return {} if condition is None else {"condition": condition}
