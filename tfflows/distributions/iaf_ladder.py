"""The residual ladder of Kingma et al. 2016: encoder and decoder of a VAE whose posterior is an inverse autoregressive flow."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfflows.bijectors.inverse_autoregressive import InverseAutoregressive
from tfflows.math.random import RowKeys, derive_seed, fold_in, normal_rows
from tfflows.networks.iaf import RELEASED, AutoregressiveNetwork, ExponentialGainConv2D, ExponentialGainConv2DTranspose
from tfflows.networks.layers import call_layer, initialize_layer
from tfflows.tracing.finite import check_finite
from tfflows.tracing.shared_layers import SharedLayers

# Factor of what a block adds to its input (released code).
_RESIDUAL_SCALE = 0.1
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Evidence(NamedTuple):
    """What a block of the encoder tells the decoder's block at the same place.

    Attributes:
      mean: `[B, H, W, Z]`, added to the posterior's mean.
      log_scale: `[B, H, W, Z]`, added to the posterior's log-scale.
      context: `[B, H, W, width]`, added to the context of the autoregressive network.
    """

    mean: tf.Tensor
    log_scale: tf.Tensor
    context: tf.Tensor


class BottomUpBlock(keras.layers.Layer):
    """A block of the encoder: `h -> (h', Evidence)`.

    `[mean, log_scale, context, d] = conv(elu(h))`, `h' = h + 0.1 conv(elu(d))`. A block that halves the sides takes every other
    pixel of h.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.iaf_ladder import BottomUpBlock
      >>> block = BottomUpBlock(width=4, latent_channels=2, halves=True)
      >>> h, (mean, log_scale, context) = block(tf.zeros([1, 8, 8, 4]))
      >>> print(h.shape, mean.shape, log_scale.shape, context.shape)
      (1, 4, 4, 4) (1, 4, 4, 2) (1, 4, 4, 2) (1, 4, 4, 4)

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; released code (openai/iaf).
    """

    def __init__(
        self,
        width: int,
        latent_channels: int,
        halves: bool = False,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          width: Channels of h.
          latent_channels: Channels Z of the latent.
          halves: Whether the block halves the sides.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        options = {"compatibility": compatibility, "dtype": self.dtype_policy}
        self.halves = halves
        self._sizes = [latent_channels, latent_channels, width, width]
        self.first = ExponentialGainConv2D(
            sum(self._sizes), strides=2 if halves else 1, seed=derive_seed(seed, 1), **options
        )
        self.second = ExponentialGainConv2D(width, seed=derive_seed(seed, 2), **options)
        for layer in (self.first, self.second):
            layer.build([None, None, None, width])
        self.built = True

    def call(self, h: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """`(h', evidence)`, the latter a tuple in the order of `Evidence`."""
        return self._run(call_layer, h)

    def initialize(self, h: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Data-dependent init of both convolutions from a batch; returns the output for it."""
        return self._run(initialize_layer, h)

    def _run(self, run, h):
        mean, log_scale, context, d = tf.split(run(self.first, tf.nn.elu(h)), self._sizes, axis=-1)
        passing = h[:, ::2, ::2] if self.halves else h
        evidence = (tf.cast(mean, self.variable_dtype), tf.cast(log_scale, self.variable_dtype), context)
        return passing + _RESIDUAL_SCALE * run(self.second, tf.nn.elu(d)), evidence


class TopDownBlock(keras.layers.Layer):
    """A block of the decoder, with a latent `z`: `h -> h'`.

    `[p, r, context, e] = conv(elu(h))`; prior `N(p)`; posterior `z = IAF(z_0; contexts)`, `z_0 ~ N(r + evidence)`;
    `h' = h + 0.1 conv(elu([z, e]))`. A block that doubles the sides does so by a transposed convolution, and for h by its nearest
    neighbour.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.iaf_ladder import TopDownBlock
      >>> block = TopDownBlock(width=4, latent_channels=2, doubles=True)
      >>> h, mean, context = tf.zeros([1, 4, 4, 4]), tf.zeros([1, 4, 4, 2]), tf.zeros([1, 4, 4, 4])
      >>> out, kl = block(h, (mean, mean, context), tf.ones([1, 4, 4, 2]))
      >>> print(out.shape, kl.shape)
      (1, 8, 8, 4) (1, 4, 4, 2)

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; released code (openai/iaf).
    """

    def __init__(
        self,
        width: int,
        latent_channels: int,
        doubles: bool = False,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          width: Channels of h.
          latent_channels: Channels Z of the latent.
          doubles: Whether the block doubles the sides.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        options = {"compatibility": compatibility, "dtype": self.dtype_policy}
        self.doubles = doubles
        self._sizes = [*[latent_channels] * 4, width, width]
        self.first = ExponentialGainConv2D(sum(self._sizes), seed=derive_seed(seed, 1), **options)
        self.first.build([None, None, None, width])
        network = AutoregressiveNetwork(latent_channels, width, seed=derive_seed(seed, "network"), **options)
        self.network = network
        self._flow = InverseAutoregressive(network, conditional=True, dtype=self.variable_dtype)
        last = ExponentialGainConv2DTranspose if doubles else ExponentialGainConv2D
        self.second = last(width, seed=derive_seed(seed, 2), **options)
        self.second.build([None, None, None, latent_channels + width])
        self.built = True

    def call(self, h: tf.Tensor, evidence: tuple[tf.Tensor, ...], noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(h', kl)` of a draw from the posterior: kl is `ln q(z) - ln p(z)` of each latent number, nats `[B, H, W, Z]`."""
        return self._run(call_layer, self._flow.inverse_and_log_derivatives, h, evidence, noise, from_prior=False)

    def initialize(
        self, h: tf.Tensor, evidence: tuple[tf.Tensor, ...], noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Data-dependent init of all layers from a batch; `z_0` is drawn from the prior, as in the released code."""
        flow = self._flow.initialize_and_log_derivatives
        return self._run(initialize_layer, flow, h, evidence, noise, from_prior=True)

    def encode(self, h: tf.Tensor, evidence: tuple[tf.Tensor, ...], noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(h', e)` of a draw from the posterior: e is the noise from which `decode` makes that latent."""
        flow = self._flow.inverse_and_log_derivatives
        return self._run(call_layer, flow, h, evidence, noise, from_prior=False, whiten=True)

    def decode(self, h: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """`h'` of a latent drawn from the prior."""
        prior_mean, prior_log_scale, *_, e = self._split(call_layer, h)
        return self._output(call_layer, h, prior_mean + tf.exp(prior_log_scale) * noise, e)

    def _split(self, run, h):
        *gaussians, context, e = tf.split(run(self.first, tf.nn.elu(h)), self._sizes, axis=-1)
        return [*(tf.cast(part, self.variable_dtype) for part in gaussians), context, e]

    def _run(self, run, flow, h, evidence, noise, from_prior, whiten=False):
        prior_mean, prior_log_scale, mean, log_scale, context, e = self._split(run, h)
        evidence = Evidence(*evidence)
        mean, log_scale = mean + evidence.mean, log_scale + evidence.log_scale
        start_mean, start_log_scale = (prior_mean, prior_log_scale) if from_prior else (mean, log_scale)
        start = start_mean + tf.exp(start_log_scale) * noise
        log_posterior = log_normal(start, mean, log_scale)
        z, log_derivatives = flow(start, {"context": context + evidence.context})
        if whiten:
            of_latent = (z - prior_mean) * tf.exp(-prior_log_scale)
        else:
            of_latent = log_posterior - log_derivatives - log_normal(z, prior_mean, prior_log_scale)
        pair = self._output(run, h, z, e), of_latent
        check_finite(self, pair, (h, tuple(evidence), noise), "posterior")
        return pair

    def output_of(self, h: tf.Tensor, z: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
        """`h'` of a latent z, `e` being the last part of `first(elu(h))`."""
        return self._output(call_layer, h, z, e)

    def _output(self, run, h, z, e):
        branch = run(self.second, tf.nn.elu(tf.concat([tf.cast(z, self.compute_dtype), e], axis=-1)))
        passing = double(h) if self.doubles else h
        return passing + _RESIDUAL_SCALE * branch


def log_normal(x: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    """`ln N(x; mean, exp(log_scale)^2)`, nats, elementwise."""
    return -0.5 * tf.square((x - mean) * tf.exp(-log_scale)) - log_scale - _HALF_LOG_TWO_PI


def double(x: tf.Tensor) -> tf.Tensor:
    """Repeats each pixel four times: `[B, H, W, C] -> [B, 2 H, 2 W, C]`."""
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


class IAFLadder(keras.layers.Layer):
    """Maps images to features by way of latents, `[B, H, W, C] -> [B, H / 2, W / 2, width]`.

    A convolution of stride 2 comes first. Then the encoder goes up through `depth * num_blocks` blocks; the first block of each
    resolution except the first one halves the sides. Then the decoder goes down the same way from a learned vector; each of its
    blocks has a latent, whose posterior is given the encoder's evidence from that place.

    Called with `(x, noise)`: images in [-1/2, 1/2], and standard normal numbers `[B, H_l, W_l, latent_channels]` for the blocks
    from the top down, as `draw_noise` makes them. Returns the features, and `ln q(z) - ln p(z)` of each latent number in a list
    from the top down. The second convolution of the topmost block is not used, but kept, as in the released code.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.iaf_ladder import IAFLadder
      >>> from tfflows.math.random import row_keys
      >>> ladder = IAFLadder(width=4, latent_channels=2, depth=2, num_blocks=1)
      >>> ladder.latent_shapes([8, 8, 3])
      [[2, 2, 2], [4, 4, 2]]
      >>> noise = ladder.draw_noise(row_keys(seed=0), num_images=5, image_shape=[8, 8, 3])
      >>> features, kl = ladder(tf.zeros([5, 8, 8, 3]), noise)
      >>> print(features.shape, [part.shape.as_list() for part in kl])
      (5, 4, 4, 4) [[5, 2, 2, 2], [5, 4, 4, 2]]

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; released code (openai/iaf).
    """

    def __init__(
        self,
        width: int,
        latent_channels: int,
        depth: int = 1,
        num_blocks: int = 20,
        channels: int = 3,
        compatibility: str = RELEASED,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Creates and builds the layers.

        Args:
          width: Channels of the blocks' inputs and outputs.
          latent_channels: Channels Z of each latent; one of width and Z must divide the other.
          depth: Number of resolutions.
          num_blocks: Number of blocks per resolution.
          channels: Channels of the images.
          compatibility: As for `ExponentialGainConv2D`.
          seed: Seed of the initial parameters.
          **kwargs: As in Keras.
        """
        super().__init__(autocast=False, **kwargs)
        self.width = width
        self.latent_channels = latent_channels
        self.depth = depth
        self.num_blocks = num_blocks
        options = {"compatibility": compatibility, "dtype": self.dtype_policy}
        self.encoder = ExponentialGainConv2D(width, 5, strides=2, seed=derive_seed(seed, "encoder"), **options)
        self.encoder.build([None, None, None, channels])
        self.bottom_up, self.top_down = [], []
        for level in range(depth):
            for block in range(num_blocks):
                changes = level > 0 and block == 0
                sizes = (width, latent_channels, changes)
                self.bottom_up.append(BottomUpBlock(*sizes, seed=derive_seed(seed, level, block, "up"), **options))
                self.top_down.append(TopDownBlock(*sizes, seed=derive_seed(seed, level, block, "down"), **options))
        self.top = self.add_weight(shape=(width,), initializer="zeros", name="top", autocast=False)
        self._up = SharedLayers(lambda unit, h: unit[0](h), [[block] for block in self.bottom_up], recomputed=True)
        self._down = SharedLayers(
            lambda unit, h, evidence, noise: unit[0](h, evidence, noise),
            [[block] for block in self.top_down],
            recomputed=True,
        )
        self._prior = SharedLayers(
            lambda unit, h, noise: unit[0].decode(h, noise), [[block] for block in self.top_down]
        )
        self._whiten = SharedLayers(
            lambda unit, h, evidence, noise: unit[0].encode(h, evidence, noise), [[block] for block in self.top_down]
        )
        self.built = True

    def latent_shapes(self, image_shape: Sequence[int]) -> list[list[int]]:
        """Shapes `[H_l, W_l, Z]` of the latents of images `[H, W, C]`, from the top down.

        Raises:
          ValueError: If the sides cannot be halved `depth` times.
        """
        height, width, _ = image_shape
        if height % 2**self.depth or width % 2**self.depth:
            raise ValueError(
                f"{self.name} halves the sides {self.depth} times: they must be multiples of {2**self.depth}, got "
                f"{list(image_shape)}."
            )
        shapes = [
            [height // 2 ** (level + 1), width // 2 ** (level + 1), self.latent_channels]
            for level in range(self.depth)
            for _ in range(self.num_blocks)
        ]
        return shapes[::-1]

    def draw_noise(self, keys: RowKeys, num_images: int | tf.Tensor, image_shape: Sequence[int]) -> list[tf.Tensor]:
        """Standard normal numbers `[num_images, H_l, W_l, Z]` for each block, from the top down."""
        shapes = self.latent_shapes(image_shape)
        dtype = self.variable_dtype
        return [normal_rows(fold_in(keys, place), num_images, shape, dtype) for place, shape in enumerate(shapes)]

    def call(self, x: tf.Tensor, noise: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """`(features, kl)`: `[B, H / 2, W / 2, width]`, and for each block nats `[B, H_l, W_l, Z]`."""
        return self._run(call_layer, self._up_to, self._down, x, noise)

    def encode(self, x: tf.Tensor, noise: list[tf.Tensor]) -> list[tf.Tensor]:
        """What a draw from the posterior is under the prior: the noise from which `decode` makes the same latents.

        Args:
          x: Images, as in the call.
          noise: Noise of the draw, as in the call.

        Returns:
          For each block `[B, H_l, W_l, Z]`, from the top down.
        """
        return self._run(call_layer, self._up_to, self._whiten, x, noise)[1]

    def _up_to(self, number, h):
        # Only the first convolution of the topmost block is used.
        return self._up(number, h) if number < len(self.bottom_up) - 1 else self.bottom_up[number](h)

    def initialize(self, x: tf.Tensor, noise: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Data-dependent init from a batch, layer after layer; returns what the call returns."""

        def up(number, h):
            return initialize_layer(self.bottom_up[number], h)

        def down(number, *inputs):
            return initialize_layer(self.top_down[number], *inputs)

        return self._run(initialize_layer, up, down, x, noise)

    def _run(self, run, up, down, x, noise):
        h = run(self.encoder, tf.cast(x, self.compute_dtype))
        evidence = []
        for number in range(len(self.bottom_up)):
            h, own = up(number, h)
            evidence.append(own)
        h = self._top(tf.shape(h)[0], h.shape[1:3]) + self._unused()
        of_latents = []
        for number, noise_of_block in zip(reversed(range(len(self.top_down))), noise, strict=True):
            h, own = down(number, h, evidence[number], noise_of_block)
            of_latents.append(own)
        return h, of_latents

    def decode(self, noise: list[tf.Tensor]) -> tf.Tensor:
        """Features of latents drawn from the prior; the noise is that of the call."""
        h = self._top(tf.shape(noise[0])[0], noise[0].shape[1:3])
        for number, noise_of_block in zip(reversed(range(len(self.top_down))), noise, strict=True):
            h = self._prior(number, h, noise_of_block)
        return h

    def _top(self, num_images, sides):
        top = tf.cast(tf.convert_to_tensor(self.top), self.compute_dtype)
        return tf.broadcast_to(top, tf.stack([num_images, *sides, self.width]))

    def _unused(self):
        """0, which gives a gradient of 0 to what the loss does not depend on."""
        total = tf.add_n(
            [tf.reduce_sum(tf.convert_to_tensor(variable)) for variable in self.bottom_up[-1].second.variables]
        )
        return tf.cast(0 * total, self.compute_dtype)
