"""Images with latents, under discretized logistics: the IAF-VAE."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.iaf_ladder import IAFLadder
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.math.auxiliary import area_mean, enlarge
from tfflows.math.random import RowKeys, fold_in, uniform_rows
from tfflows.networks.iaf import ImageHead
from tfflows.tracing.variables import variables_of_layers


class IAFVAE(ImageModel):
    """`ln P(y) >= E_q [ln P(y | z)] - KL(q(z | x) || p(z))`, y the image x itself or a smaller or coarser version of it.

    Each number of y is in a bin of a logistic whose mean the decoder gives. All images and pixels share one scale, or one for
    each colour. The latents are those of an `IAFLadder`, with one draw per image.

    Example:
      An auxiliary image with half the sides of x: the features of the ladder have its size, so the head has scale 1.

      >>> import tensorflow as tf
      >>> from tfflows.distributions.iaf_ladder import IAFLadder
      >>> from tfflows.distributions.iaf_vae import IAFVAE
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import ImageHead
      >>> model = IAFVAE(IAFLadder(4, latent_channels=2, num_blocks=1), ImageHead(4, scale=1), image_shape=[8, 8, 3])
      >>> print(model.auxiliary_shape, model.num_dimensions)
      (4, 4, 3) 48
      >>> images = tf.zeros([2, 8, 8, 3], tf.uint8)
      >>> print(model.elbo(images, row_keys(seed=0)).shape)
      (2,)
      >>> (reconstruction,) = model.reconstruct(images, row_keys(seed=0))
      >>> print(reconstruction.shape)
      (2, 8, 8, 3)

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934.
      Auxiliary images: Lucas & Verbeek 2018, sections 3 and 4.2, https://arxiv.org/abs/1711.11479.
    """

    metric_names = ("bits_per_dim", "kl")
    has_latent = True
    has_encoder = True

    def __init__(
        self,
        ladder: IAFLadder,
        head: ImageHead,
        image_shape: Sequence[int],
        num_levels: int = 256,
        scale_per_colour: bool = False,
        open_edges: bool = False,
        free_bits: float = 0.0,
        initial_log_scale: float = 0.0,
        name: str = "iaf_vae",
    ) -> None:
        """Creates the model.

        Args:
          ladder: Encoder, latents and decoder, up to the features.
          head: Makes the means of y from the features; its scale determines the size of y.
          image_shape: `[H, W, C]` of x.
          num_levels: Number of bins of a colour of y; see `DiscretizedLogistic`.
          scale_per_colour: Whether each colour has a scale of its own.
          open_edges: Whether the outer bins include the tails.
          free_bits: Nats of KL per channel of latents, summed over the channel's places and averaged over the images of a device,
            below which training does not push ("free bits").
          initial_log_scale: Initial log-scale of the logistics, with y in [-1/2, 1/2].
          name: Name of the module.
        """
        super().__init__(image_shape, name)
        channels = image_shape[-1]
        self.ladder = ladder
        self.head = head
        self._layer_variables = variables_of_layers(ladder, head)
        shape = [channels] if scale_per_colour else []
        self.log_scale = tf.Variable(
            tf.fill(shape, tf.constant(initial_log_scale, ladder.variable_dtype)), name="log_scale"
        )
        self._factor = round(2 / head.scale)  # the features have half the sides of x
        self.num_levels = num_levels
        self._open_edges = open_edges
        self.free_bits = free_bits

    @property
    def auxiliary_shape(self) -> tf.TensorShape:
        """Static shape of y."""
        height, width, channels = self.image_shape
        return tf.TensorShape([height // self._factor, width // self._factor, channels])

    @property
    def num_dimensions(self) -> int:
        """Number of dimensions of y."""
        return self.auxiliary_shape.num_elements()

    @property
    def latent_shape(self) -> tf.TensorShape:
        """Static shape of the latents of an image: a vector, those of the topmost block first."""
        return tf.TensorShape([sum(map(math.prod, self._latent_shapes()))])

    def _latent_shapes(self):
        return self.ladder.latent_shapes(self.image_shape.as_list())

    def posterior(self, images: tf.Tensor, keys: RowKeys) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Draws latents from `q(z | x)` and decodes them.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: Keys of the noise.

        Returns:
          `(means, kl)`: means of y, `[B, h, w, C]` in [-1/2, 1/2], and a list of `ln q(z) - ln p(z)` for each block, nats
          `[B, H_l, W_l, Z]`.
        """
        images = self._checked(images)
        h, kl = self.ladder(_centered(images, self.ladder.variable_dtype), self._noise(tf.shape(images)[0], keys))
        return self.head(h), kl

    def encode(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """Whitened latents `[B, *latent_shape]` drawn from `q(z | x)`: numbers that are standard normal under the prior."""
        del condition
        images = self._checked(images)
        num_images = tf.shape(images)[0]
        parts = self.ladder.encode(_centered(images, self.ladder.variable_dtype), self._noise(num_images, keys))
        return tf.concat([tf.reshape(part, [num_images, math.prod(part.shape[1:])]) for part in parts], axis=1)

    def means_of(self, latents: tf.Tensor) -> tf.Tensor:
        """Means of y, `[B, h, w, C]` in [-1/2, 1/2], of whitened latents."""
        shapes = self._latent_shapes()
        parts = tf.split(latents, list(map(math.prod, shapes)), axis=1)
        noise = [tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, shapes, strict=True)]
        return self.head(self.ladder.decode(noise))

    def decode_and_check(
        self, latents: tf.Tensor, condition: Any = None, keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(images, finite)` of whitened latents: the means of y, or with keys levels of y drawn given them; enlarged to x."""
        del condition
        means = self.means_of(latents)
        images = self.to_images(means) if keys is None else self._drawn(means, keys)
        return images, tf.reduce_all(tf.math.is_finite(means), axis=[1, 2, 3])

    def _drawn(self, means, keys):
        """uint8 images whose y is drawn from the logistics of the means."""
        uniforms = uniform_rows(fold_in(keys, "pixels"), tf.shape(means)[0], self.auxiliary_shape, means.dtype)
        return tf.cast(self.enlarged(self._logistic(means).levels_of(uniforms)), tf.uint8)

    def prior_means(
        self, num_samples: int | tf.Tensor, keys: RowKeys, temperature: float | tf.Tensor = 1.0
    ) -> tf.Tensor:
        """Means of y for latents drawn from the prior, whose noise is multiplied by `temperature`."""
        noise = self._noise(num_samples, fold_in(keys, "prior"))
        return self.head(self.ladder.decode([tf.cast(temperature, part.dtype) * part for part in noise]))

    def _noise(self, num_images, keys):
        return self.ladder.draw_noise(fold_in(keys, "latents"), num_images, self.image_shape.as_list())

    def log_prob_given(self, images: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
        """`ln P(y | z)`, nats `[B]`, of the y that belongs to `images`, given the means of y that z is decoded to."""
        y = tf.cast(area_mean(self._checked(images), self._factor), means.dtype)
        return tf.reduce_sum(self._logistic(means).log_prob(y), axis=[1, 2, 3])

    def _logistic(self, means):
        return DiscretizedLogistic(
            256 * (means + 0.5), self.log_scale + math.log(256), self.num_levels, self._open_edges
        )

    def elbo(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """`ln P(y | z) - ln q(z | x) + ln p(z)`, nats `[B]`: a bound on `ln P(y)`."""
        del condition
        means, kl = self.posterior(images, keys)
        return self.log_prob_given(images, means) - total_kl(kl)

    @property
    def has_loss_of_batch(self) -> bool:
        """Whether there are free bits, which are averaged over the images of a batch."""
        return bool(self.free_bits)

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`-ln P(y | z)` plus the KL with free bits, in nats per image, and the metrics, all `[B]`."""
        del labels
        refuse_reversible()
        means, kl = self.posterior(images, keys)
        log_prob, kl_of_image = self.log_prob_given(images, means), total_kl(kl)
        bits = bits_per_dim(log_prob - kl_of_image, self.num_dimensions)
        return free_kl(kl, self.free_bits) - log_prob, {"bits_per_dim": bits, "kl": kl_of_image}

    def initialize(self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys) -> tf.Tensor:
        """Data-dependent init from one batch; returns the means of y for it."""
        del labels
        images = self._checked(images)
        noise = self._noise(tf.shape(images)[0], keys)
        h, _ = self.ladder.initialize(_centered(images, self.ladder.variable_dtype), noise)
        return self.head.initialize(h)

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """uint8 images `[num_samples, H, W, C]`: the means of y without the noise of pixels, enlarged to the size of x."""
        del condition
        return self.to_images(self.prior_means(num_samples, keys, temperature))

    def reconstruct(self, images: tf.Tensor, keys: RowKeys) -> tuple[tf.Tensor, ...]:
        """`(f(z),)`, uint8 `[B, H, W, C]`, of z drawn from `q(z | images)`."""
        return (self.to_images(self.posterior(images, keys)[0]),)

    def to_images(self, means: tf.Tensor) -> tf.Tensor:
        """uint8 images from means of y, enlarged to the size of x."""
        levels = tf.clip_by_value(tf.floor(256 * (means + 0.5)), 0.0, 255.0)
        return tf.cast(self.enlarged(levels), tf.uint8)

    def enlarged(self, y: tf.Tensor) -> tf.Tensor:
        """Enlarges `[B, h, w, C]` to `[B, H, W, C]` by the nearest neighbour."""
        return enlarge(y, self._factor)


def total_kl(kl: list[tf.Tensor]) -> tf.Tensor:
    """Sum of a list of nats `[B, H, W, Z]` per image: nats `[B]`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.iaf_vae import free_kl, total_kl
      >>> kl = [tf.ones([1, 2, 2, 3]), tf.zeros([1, 2, 2, 3])]  # 4 nats in each of three channels, 0 in three others
      >>> print(total_kl(kl).numpy(), free_kl(kl, free_bits=0.5).numpy())
      [12.] [13.5]
    """
    return tf.add_n([tf.reduce_sum(part, axis=[1, 2, 3]) for part in kl])


def free_kl(kl: list[tf.Tensor], free_bits: float) -> tf.Tensor:
    """`sum_c max(free_bits, mean over images of KL_c)` over the channels c of the latents of all blocks.

    With `free_bits` 0 it is `total_kl`.

    Args:
      kl: For each block, nats `[B, H, W, Z]`.
      free_bits: Nats per channel.

    Returns:
      Nats `[B]`, the same for each image.

    References:
      Kingma et al. 2016, https://arxiv.org/abs/1606.04934; in the released code (openai/iaf) the mean is over the images of a
      device, as here.
    """
    if not free_bits:
        return total_kl(kl)
    by_channel = [tf.reduce_mean(tf.reduce_sum(part, axis=[1, 2]), axis=0) for part in kl]
    total = tf.add_n([tf.reduce_sum(tf.maximum(part, free_bits)) for part in by_channel])
    return tf.fill(tf.shape(kl[0])[:1], total)


def _centered(images, dtype):
    """`(k + 1/2) / 256 - 1/2`."""
    return (tf.cast(images, dtype) + 0.5) / 256 - 0.5
