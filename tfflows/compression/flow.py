"""The codec of flows over dequantized images."""

import hashlib
from typing import Any

import numpy as np

# Each module registers its maps.
from tfflows.compression.coder import Stack
from tfflows.compression.maps import coupling, invertible_conv, moves, scales  # noqa: F401
from tfflows.compression.maps.base import Run
from tfflows.compression.maps.compositions import ChainMap, StandardNormal
from tfflows.compression.maps.plan import Plan
from tfflows.compression.network import FRACTION_BITS, Networks
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.distributions.dequantizers import UniformDequantizer

# Bits behind those of a colour of the first images, and of all others. Five are within 0.05% of the rate of many more.
NOISE_RAMP = (0, 2, 5)


class FlowCodec(ImageCodec):
    """Codes the images of a `DequantizedFlow`: noise is popped, the integer flow is run, the latents are pushed.

    With k noise bits in all, an activation starts as an integer on a grid of 2**-k: its level q of `2**num_bits`, and u of
    `k - num_bits` popped bits behind it.
    """

    def __init__(
        self,
        model: DequantizedFlow,
        noise_ramp: tuple[int, ...] | None = None,
        regrids: dict[str, list] | None = None,
        images: np.ndarray | None = None,
        jit_compile: bool = False,
    ) -> None:
        """Creates the codec.

        Args:
          model: The model.
          noise_ramp: Bits of the grid of the first images, the last of all others; at least the model's bits per colour.
            None: `NOISE_RAMP` more than these.
          regrids: By the bits, the changes of the grid, as `settings` gives them; None: chosen by a sample.
          images: The sample, uint8 `[B, H, W, C]`; None: noise of all levels.
          jit_compile: Whether XLA compiles the networks.

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
        self._networks = Networks(jit_compile)
        if not isinstance(model.dequantizer, UniformDequantizer):
            raise CannotCodeError(f"There is no codec for a {type(model.dequantizer).__name__}.")
        if isinstance(model.flow, AugmentedFlow):
            raise CannotCodeError("There is no codec for augmented flows.")
        self._flows = {bits: self._build(bits) for bits in set(self.noise_ramp)}

    def _build(self, noise_bits):
        key = str(noise_bits)
        given = self._regrids.get(key)
        grid = np.full(self.image_shape, 2.0**-noise_bits)
        plan = Plan(self._networks, 2.0 ** (noise_bits - 2), [] if given is None else given)
        if given is None:
            plan.run = Run(Stack(), len(self._sample))
            plan.sample = self._integers(self._sample, plan.run, noise_bits)
        bijector = self._model.flow.bijector
        flow = ChainMap(plan.build(bijector, grid), grid)
        self._regrids[key] = plan.regrids
        return flow, StandardNormal(flow.grid), plan.fingerprint

    @property
    def fingerprint(self) -> bytes:
        """A hash of the tables of all maps."""
        digest = hashlib.sha256(repr((self.image_shape, self._num_bits, FRACTION_BITS, self.noise_ramp)).encode())
        for bits in sorted(self._flows):
            digest.update(self._flows[bits][2])
        return digest.digest()

    @property
    def settings(self) -> dict[str, Any]:
        """Grid bits and changes of the grid."""
        return {"noise_ramp": list(self.noise_ramp), "regrids": self._regrids}

    def encode_images(self, images: np.ndarray, stack: Stack, noise_bits: int) -> np.ndarray:
        """Codes images; see `ImageCodec`."""
        return self.encode_with_noise(images, stack, noise_bits)[0]

    def encode_with_noise(self, images: np.ndarray, stack: Stack, noise_bits: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes images, and returns the bits of each and its dequantized values v, float64 `[B, H, W, C]`.

        At these values the model's `elbo_of_dequantized` is what the images should take.
        """
        flow, prior, _ = self._flows[noise_bits]
        run = Run(stack, len(images))
        x = self._integers(images, run, noise_bits)
        values = (x + 0.5) * 2.0**-noise_bits
        prior.push(flow.encode(x, run), run)
        return run.bits, values

    def decode_images(self, stack: Stack, count: int, noise_bits: int) -> np.ndarray:
        """Undoes `encode_images`."""
        flow, prior, _ = self._flows[noise_bits]
        run = Run(stack, count)
        return self._images(flow.decode(prior.pop(count, run), run), run, noise_bits)

    def _integers(self, images, run, noise_bits):
        images = images.astype(np.int64)
        if self._num_bits < 8:
            lost = 8 - self._num_bits
            run.stack.push_bits(images & ((1 << lost) - 1), lost)
            run.takes(np.full(images.shape, lost))
            images = images >> lost
        behind = noise_bits - self._num_bits
        run.takes(np.full(images.shape, -behind))
        u = run.stack.pop_bits(behind, images.size).reshape(images.shape)
        return (images << behind) + u - (1 << (noise_bits - 1))

    def _images(self, x, run, noise_bits):
        behind = noise_bits - self._num_bits
        x = x + (1 << (noise_bits - 1))
        run.stack.push_bits(x & ((1 << behind) - 1), behind)
        levels = x >> behind
        if levels.min(initial=0) < 0 or levels.max(initial=0) >= 1 << self._num_bits:
            raise CannotCodeError("What is decoded is no image.")
        if self._num_bits < 8:
            lost = 8 - self._num_bits
            levels = (levels << lost) + run.stack.pop_bits(lost, levels.size).reshape(levels.shape)
        return levels.astype(np.uint8)


@make_codec.register(DequantizedFlow)
def _flow_codec(
    model: DequantizedFlow, settings: dict[str, Any] | None = None, images: np.ndarray | None = None
) -> FlowCodec:
    if settings is None:
        return FlowCodec(model, images=images)
    return FlowCodec(model, tuple(settings["noise_ramp"]), settings["regrids"])
