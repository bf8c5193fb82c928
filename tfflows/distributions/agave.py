"""Auxiliary guided autoregressive VAE: a PixelCNN++ given what a VAE decodes, which is trained to be an image too."""

from typing import NamedTuple

import tensorflow as tf

from tfflows.distributions.iaf_vae import free_kl, total_kl
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.distributions.quantization import bits_per_dim
from tfflows.math.discretized_logistic_mixture import to_pixels
from tfflows.math.random import fold_in
from tfflows.tracing.walk import variables_of_layers


class Terms(NamedTuple):
    """Of one draw of the latents, nats `[B]`.

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

    `f(z)` are the means that the VAE's decoder gives the auxiliary image y; an autoregressive model of the pixels x is
    conditioned on them by a stream of unmasked convolutions. Without the auxiliary term nothing keeps the latents in use, as the
    model of the pixels can do without.

    With lambda 1 x and y are two observations, independent given z; with 2 the objective is the sum of two bounds.

    #### References

    Lucas & Verbeek 2018, eq. 6 (without auxiliary) and eq. 7.
    """

    metric_names = ("bits_per_dim", "kl", "pixel_bits_per_dim", "auxiliary_nats")
    has_encoder = True
    has_terms = True

    def __init__(self, vae, pixels, stream, weight=2.0, auxiliary=True, free_bits=0.0, pretrained=False, name="agave"):
        """Creates the model.

        Args:
          vae: `IAFVAE`.
          pixels: `PixelCNNImages`, its network with features.
          stream: `tfflows.networks.FeatureStream`, from an image to these features.
          weight: Python `float`, lambda, the weight of the KL.
          auxiliary: Python `bool`, whether the objective has the auxiliary term (eq. 7), or not (eq. 6).
          free_bits: Python `float`, as for `IAFVAE`; the published objective has no free bits.
          pretrained: Python `bool`, whether `initialize` leaves VAE and pixels as they are and sets the stream alone.
          name: Python `str`.
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

    def features(self, means, dropout_keys=None):
        """Features of the means of y, `[B, h, w, C]` in [-1/2, 1/2]."""
        return self.stream(self._seen(means), dropout_keys)

    def _seen(self, means):
        """In [-1, 1], as large as x."""
        return 2 * self.vae.enlarged(means)

    def terms(self, images, keys, latents_of=None):
        """The `Terms` of uint8 images; keys: `RowKeys` of the latents' noise.

        With `latents_of`, as many other images, the latents are drawn from `q(z | those)`: what the pixels lose shows how much
        they follow the latents.
        """
        means, kl = self.vae.posterior(images if latents_of is None else latents_of, keys)
        return Terms(
            self.pixels.log_prob(images, self.features(means)), self.vae.log_prob_given(images, means), total_kl(kl)
        )

    def elbo(self, images, keys, condition=None):
        """`ln P(x | f(z)) - ln q(z | x) + ln p(z)`, nats `[B]`: neither lambda nor the auxiliary term are in it."""
        del condition
        means, kl = self.vae.posterior(images, keys)
        return self.pixels.log_prob(images, self.features(means)) - total_kl(kl)

    def training_loss(self, images, labels, keys):
        """Minus the objective under dropout, in nats an image, and the metrics, all `[B]`; gradients of all terms reach z."""
        del labels
        refuse_reversible()
        dropout_keys = fold_in(keys, "dropout")
        means, kl = self.vae.posterior(images, keys)
        features = self.features(means, fold_in(dropout_keys, "stream"))
        pixels = self.pixels.log_prob(images, features, fold_in(dropout_keys, "pixels"))
        auxiliary, kl_of_image = self.vae.log_prob_given(images, means), total_kl(kl)
        loss = self.weight * free_kl(kl, self.free_bits) - pixels
        # Without its term the auxiliary decoder's scale is not trained, but keeps a gradient of 0.
        loss -= auxiliary if self.auxiliary else 0 * tf.reduce_sum(self.vae.log_scale)
        return loss, {
            "bits_per_dim": bits_per_dim(pixels - kl_of_image, self.num_dimensions),
            "kl": kl_of_image,
            "pixel_bits_per_dim": bits_per_dim(pixels, self.num_dimensions),
            "auxiliary_nats": -auxiliary,
        }

    def initialize(self, images, labels, keys):
        """Data-dependent init from one batch; returns the pixels network's output on it."""
        if self.pretrained:
            means, _ = self.vae.posterior(images, keys)
            return self._initialize_rest(images, means, keys, self.pixels.network.initialize_features)
        means = self.vae.initialize(images, labels, keys)
        return self._initialize_rest(images, means, keys, self.pixels.network.initialize)

    def _initialize_rest(self, images, means, keys, initialize_network):
        dropout_keys = fold_in(keys, "dropout")
        features = self.stream.initialize(self._seen(means), fold_in(dropout_keys, "stream"))
        return initialize_network(to_pixels(images), features, fold_in(dropout_keys, "pixels"))

    def sample(self, num_samples, keys, temperature=1.0, condition=None):
        """uint8 images `[num_samples, H, W, C]`; temperature: factor of all noise, of latents and pixels."""
        del condition
        return self.sample_with_means(num_samples, keys, temperature)[1]

    def sample_with_means(self, num_samples, keys, temperature=1.0):
        """`(f(z), x)`, both uint8 `[num_samples, H, W, C]`: what the VAE decodes, and the sample given it (figure 1)."""
        means = self.vae.prior_means(num_samples, keys, temperature)
        return self.vae.to_images(means), self._sample_given(means, num_samples, keys, temperature)

    def reconstruct(self, images, keys, temperature=1.0):
        """`(f(z), x')` of z drawn from `q(z | images)` (figure 3)."""
        means, _ = self.vae.posterior(images, keys)
        return self.vae.to_images(means), self._sample_given(means, images.shape[0], keys, temperature)

    def _sample_given(self, means, num_samples, keys, temperature):
        return self.pixels.sample_given(self.features(means), num_samples, fold_in(keys, "sample"), temperature)
