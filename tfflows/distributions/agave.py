"""Auxiliary guided autoregressive VAE: a PixelCNN++ given what a VAE decodes, which is itself trained to be an image."""

from typing import Any, NamedTuple

import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.iaf_vae import IAFVAE, free_kl, total_kl
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.distributions.pixelcnn_images import PixelCNNImages
from tfflows.math.random import RowKeys, fold_in
from tfflows.math.shapes import sizes_of
from tfflows.networks.pixelcnn.feature_stream import FeatureStream
from tfflows.tracing.variables import variables_of_layers


class Terms(NamedTuple):
    """The terms of the bound for one draw of the latents, nats `[B]`.

    Attributes:
      pixels: `ln P(x | f(z))`.
      auxiliary: `ln P(y | z)`.
      kl: `ln q(z | x) - ln p(z)`.
    """

    pixels: tf.Tensor
    auxiliary: tf.Tensor
    kl: tf.Tensor


class AGAVE(ImageModel):
    """Trained on `E_q [ln P(x | f(z)) + ln P(y | z)] - lambda KL(q(z | x) || p(z))`; `ln P(x) >= E_q [ln P(x | f(z))] - KL`.

    `f(z)` are the means that the VAE's decoder gives the auxiliary image y. An autoregressive model of the pixels x is
    conditioned on them through a stream of unmasked convolutions. Without the auxiliary term nothing keeps the latents in use,
    because the model of the pixels can do without them.

    With lambda 1, x and y are two observations, independent given z; with lambda 2 the objective is the sum of two bounds.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.agave import AGAVE
      >>> from tfflows.distributions.iaf_ladder import IAFLadder
      >>> from tfflows.distributions.iaf_vae import IAFVAE
      >>> from tfflows.distributions.pixelcnn_images import PixelCNNImages
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import FeatureStream, ImageHead, PixelCNN
      >>> vae = IAFVAE(IAFLadder(4, latent_channels=2, num_blocks=1), ImageHead(4), image_shape=[4, 4, 3])
      >>> network = PixelCNN(4, filters=10, num_blocks=1, feature_channels=4)
      >>> pixels = PixelCNNImages(network, num_components=1, image_shape=[4, 4, 3])
      >>> model = AGAVE(vae, pixels, FeatureStream(4, num_blocks=1))
      >>> terms = model.terms(tf.zeros([2, 4, 4, 3], tf.uint8), row_keys(seed=0))
      >>> print(terms._fields, terms.pixels.shape)
      ('pixels', 'auxiliary', 'kl') (2,)

    References:
      Lucas & Verbeek 2018, eq. 6 (without the auxiliary term) and eq. 7, https://arxiv.org/abs/1711.11479.
    """

    metric_names = ("bits_per_dim", "kl", "pixel_bits_per_dim", "auxiliary_nats")
    has_latent = True
    has_encoder = True
    has_terms = True

    def __init__(
        self,
        vae: IAFVAE,
        pixels: PixelCNNImages,
        stream: FeatureStream,
        weight: float = 2.0,
        auxiliary: bool = True,
        free_bits: float = 0.0,
        pretrained: bool = False,
        name: str = "agave",
    ) -> None:
        """Creates the model.

        Args:
          vae: Encoder, prior and decoder of the latents.
          pixels: Model of the pixels, whose network takes features.
          stream: Makes these features from an image.
          weight: Lambda, the weight of the KL.
          auxiliary: Whether the objective has the auxiliary term (eq. 7) or not (eq. 6).
          free_bits: Nats per channel of latents, as for `IAFVAE`; the published objective has no free bits.
          pretrained: Whether `initialize` leaves the VAE and the pixels' network as they are, and only sets the stream and what
            takes its features.
          name: Name of the module.
        """
        super().__init__(pixels.image_shape, name)
        self.vae = vae
        self.pixels = pixels
        self.stream = stream
        self._layer_variables = variables_of_layers(stream)
        self.weight = weight
        self.auxiliary = auxiliary
        self.free_bits = free_bits
        self.pretrained = pretrained

    @property
    def latent_shape(self) -> tf.TensorShape:
        """Static shape of the VAE's latents of an image, a vector."""
        return self.vae.latent_shape

    def encode(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """Whitened latents `[B, *latent_shape]` drawn from `q(z | x)`; as for `IAFVAE`."""
        return self.vae.encode(images, keys, condition)

    def decode_and_check(
        self, latents: tf.Tensor, condition: Any = None, keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`(images, finite)` of whitened latents: `f(z)`, or with keys pixels drawn given it."""
        del condition
        means = self.vae.means_of(latents)
        finite = tf.reduce_all(tf.math.is_finite(means), axis=[1, 2, 3])
        if keys is None:
            return self.vae.to_images(means), finite
        return self._sample_given(means, tf.shape(means)[0], keys, 1.0), finite

    def features(self, means: tf.Tensor, dropout_keys: RowKeys | None = None) -> list[tf.Tensor]:
        """Features of the means of y, `[B, h, w, C]` in [-1/2, 1/2]: a map for each position of the pixels' network."""
        return self.stream(self._seen(means), dropout_keys)

    def _seen(self, means):
        """The means in [-1, 1], enlarged to the size of x."""
        return 2 * self.vae.enlarged(means)

    def terms(self, images: tf.Tensor, keys: RowKeys, latents_of: tf.Tensor | None = None) -> Terms:
        """The terms of the bound, from one draw of the latents.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: Keys of the latents' noise.
          latents_of: As many other images: the latents are then drawn from `q(z | latents_of)`. How much `ln P(x | f(z))` drops
            shows how much the pixels follow the latents.

        Returns:
          `Terms`, in nats.
        """
        means, kl = self.vae.posterior(images if latents_of is None else latents_of, keys)
        return Terms(
            self.pixels.log_prob(images, self.features(means)), self.vae.log_prob_given(images, means), total_kl(kl)
        )

    def elbo(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """`ln P(x | f(z)) - ln q(z | x) + ln p(z)`, nats `[B]`; neither lambda nor the auxiliary term is part of it."""
        del condition
        means, kl = self.vae.posterior(images, keys)
        return self.pixels.log_prob(images, self.features(means)) - total_kl(kl)

    @property
    def has_loss_of_batch(self) -> bool:
        """Whether there are free bits, which are averaged over the images of a batch."""
        return bool(self.free_bits)

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Minus the objective under dropout, in nats per image, and the metrics, all `[B]`; gradients of all terms reach z."""
        del labels
        refuse_reversible()
        dropout_keys = fold_in(keys, "dropout")
        means, kl = self.vae.posterior(images, keys)
        features = self.features(means, fold_in(dropout_keys, "stream"))
        pixels = self.pixels.log_prob(images, features, fold_in(dropout_keys, "pixels"))
        auxiliary, kl_of_image = self.vae.log_prob_given(images, means), total_kl(kl)
        loss = self.weight * free_kl(kl, self.free_bits) - pixels
        # Without its term the scale of the auxiliary decoder is not trained, but it keeps a gradient of 0.
        loss -= auxiliary if self.auxiliary else 0 * tf.reduce_sum(self.vae.log_scale)
        return loss, {
            "bits_per_dim": bits_per_dim(pixels - kl_of_image, self.num_dimensions),
            "kl": kl_of_image,
            "pixel_bits_per_dim": bits_per_dim(pixels, self.num_dimensions),
            "auxiliary_nats": -auxiliary,
        }

    def initialize(self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys) -> tf.Tensor:
        """Data-dependent init from one batch; returns what the pixels' network gives for it."""
        if self.pretrained:
            means, _ = self.vae.posterior(images, keys)
            return self._initialize_rest(images, means, keys, self.pixels.network.initialize_features)
        means = self.vae.initialize(images, labels, keys)
        return self._initialize_rest(images, means, keys, self.pixels.network.initialize)

    def _initialize_rest(self, images, means, keys, initialize_network):
        dropout_keys = fold_in(keys, "dropout")
        features = self.stream.initialize(self._seen(means), fold_in(dropout_keys, "stream"))
        return initialize_network(self.pixels.seen(images), features, fold_in(dropout_keys, "pixels"))

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """uint8 images `[num_samples, H, W, C]`; `temperature` is the factor of all noise, of latents and pixels."""
        del condition
        return self.sample_with_means(num_samples, keys, temperature)[1]

    def sample_with_means(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tuple[tf.Tensor, ...]:
        """`(f(z), x)`, both uint8 `[num_samples, H, W, C]`: what the VAE decodes, and the sample given it (figure 1)."""
        del condition
        means = self.vae.prior_means(num_samples, keys, temperature)
        return self.vae.to_images(means), self._sample_given(means, num_samples, keys, temperature)

    def reconstruct(
        self, images: tf.Tensor, keys: RowKeys, temperature: float | tf.Tensor = 1.0
    ) -> tuple[tf.Tensor, ...]:
        """`(f(z), x')` of z drawn from `q(z | images)` (figure 3); `temperature` is the factor of the pixels' noise alone."""
        means, _ = self.vae.posterior(images, keys)
        return self.vae.to_images(means), self._sample_given(means, sizes_of(images)[0], keys, temperature)

    def _sample_given(self, means, num_samples, keys, temperature):
        return self.pixels.sample_given(self.features(means), num_samples, fold_in(keys, "sample"), temperature)
