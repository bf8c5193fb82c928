"""The codec of flows over dequantized images."""

import hashlib
import math
from typing import Any

import numpy as np
import tensorflow as tf

# Each module registers its maps.
from tfflows.compression.coder import Stack
from tfflows.compression.maps import coupling, curves, invertible_conv, masked, mixtures, moves, scales  # noqa: F401
from tfflows.compression.maps.base import Run
from tfflows.compression.maps.compositions import ChainMap, StandardNormal
from tfflows.compression.maps.plan import Plan
from tfflows.compression.network import FRACTION_BITS, Networks
from tfflows.compression.noise import FlowNoise, UniformNoise, augmenting_noise
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer, center, quantize

# Bits behind those of a colour of the first images, and of all others. Five are enough for many models.
NOISE_RAMP = (0, 2, 5)
# For the others, as many as bring the rate of a sample near that of the model, unless two more hardly do.
_LAST_NOISE_BITS = (5, 7, 9, 11)
_SPARE, _LEAST_GAIN = 0.0008, 0.0002
_FEWEST_SHAPED_BITS = 4


class FlowCodec(ImageCodec):
    """Codes the images of a `DequantizedFlow`: noise is popped, the integer flow is run, the latents are pushed.

    With k noise bits in all, an activation starts as an integer on a grid of 2**-k: its level q of `2**num_bits`, and u of
    `k - num_bits` popped bits behind it. Noise that a flow shapes is what the integer flow makes of popped Gaussian noise.

    References:
      Zhang et al. 2021, https://arxiv.org/abs/2111.00965 (integer maps of flows whose remainders go through the coder).
    """

    def __init__(
        self,
        model: DequantizedFlow,
        noise_ramp: tuple[int, ...] | None = None,
        regrids: dict[str, list] | None = None,
        images: np.ndarray | None = None,
        networks: Networks | None = None,
    ) -> None:
        """Creates the codec.

        Args:
          model: The model.
          noise_ramp: Bits of the grid of the first images, the last of all others; at least the model's bits per colour.
            None: `NOISE_RAMP` more than these.
          regrids: By the bits, the changes of the grid, as `settings` gives them; None: chosen by a sample.
          images: The sample, uint8 `[B, H, W, C]`; None: noise of all levels.
          networks: Runs the networks; None: a runner of its own.

        Raises:
          CannotCodeError: If a part of the model has no integer map.
        """
        self.image_shape = tuple(model.image_shape.as_list())
        self._model = model
        self._num_bits = model.num_bits
        self.noise_ramp = tuple(noise_ramp or (model.num_bits + bits for bits in NOISE_RAMP))
        self._regrids = dict(regrids or {})
        if images is None:
            images = np.random.default_rng(0).integers(0, 256, [4, *self.image_shape], np.uint8)
        self._sample = images
        self.networks = networks or Networks()
        self._flows = {bits: self._build(bits) for bits in set(self.noise_ramp)}
        self.num_classes = self._flows[self.noise_ramp[-1]].num_classes

    def _build(self, noise_bits):
        key = str(noise_bits)
        given = self._regrids.get(key)
        plan = Plan(self.networks, 2.0 ** (noise_bits - 2), [] if given is None else given, noise_bits - self._num_bits)
        sample = None if given is not None else self._sample
        made = _Flow(self._model, noise_bits, plan, sample)
        self._regrids[key] = plan.regrids
        return made

    @property
    def fingerprint(self) -> bytes:
        """A hash of the tables of all maps."""
        digest = hashlib.sha256(repr((self.image_shape, self._num_bits, FRACTION_BITS, self.noise_ramp)).encode())
        for bits in sorted(self._flows):
            digest.update(self._flows[bits].fingerprint)
        return digest.digest()

    @property
    def settings(self) -> dict[str, Any]:
        """Grid bits and changes of the grid."""
        return {"noise_ramp": list(self.noise_ramp), "regrids": self._regrids}

    def encode_images(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes images; see `ImageCodec`."""
        return self.encode_with_noise(images, stack, noise_bits, labels)[0]

    def encode_with_noise(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Codes images, and returns the bits of each and the noise that they were coded with.

        Returns:
          `(bits, v, z)`: float64 `[B]`, the dequantized values `[B, H, W, C]`, and the channels `[B, H, W, C_z]` beside them or
          None. `bits_of_model` gives what the model says of the same noise.
        """
        run = Run(stack, len(images), labels=labels)
        return run.bits, *self._flows[noise_bits].encode(images, run)

    def decode_images(self, stack: Stack, count: int, noise_bits: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Undoes `encode_images`."""
        return self._flows[noise_bits].decode(Run(stack, count, labels=labels))

    def bits_of_model(
        self, images: np.ndarray, v: np.ndarray, z: np.ndarray | None, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Minus the model's bound, in bits, for images and their noise as `encode_with_noise` gives them; float64 `[B]`.

        What the model does not see of the colours, if it sees fewer than eight bits, is counted as it is.
        """
        model = self._model
        dtype = model.flow.dtype
        dimensions = images[0].size
        v = tf.cast(v, dtype)
        condition = None if labels is None else tf.cast(labels, tf.int32)
        if z is None:
            log_prob = model.flow.log_prob(v, bijector_kwargs={} if condition is None else {"condition": condition})
        else:
            flow, z = model.flow, tf.cast(z, dtype)
            y, log_det = flow._preprocessed(v)
            log_prob = flow.log_joint(y, z, condition) - flow.augmenter.log_prob(z, y) + log_det
        if not isinstance(model.dequantizer, UniformDequantizer):
            centered = center(quantize(images, model.num_bits), model.num_bits, dtype)
            log_prob -= model.dequantizer.log_prob((v - centered) * 2**model.num_bits, centered)
        return 8.0 * dimensions - np.asarray(log_prob, np.float64) / math.log(2)


class _Flow:
    """The maps of one number of noise bits."""

    def __init__(self, model, noise_bits, plan, sample):
        self._shape, self._num_bits = tuple(model.image_shape.as_list()), model.num_bits
        self._noise_bits = noise_bits
        flow, grid = model.flow, np.full(self._shape, 2.0**-noise_bits)
        behind = noise_bits - self._num_bits
        centered = None
        if sample is not None:
            plan.run = Run(Stack(), len(sample))
            centered = self._centered(sample.astype(np.int64) >> (8 - self._num_bits))
        # Few bits cannot tell the densities of a dequantizer from uniform ones; with the first images it does not matter.
        if isinstance(model.dequantizer, UniformDequantizer) or behind < _FEWEST_SHAPED_BITS:
            self._dequantizer = UniformNoise(self._shape, behind)
            if sample is not None:
                plan.sample = self._dequantizer.draw(centered, plan.run)
        else:
            self._dequantizer = FlowNoise(model.dequantizer, self._shape, plan, centered)
        if sample is not None:
            plan.sample = self._joined(sample.astype(np.int64) >> (8 - self._num_bits), plan.sample)
        self._preprocessing, self._augmenter = ChainMap([], grid), None
        if isinstance(flow, AugmentedFlow):
            if flow.preprocessing is not None:
                self._preprocessing = ChainMap(plan.build(flow.preprocessing, grid), grid)
                grid = self._preprocessing.grid
            data, real = plan.sample, None if sample is None else plan.sample * grid
            # Numbers between 0 and 1 beside the data are no less fine than the data.
            plan.unit_bits = noise_bits
            beside = (*self._shape[:-1], flow.augmenter.num_channels)
            self._augmenter = augmenting_noise(flow.augmenter, beside, plan, real)
            if sample is not None:
                plan.sample = np.concatenate([data, plan.sample], axis=-1)
            grid = np.concatenate([grid, self._augmenter.grid], axis=-1)
        self._flow = ChainMap(plan.build(flow.bijector, grid), grid)
        self._prior = StandardNormal(self._flow.grid)
        self.fingerprint = plan.fingerprint
        self.num_classes = plan.num_classes

    def encode(self, images, run):
        """Codes images; returns the dequantized values and those of the channels beside them."""
        images = images.astype(np.int64)
        lost = 8 - self._num_bits
        run.stack.push_bits(images & ((1 << lost) - 1), lost)
        run.takes(np.full(images.shape, lost))
        levels = images >> lost
        x = self._joined(levels, self._dequantizer.draw(self._centered(levels), run))
        v, z = (x + 0.5) * 2.0**-self._noise_bits, None
        x = self._preprocessing.encode(x, run)
        if self._augmenter is not None:
            beside = self._augmenter.draw(x * self._preprocessing.grid, run)
            z = (beside + 0.5) * self._augmenter.grid
            x = np.concatenate([x, beside], axis=-1)
        self._prior.push(self._flow.encode(x, run), run)
        return v, z

    def decode(self, run):
        """Undoes `encode`."""
        x = self._flow.decode(self._prior.pop(len(run.bits), run), run)
        if self._augmenter is not None:
            x, beside = x[..., : self._shape[-1]], x[..., self._shape[-1] :]
            self._augmenter.take_back(beside, x * self._preprocessing.grid, run)
        x = self._preprocessing.decode(x, run) + (1 << (self._noise_bits - 1))
        behind, lost = self._noise_bits - self._num_bits, 8 - self._num_bits
        levels = x >> behind
        if levels.min(initial=0) < 0 or levels.max(initial=0) >= 1 << self._num_bits:
            raise CannotCodeError("What is decoded is no image.")
        self._dequantizer.take_back(x & ((1 << behind) - 1), self._centered(levels), run)
        images = (levels << lost) + run.stack.pop_bits(lost, levels.size).reshape(levels.shape)
        return images.astype(np.uint8)

    def _centered(self, levels):
        """The lower edges of the bins, as the dequantizer sees them."""
        return levels / 2.0**self._num_bits - 0.5

    def _joined(self, levels, noise):
        return (levels << (self._noise_bits - self._num_bits)) + noise - (1 << (self._noise_bits - 1))


@make_codec.register(DequantizedFlow)
def _flow_codec(
    model: DequantizedFlow, settings: dict[str, Any] | None = None, images: np.ndarray | None = None
) -> FlowCodec:
    if settings is not None:
        return FlowCodec(model, tuple(settings["noise_ramp"]), settings["regrids"])
    if images is None:
        return FlowCodec(model)
    networks, best, excess = Networks(), None, math.inf
    for behind in _LAST_NOISE_BITS:
        ramp = tuple(model.num_bits + bits for bits in (*NOISE_RAMP[:-1], behind))
        made = FlowCodec(model, ramp, images=images, networks=networks)
        # The rate over the bound is what matters, of any label.
        labels = np.zeros(len(images), np.int64) if made.num_classes else None
        bits, *noise = made.encode_with_noise(images, Stack(), ramp[-1], labels)
        own = bits.sum() / made.bits_of_model(images, *noise, labels).sum() - 1
        if best is not None and own > excess - _LEAST_GAIN:
            break
        best, excess = made, own
        if excess <= _SPARE:
            break
    return best
