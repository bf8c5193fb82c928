"""Images with latents, under discretized logistics: the IAF-VAE."""

import math

import tensorflow as tf

from tfflows.distributions.discretized_logistic import DiscretizedLogistic
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.distributions.quantization import bits_per_dim
from tfflows.math.auxiliary import area_mean, enlarge
from tfflows.math.random import fold_in
from tfflows.tracing.walk import variables_of_layers


class IAFVAE(ImageModel):
    """`ln P(y) >= E_q [ln P(y | z)] - KL(q(z | x) || p(z))`, y the image x itself or a smaller or coarser version of it.

    Each number of y is in a bin of a logistic whose mean the decoder gives; its scale is one for all images and pixels, or one
    for each colour. The latents are those of an `IAFLadder`, one draw an image.

    #### References

    Kingma et al. 2016; auxiliary images: Lucas & Verbeek 2018, sections 3 and 4.2.
    """

    metric_names = ("bits_per_dim", "kl")
    has_encoder = True

    def __init__(
        self,
        ladder,
        head,
        image_shape,
        num_levels=256,
        scale_per_colour=False,
        open_edges=False,
        free_bits=0.0,
        initial_log_scale=0.0,
        name="iaf_vae",
    ):
        """Creates the model.

        Args:
          ladder: `tfflows.networks.IAFLadder`.
          head: `tfflows.networks.ImageHead`, whose size is that of y.
          image_shape: Python `int`s `[H, W, C]` of x.
          num_levels: Python `int`, bins of a colour of y; see `DiscretizedLogistic`.
          scale_per_colour: Python `bool`.
          open_edges: Python `bool`, whether the outer bins have the tails.
          free_bits: Python `float`, nats: KL of a channel of latents, summed over its places and averaged over the images of a
            device, that training does not press below ("free bits").
          initial_log_scale: Python `float`, of the logistics at first, y within [-1/2, 1/2].
          name: Python `str`.
        """
        super().__init__(image_shape, name)
        channels = image_shape[-1]
        self.ladder = ladder
        self.head = head
        self._layer_variables = variables_of_layers(ladder, head)
        shape = [channels] if scale_per_colour else []
        self.log_scale = tf.Variable(tf.fill(shape, float(initial_log_scale)), name="log_scale")
        self._factor = round(2 / head.scale)  # the features have half the sides of x
        self._num_levels = num_levels
        self._open_edges = open_edges
        self.free_bits = free_bits

    @property
    def auxiliary_shape(self):
        """Static shape of y."""
        height, width, channels = self.image_shape
        return tf.TensorShape([height // self._factor, width // self._factor, channels])

    @property
    def num_dimensions(self):
        """Python `int`, of y."""
        return self.auxiliary_shape.num_elements()

    def posterior(self, images, keys):
        """`(means, kl)` of a draw from `q(z | x)`.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: `RowKeys` of the noise.

        Returns:
          Means of y, `[B, h, w, C]` in [-1/2, 1/2], and a list of `ln q(z) - ln p(z)`, `[B, H_l, W_l, Z]` for each block.
        """
        images = self._checked(images)
        h, kl = self.ladder(_centered(images), self._noise(tf.shape(images)[0], keys))
        return self.head(h), kl

    def prior_means(self, num_samples, keys, temperature=1.0):
        """Means of y for latents of the prior, whose noise is multiplied by `temperature`."""
        noise = self._noise(num_samples, fold_in(keys, "prior"))
        return self.head(self.ladder.decode([temperature * part for part in noise]))

    def _noise(self, num_images, keys):
        return self.ladder.draw_noise(fold_in(keys, "latents"), num_images, self.image_shape.as_list())

    def log_prob_given(self, images, means):
        """`ln P(y | z)` of the y of images, nats `[B]`."""
        y = tf.cast(area_mean(self._checked(images), self._factor), tf.float32)
        logistic = DiscretizedLogistic(
            256 * (means + 0.5), self.log_scale + math.log(256), self._num_levels, self._open_edges
        )
        return tf.reduce_sum(logistic.log_prob(y), axis=[1, 2, 3])

    def elbo(self, images, keys, condition=None):
        """`ln P(y | z) - ln q(z | x) + ln p(z)`, nats `[B]`: a bound on `ln P(y)`."""
        del condition
        means, kl = self.posterior(images, keys)
        return self.log_prob_given(images, means) - total_kl(kl)

    def training_loss(self, images, labels, keys):
        """`-ln P(y | z)` plus the KL with free bits, in nats an image, and the metrics: all `[B]`."""
        del labels
        refuse_reversible()
        means, kl = self.posterior(images, keys)
        log_prob, kl_of_image = self.log_prob_given(images, means), total_kl(kl)
        bits = bits_per_dim(log_prob - kl_of_image, self.num_dimensions)
        return free_kl(kl, self.free_bits) - log_prob, {"bits_per_dim": bits, "kl": kl_of_image}

    def initialize(self, images, labels, keys):
        """Data-dependent init from one batch; returns the means that it gives."""
        del labels
        images = self._checked(images)
        h, _ = self.ladder.initialize(_centered(images), self._noise(tf.shape(images)[0], keys))
        return self.head.initialize(h)

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """uint8 images `[num_samples, H, W, C]`: the means of y, without a pixel's noise, as large as x."""
        del condition
        return self.to_images(self.prior_means(num_samples, keys, temperature))

    def reconstruct(self, images, keys):
        """`(f(z),)`, uint8 `[B, H, W, C]`, of z drawn from `q(z | images)`."""
        return (self.to_images(self.posterior(images, keys)[0]),)

    def to_images(self, means):
        """uint8 images as large as x of means of y."""
        levels = tf.clip_by_value(tf.floor(256 * (means + 0.5)), 0.0, 255.0)
        return tf.cast(self.enlarged(levels), tf.uint8)

    def enlarged(self, y):
        """`[B, h, w, C]` to `[B, H, W, C]`, by the nearest neighbour."""
        return enlarge(y, self._factor)


def total_kl(kl):
    """Nats an image, `[B]`, of a list of `[B, H, W, Z]`."""
    return tf.add_n([tf.reduce_sum(part, axis=[1, 2, 3]) for part in kl])


def free_kl(kl, free_bits):
    """`sum_c max(free_bits, mean over images of KL_c)`, c the channels of latents of all blocks; nats `[B]`, the same for each.

    With `free_bits` 0 it is `total_kl`. Source: Kingma et al. 2016; in the released code the mean is over the images of a
    device, as here.
    """
    if not free_bits:
        return total_kl(kl)
    by_channel = [tf.reduce_mean(tf.reduce_sum(part, axis=[1, 2]), axis=0) for part in kl]
    total = tf.add_n([tf.reduce_sum(tf.maximum(part, free_bits)) for part in by_channel])
    return tf.fill(tf.shape(kl[0])[:1], total)


def _centered(images):
    """`(k + 1/2) / 256 - 1/2`."""
    return (tf.cast(images, tf.float32) + 0.5) / 256 - 0.5
