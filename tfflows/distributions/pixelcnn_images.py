"""Images as a sequence of pixels: PixelCNN++."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfflows.distributions.dequantizers import bits_per_dim
from tfflows.distributions.discretized_logistic_mixture import DiscretizedLogisticMixture
from tfflows.distributions.image_model import ImageModel, refuse_reversible
from tfflows.math.discretized_logistic_mixture import num_parameters, to_levels, to_pixels
from tfflows.math.random import RowKeys, fold_in, uniform_rows
from tfflows.networks.pixelcnn.network import PixelCNN
from tfflows.networks.pixelcnn.sampling import cached_sample
from tfflows.tracing.sampler import compiles_pixels
from tfflows.tracing.variables import variables_of_layers

# As in the released code: uniform numbers keep this distance from 0 and 1.
_MIN_UNIFORM = 1e-5


class PixelCNNImages(ImageModel):
    """`ln P(x) = sum_i ln P(x_i | x_<i)`: each pixel under a mixture of discretized logistics given those before it.

    It is exact, so `elbo` is the log-probability itself. The model may be conditioned on the features of another image, or, if
    its network has `num_classes`, on labels.

    Attributes:
      network: The network.
      num_components: Number of components of the mixture.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.pixelcnn_images import PixelCNNImages
      >>> from tfflows.math.random import row_keys
      >>> from tfflows.networks import PixelCNN
      >>> model = PixelCNNImages(PixelCNN(4, filters=10, num_blocks=1), num_components=1, image_shape=[4, 4, 3])
      >>> images = tf.zeros([2, 4, 4, 3], tf.uint8)
      >>> print(model.log_prob(images).shape)
      (2,)
      >>> print(bool(tf.reduce_all(model.elbo(images, row_keys(seed=0)) == model.log_prob(images))))
      True

    References:
      Salimans et al. 2017, https://arxiv.org/abs/1701.05517.
      Conditioned on features: Lucas & Verbeek 2018, section 3, https://arxiv.org/abs/1711.11479.
    """

    is_exact = True

    def __init__(
        self, network: PixelCNN, num_components: int, image_shape: Sequence[int], name: str = "pixelcnn"
    ) -> None:
        """Creates the model.

        Args:
          network: Network with `10 num_components` filters for images of three channels, `3 num_components` for grey ones.
          num_components: Number of components of the mixture.
          image_shape: `[H, W, 3]` or `[H, W, 1]`.
          name: Name of the module.

        Raises:
          ValueError: If network, number of components and image shape do not fit together.
        """
        super().__init__(image_shape, name)
        filters = num_parameters(num_components, self.image_shape[-1])
        if (network.filters, network.channels) != (filters, self.image_shape[-1]):
            raise ValueError(
                f"{num_components} components of images {self.image_shape} need a network of {self.image_shape[-1]} channels "
                f"with {filters} filters, got {network.channels} channels and {network.filters} filters."
            )
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self.num_components = num_components

    def log_prob(
        self,
        images: tf.Tensor,
        features: list[tf.Tensor] | None = None,
        dropout_keys: RowKeys | None = None,
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """`ln P(images | features, labels)`, nats `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          features: Maps for the positions of the network, or None if it takes none.
          dropout_keys: Keys of the dropout masks, or None for no dropout.
          labels: int32 `[B]`, or None if the network takes none.

        Returns:
          The log-probability of each image.

        Raises:
          ValueError: If features or labels are missing, are not taken, or a label is out of range. In a graph that does not know
            the labels, the log-probability of an image whose label is out of range is NaN.
        """
        images = self._checked(images)
        labels = None if labels is None else tf.convert_to_tensor(labels)
        return self._log_prob(images, self.network(self.seen(images), features, dropout_keys, labels))

    def condition_of(self, labels: tf.Tensor) -> tf.Tensor | None:
        """The condition that labels make: the labels themselves if the network takes them, otherwise None."""
        return labels if self.network.num_classes else None

    def seen(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 images as the network sees them: in [-1, 1], in the dtype of its variables."""
        return to_pixels(self._checked(images), self.network.variable_dtype)

    def _log_prob(self, images, parameters):
        pixels = DiscretizedLogisticMixture(parameters, self.num_components)
        return tf.reduce_sum(pixels.log_prob(images), axis=[1, 2])

    def elbo(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """`ln P(images)`, nats `[B]`; keys are not used, nor is the condition of an unconditional model."""
        del keys
        return self.log_prob(images, labels=self.condition_of(condition))

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Minus the log-probability under dropout, in nats per image, and the metrics, all `[B]`."""
        refuse_reversible()
        dropout_keys = fold_in(keys, "dropout")
        log_prob = self.log_prob(images, dropout_keys=dropout_keys, labels=self.condition_of(labels))
        return -log_prob, {"bits_per_dim": bits_per_dim(log_prob, self.num_dimensions)}

    def initialize(self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys) -> tf.Tensor:
        """Data-dependent init from one batch, under dropout as in the released code; returns the network's output for it."""
        dropout_keys = fold_in(keys, "dropout")
        return self.network.initialize(self.seen(images), None, dropout_keys, self.condition_of(labels))

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """uint8 images `[num_samples, H, W, 3]`; `temperature` is the factor of all noise."""
        return self.sample_given(None, num_samples, keys, temperature, self.condition_of(condition))

    def sample_given(
        self,
        features: list[tf.Tensor] | None,
        num_samples: int,
        keys: RowKeys,
        temperature: float | tf.Tensor = 1.0,
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """As `sample`, given features and labels; each colour is rounded before the next one sees it, so draws are exact.

        Within `tfflows.tracing.compiled_pixels()`, XLA compiles the loop over pixels.
        """
        height, width, channels = self.image_shape
        shape = [height, width, self.num_components + channels]
        uniforms = uniform_rows(fold_in(keys, "pixels"), num_samples, shape)
        uniforms = tf.ensure_shape(
            _MIN_UNIFORM + (1 - 2 * _MIN_UNIFORM) * uniforms, [tf.get_static_value(num_samples), *shape]
        )
        component, logistic = tf.split(uniforms, [self.num_components, channels], axis=-1)
        pixels = cached_sample(
            self.network,
            self.num_components,
            component,
            logistic,
            features,
            tf.cast(temperature, tf.float32),
            rounded=True,
            labels=labels,
            jit_compile=compiles_pixels(),
        )
        return to_levels(pixels)
