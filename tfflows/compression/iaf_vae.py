"""The codecs of IAF-VAE and AGAVE: latents are popped from the posterior, pixels and latents pushed (bits back).

A latent is an integer on a grid of `2**-k` of the scale of its prior. A draw of the posterior starts as an integer on the same
grid, popped from a Gaussian; the inverse autoregressive flow takes it to the latent by an integer shift and a ratio, all at once
when coding. Decoding solves for the start by the fixed-point iteration of `InverseAutoregressive.forward`, in integers: the flow
is triangular, so what it settles on is the only solution.

References:
  Townsend et al. 2019, https://arxiv.org/abs/1901.04866 (bits back with latents on a grid); Zhang et al. 2021,
  https://arxiv.org/abs/2111.00965 (integer maps of flows).
"""

import abc
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfflows.compression import exact
from tfflows.compression.bins import GAUSSIAN, GAUSSIAN_NOISE
from tfflows.compression.bins import PRECISION as _MASK_PRECISION
from tfflows.compression.coder import Stack, random_masks, seeds_of
from tfflows.compression.levels import PRECISION, LevelMixture, unit_weights
from tfflows.compression.maps.base import LIMIT, Run
from tfflows.compression.maps.compositions import gaussian_bits, push_gaussian
from tfflows.compression.network import Networks, in_float64
from tfflows.compression.pixelcnn import Pixels, fingerprint_of_levels
from tfflows.compression.protocol import CannotCodeError, ImageCodec, make_codec
from tfflows.distributions.agave import AGAVE
from tfflows.distributions.iaf_vae import IAFVAE, total_kl
from tfflows.networks.pixelcnn.network import POSITION

# Bits of a latent's grid below the scale of its prior: of the first images, and of all others. A posterior of 2**(4 - k) of its
# prior's scale or more costs what it should.
NOISE_RAMP = (5, 6, 7, 8, 9, 10)
# A Gaussian is coded as if its scale were this at least.
_LEAST_SCALE = 1 << GAUSSIAN_NOISE.scale_bits
# Latents and starts stay below this.
_LATENT_LIMIT = 1 << 30
# Ratios of the flow are R / 2**_RATIO_BITS. The pops of decoding do not depend on R, so all can be done before it is known.
_RATIO_BITS = 8
_GREATEST_RATIO = 1 << 16
# About what a pixel of an image takes, to know how many images hold the noise of one.
_BITS_PER_DIM = 4


class _Latent(NamedTuple):
    """A latent of a block, in units of its grid.

    Attributes:
      x: int64 `[B, H, W, Z]`.
      noise: What the start of the posterior was drawn as, of a standard normal; None when decoding.
      prior_mean: float64 of the same shape.
      start_mean: Mean of the start of the posterior, without the evidence, real.
      start_log_scale: Its log-scale, without the evidence.
      context: What the decoder adds to the context of the flow.
      grid: Size of the grid.
    """

    x: np.ndarray | None
    noise: np.ndarray | None
    prior_mean: np.ndarray
    start_mean: np.ndarray
    start_log_scale: np.ndarray
    context: np.ndarray
    grid: np.ndarray


class Ladder:
    """Codes the latents of an `IAFVAE`."""

    def __init__(self, vae: IAFVAE, networks: Networks) -> None:
        """Creates the coder; the networks are run by `networks`."""
        self._networks = networks
        self._ladder = ladder = in_float64(vae.ladder)
        self._shapes = ladder.latent_shapes(vae.image_shape.as_list())
        self.num_latents = sum(int(np.prod(shape)) for shape in self._shapes)

    def pop_posterior(self, images: np.ndarray, run: Run, noise_bits: int) -> tuple[np.ndarray, list[_Latent]]:
        """Pops latents from the posterior of images.

        Args:
          images: uint8 `[B, H, W, C]`.
          run: The pass.
          noise_bits: Bits k of the grid.

        Returns:
          `(features, latents)`: the features of the latents, float64 `[B, H / 2, W / 2, width]`, and the latents, from the top.
        """
        # Many posteriors are nearly their priors: without masks the noise of an image would be the latents of the one before it.
        evidence, seeds = self._evidence(images), seeds_of(images)

        def choose(number, latent):
            network, mean, scale, context = self._posterior(number, latent, evidence[number])
            masks = random_masks(seeds, mean.shape[1:], _MASK_PRECISION, number)
            start = GAUSSIAN_NOISE.pop(run.stack, mean, scale, masks)
            run.takes(-gaussian_bits(start, mean, np.maximum(scale, _LEAST_SCALE)))
            x = self._flowed(network, _checked(start), context, latent.grid, run)
            return x, (start - mean) / scale

        return self._descend(choose, len(images), noise_bits)

    def push_prior(self, latents: list[_Latent], run: Run, noise_bits: int) -> None:
        """Pushes latents, the topmost last."""
        for latent in reversed(latents):
            push_gaussian(latent.x, latent.prior_mean, np.full(latent.x.shape, 2.0**noise_bits), run)

    def pop_prior(self, count: int, run: Run, noise_bits: int) -> tuple[np.ndarray, list[_Latent]]:
        """Undoes `push_prior`; returns what `pop_posterior` returned."""

        def choose(number, latent):
            x = GAUSSIAN.pop(run.stack, latent.prior_mean, np.full(latent.prior_mean.shape, 2.0**noise_bits))
            return x, None

        return self._descend(choose, count, noise_bits)

    def push_posterior(self, latents: list[_Latent], images: np.ndarray, run: Run) -> None:
        """Undoes `pop_posterior`."""
        evidence, seeds = self._evidence(images), seeds_of(images)
        for number, latent in zip(range(len(latents)), reversed(latents), strict=True):
            network, mean, scale, context = self._posterior(number, latent, evidence[number])
            masks = random_masks(seeds, mean.shape[1:], _MASK_PRECISION, number)
            GAUSSIAN_NOISE.push(run.stack, self._unflowed(network, latent, context, run), mean, scale, masks)

    def _evidence(self, images):
        """What the encoder says to each block, from the bottom."""
        ladder, sizes = self._ladder, [self._ladder.latent_channels] * 2
        h = self._networks.runner(ladder.encoder)(_centered(images))
        evidence = []
        for block in ladder.bottom_up:
            h, *parts = np.split(self._networks.runner(block, _up)(h), np.cumsum([ladder.width, *sizes]), axis=-1)
            evidence.append(parts)
        return evidence

    def _descend(self, choose, count, noise_bits):
        """The decoder's blocks from the top, each with the latent that `choose(number, latent)` gives."""
        ladder, latents = self._ladder, []
        top = np.asarray(ladder.top, np.float64)
        h = np.broadcast_to(top, [count, *self._shapes[0][:2], ladder.width])
        sizes = [*[ladder.latent_channels] * 4, ladder.width]
        for number in reversed(range(len(ladder.top_down))):
            block = ladder.top_down[number]
            parts = np.split(self._networks.runner(block, _down)(h), np.cumsum(sizes), axis=-1)
            prior_mean, prior_log_scale, mean, log_scale, context, e = parts
            grid = exact.exp(prior_log_scale) * 2.0**-noise_bits
            latent = _Latent(None, None, _limited(prior_mean / grid), mean, log_scale, context, grid)
            x, noise = choose(number, latent)
            latents.append(latent._replace(x=_checked(x), noise=noise))
            h = self._networks.runner(block, _output)(h, x * grid, e)
        return h, latents

    def _posterior(self, number, latent, evidence):
        """The network of a block's flow, mean and scale of the start in units of the grid, and the context."""
        mean, log_scale, context = evidence
        mean = _limited((latent.start_mean + mean) / latent.grid)
        network = self._networks.runner(self._ladder.top_down[number].network)
        scale = exact.exp(latent.start_log_scale + log_scale) / latent.grid
        return network, mean, scale, latent.context + context

    def _flowed(self, network, start, context, grid, run):
        """The latent of a start, by `(start - shift) R / 2**_RATIO_BITS`."""
        shifts, ratios = _shifts_and_ratios(network, start, context, grid)
        run.takes(_RATIO_BITS - np.log2(ratios))
        n = _limited(start - shifts) * ratios + run.stack.pop(ratios)
        run.stack.push(n & ((1 << _RATIO_BITS) - 1), 1 << _RATIO_BITS)
        return n >> _RATIO_BITS

    def _unflowed(self, network, latent, context, run):
        """Undoes `_flowed`."""
        x = latent.x
        n = (x << _RATIO_BITS) + run.stack.pop(1 << _RATIO_BITS, x.size).reshape(x.shape)
        # Each round settles one more number at least.
        for _ in range(x[0].size + 1):
            shifts, ratios = _shifts_and_ratios(network, x, context, latent.grid)
            # What is not settled yet may be far off.
            better = np.clip(n // ratios + shifts, -_LATENT_LIMIT, _LATENT_LIMIT)
            if np.array_equal(better, x):
                break
            x = better
        else:
            raise CannotCodeError("A latent is none that a posterior gave.")
        run.stack.push(n - (x - shifts) * ratios, ratios)
        return x


def _up(block: keras.layers.Layer, h: tf.Tensor) -> tf.Tensor:
    h, evidence = block(h)
    return tf.concat([h, *evidence], axis=-1)


def _down(block: keras.layers.Layer, h: tf.Tensor) -> tf.Tensor:
    return block.first(tf.nn.elu(h))


def _output(block: keras.layers.Layer, h: tf.Tensor, z: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
    return block.output_of(h, z, e)


def _shifts_and_ratios(network, start, context, grid):
    shifts, log_scales = np.split(network(start * grid, context), 2, axis=-1)
    ratios = exact.to_integer(exact.exp(-log_scales) * 2.0**_RATIO_BITS)
    shifts = np.clip(shifts / grid, -float(LIMIT), float(LIMIT))
    return exact.to_integer(shifts), np.clip(ratios, 2, _GREATEST_RATIO)


def _centered(images):
    return (images + 0.5) / 256 - 0.5


def _checked(x):
    return _limited(x, _LATENT_LIMIT)


def _limited(x, limit=LIMIT):
    if not np.abs(x).max(initial=0) < limit:
        raise CannotCodeError("An image is too unlikely for the integers of its latents.")
    return x


class _LatentCodec(ImageCodec):
    """What the codecs of images with latents have in common."""

    def __init__(self, vae: IAFVAE, noise_ramp: Sequence[int] | None, networks: Networks | None) -> None:
        self.image_shape = tuple(vae.image_shape.as_list())
        self.noise_ramp = tuple(noise_ramp or NOISE_RAMP)
        self._vae = vae
        self._networks = networks or Networks()
        self._ladder = Ladder(vae, self._networks)
        # A latent at the entropy of a Gaussian, and the remainder of its ratio.
        noise = self._ladder.num_latents * (self.noise_ramp[-1] + 2)
        self.images_for_noise = max(1, round(noise / (_BITS_PER_DIM * np.prod(self.image_shape))))

    @property
    def settings(self) -> dict[str, Any]:
        """Grid bits."""
        return {"noise_ramp": list(self.noise_ramp)}

    @property
    def fingerprint(self) -> bytes:
        """A hash of settings and of the table of the logistic function."""
        return fingerprint_of_levels(self.image_shape, self.noise_ramp, _RATIO_BITS)

    def encode_images(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes images; see `ImageCodec`."""
        return self.encode_with_noise(images, stack, noise_bits)[0]

    def encode_with_noise(
        self, images: np.ndarray, stack: Stack, noise_bits: int, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Codes images, and returns the bits of each, and the noise of the latents of each block as `IAFLadder` takes it.

        `bits_of_model` gives what the model says of the same noise.
        """
        del labels
        run = Run(stack, len(images))
        h, latents = self._ladder.pop_posterior(images, run, noise_bits)
        self._push_pixels(images, h, run)
        self._ladder.push_prior(latents, run, noise_bits)
        return run.bits, *(latent.noise for latent in latents)

    def decode_images(self, stack: Stack, count: int, noise_bits: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Undoes `encode_images`."""
        del labels
        run = Run(stack, count)
        h, latents = self._ladder.pop_prior(count, run, noise_bits)
        images = self._pop_pixels(count, h, run)
        self._ladder.push_posterior(latents, images, run)
        return images

    def bits_of_model(self, images: np.ndarray, *noise: np.ndarray) -> np.ndarray:
        """Minus the model's bound, in bits, for images and their noise as `encode_with_noise` gives them; float64 `[B]`."""
        dtype = self._vae.ladder.variable_dtype
        h, kl = self._vae.ladder(_centered(tf.cast(images, dtype)), [tf.cast(each, dtype) for each in noise])
        log_prob = self._log_prob(images, self._vae.head(h))
        return np.asarray(total_kl(kl) - log_prob, np.float64) / math.log(2)

    @abc.abstractmethod
    def _log_prob(self, images, means): ...

    @abc.abstractmethod
    def _push_pixels(self, images, h, run): ...

    @abc.abstractmethod
    def _pop_pixels(self, count, h, run): ...


class IAFVAECodec(_LatentCodec):
    """Codes the images of an `IAFVAE`. The coarser levels that it may have are coded, what is below them is stored as it is."""

    def __init__(self, vae: IAFVAE, noise_ramp: Sequence[int] | None = None, networks: Networks | None = None) -> None:
        """Creates the codec.

        Args:
          vae: The model.
          noise_ramp: Grid bits k of the first images, the last of all others; None: `NOISE_RAMP`.
          networks: Runs the networks; None: a runner of its own.

        Raises:
          CannotCodeError: If the model is one of smaller images than are given.
        """
        if vae.auxiliary_shape != vae.image_shape:
            raise CannotCodeError(
                f"The model {vae.name!r} is one of images {vae.auxiliary_shape} that are made of those of {vae.image_shape}: it "
                "cannot give these back."
            )
        super().__init__(vae, noise_ramp, networks)
        self._head = self._networks.runner(vae.head)
        self._num_levels = vae.num_levels
        self._lost_bits = (256 // vae.num_levels).bit_length() - 1
        inverse_scales = exact.exp(-np.asarray(vae.log_scale, np.float64)) / vae.num_levels
        self._inverse_scales = np.broadcast_to(inverse_scales, self.image_shape)

    def _log_prob(self, images, means):
        lost = self._lost_bits * math.log(2) * images[0].size
        return self._vae.log_prob_given(images, means) - lost

    def _push_pixels(self, images, h, run):
        images = images.astype(np.int64)
        if self._lost_bits:
            run.stack.push_bits(images & ((1 << self._lost_bits) - 1), self._lost_bits)
            run.takes(np.full(images.shape, self._lost_bits))
        levels = images.ravel() >> self._lost_bits
        starts, widths = self._mixture(h).intervals(levels)
        run.takes(PRECISION - np.log2(widths))
        run.stack.push_intervals(starts, widths, PRECISION)

    def _pop_pixels(self, count, h, run):
        levels = self._mixture(h).pop(run.stack)
        if self._lost_bits:
            levels = (levels << self._lost_bits) + run.stack.pop_bits(self._lost_bits, levels.size)
        return levels.reshape([count, *self.image_shape]).astype(np.uint8)

    def _mixture(self, h):
        means = self._num_levels * (self._head(h) + 0.5)
        inverse_scales = np.broadcast_to(self._inverse_scales, means.shape)
        rows = [each.reshape([-1, 1]) for each in (means, inverse_scales)]
        return LevelMixture(unit_weights(means.size, 1), *rows, self._num_levels)


class AGAVECodec(_LatentCodec):
    """Codes the images of an `AGAVE`; its auxiliary images are not coded."""

    def __init__(self, model: AGAVE, noise_ramp: Sequence[int] | None = None, networks: Networks | None = None) -> None:
        """Creates the codec.

        Args:
          model: The model.
          noise_ramp: Grid bits k of the first images, the last of all others; None: `NOISE_RAMP`.
          networks: Runs the networks; None: a runner of its own.
        """
        super().__init__(model.vae, noise_ramp, networks)
        self._model = model
        self._head = self._networks.runner(model.vae.head)
        self._factor = model.image_shape[0] // model.vae.auxiliary_shape[0]
        self._stream = self._networks.runner(model.stream, _flat_features)
        self._width = model.stream.width
        self._sides = [
            [side // 2**step.level for side in self.image_shape[:2]]
            for step in model.pixels.network.steps
            if step.kind == POSITION
        ]
        self._pixels = Pixels(model.pixels)

    def _log_prob(self, images, means):
        return self._model.pixels.log_prob(images, self._model.features(means))

    def _push_pixels(self, images, h, run):
        self._pixels.push(images, run, self._features(h))

    def _pop_pixels(self, count, h, run):
        return self._pixels.pop(count, run, self._features(h))

    def _features(self, h):
        means = 2 * self._head(h)
        flat = self._stream(np.repeat(np.repeat(means, self._factor, axis=1), self._factor, axis=2))
        shapes = [[*sides, self._width] for sides in self._sides]
        parts = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes])[:-1], axis=1)
        return [part.reshape([-1, *shape]) for part, shape in zip(parts, shapes, strict=True)]


def _flat_features(stream: keras.layers.Layer, image: tf.Tensor) -> tf.Tensor:
    maps = stream(image)
    return tf.concat([tf.reshape(each, [tf.shape(each)[0], int(np.prod(each.shape[1:]))]) for each in maps], axis=1)


@make_codec.register(IAFVAE)
def _iaf_vae_codec(
    model: IAFVAE, settings: dict[str, Any] | None = None, images: np.ndarray | None = None
) -> IAFVAECodec:
    return IAFVAECodec(model, None if settings is None else settings["noise_ramp"])


@make_codec.register(AGAVE)
def _agave_codec(model: AGAVE, settings: dict[str, Any] | None = None, images: np.ndarray | None = None) -> AGAVECodec:
    return AGAVECodec(model, None if settings is None else settings["noise_ramp"])
