"""What all image models have in common, flows or not."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.choices import REVERSIBLE
from tfflows.math.random import RowKeys, fold_in
from tfflows.tracing.batch_statistics import BatchStatistics, batch_statistics, has_batch_statistics
from tfflows.tracing.memory import memory_mode
from tfflows.tracing.variables import CopiedWithoutLayers

tfd = tfp.distributions


class ImageModel(CopiedWithoutLayers, tf.Module):
    """Base class of image models: log-probabilities of uint8 images `[B, H, W, C]`, or lower bounds on them, in nats.

    A subclass implements `elbo`, `training_loss`, `initialize` and `sample`; one with latents also `encode` and `decode`, one
    with an encoder also `reconstruct`. `has_latent`, `has_encoder`, `has_terms`, `is_exact` and `condition_of` tell what a model
    can do and what it needs.

    Attributes:
      metric_names: Names of the metrics of `training_loss`; `bits_per_dim` is among them.
      has_latent: Whether images have latents, and so the model has `latent_shape`, `encode` and `decode`.
      has_encoder: Whether the model draws latents for an image from a distribution of its own, and so has `reconstruct`.
      is_exact: Whether `elbo` is the log-probability itself instead of a bound on it.
      has_terms: Whether the bound has `terms`, as that of `AGAVE` has.

    Example:
      All images of four pixels are equally probable: 8 bits per dimension.

      >>> import math
      >>> import tensorflow as tf
      >>> from tfflows.distributions.image_model import ImageModel
      >>> from tfflows.distributions.dequantizers import bits_per_dim
      >>> from tfflows.math.random import row_keys
      >>> class Uniform(ImageModel):
      ...     def elbo(self, images, keys, condition=None):
      ...         return tf.fill([images.shape[0]], -self.num_dimensions * math.log(256.0))
      >>> model = Uniform([2, 2, 3], name="uniform")
      >>> images = tf.zeros([3, 2, 2, 3], tf.uint8)
      >>> bound = model.importance_weighted_log_prob(images, row_keys(seed=0), num_samples=10)
      >>> print(bits_per_dim(bound, model.num_dimensions).numpy().round(3))
      [8. 8. 8.]
    """

    metric_names = ("bits_per_dim",)
    has_latent = False
    has_encoder = False
    has_terms = False
    is_exact = False

    def __init__(self, image_shape: Sequence[int], name: str) -> None:
        """Creates the model.

        Args:
          image_shape: `[H, W, C]`.
          name: Name of the module.
        """
        super().__init__(name=name)
        self._image_shape = tf.TensorShape(image_shape)

    @property
    def image_shape(self) -> tf.TensorShape:
        """Static shape `[H, W, C]` of an image."""
        return self._image_shape

    @property
    def num_dimensions(self) -> int:
        """Number of dimensions that bits are counted over, `H * W * C`."""
        return self.image_shape.num_elements()

    @property
    def latent_shape(self) -> tf.TensorShape:
        """Static shape of the latents of an image.

        Raises:
          TypeError: If the model has no latents.
        """
        raise self._lacks("latents")

    @property
    def has_batch_statistics(self) -> bool:
        """Whether the model holds batch norm, so that its loss depends on all images of a batch together."""
        if "_has_batch_statistics" not in vars(self):
            self._has_batch_statistics = has_batch_statistics(self)
        return self._has_batch_statistics

    @property
    def has_loss_of_batch(self) -> bool:
        """Whether the training loss of an image depends on the others of its batch, so that parts of it have another loss."""
        return self.has_batch_statistics

    def training_pass(self, update: bool = True) -> contextlib.AbstractContextManager[BatchStatistics]:
        """The context in which `training_loss` is computed; see `tfflows.tracing.batch_statistics`.

        Args:
          update: Whether running statistics take in those of the batch when the context is left.

        Returns:
          A context that yields the statistics of the batch; there are none without batch norm.
        """
        if self.has_batch_statistics:
            return batch_statistics(update)
        return contextlib.nullcontext(BatchStatistics())

    def condition_of(self, labels: tf.Tensor) -> Any:
        """The `condition` of `elbo` and `sample` that labels, int32 `[B]`, make; None if the model takes no labels."""
        del labels

    def elbo(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """One-sample bound on `ln P(images)`, nats `[B]`.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: Keys of the noise.
          condition: As returned by `condition_of`.

        Returns:
          The bound of each image.
        """
        raise self._lacks("elbo")

    def importance_weighted_log_prob(
        self, images: tf.Tensor, keys: RowKeys, num_samples: int | tf.Tensor, condition: Any = None
    ) -> tf.Tensor:
        """`ln (1/S) sum_s exp(elbo_s)`: a tighter bound, in the memory of one sample.

        `tfflows.evaluation.importance` measures it on a whole split, with its errors.

        Args:
          images: uint8 `[B, H, W, C]`.
          keys: Keys that those of each sample are derived from.
          num_samples: S.
          condition: As in `elbo`.

        Returns:
          Nats, float64 `[B]`.

        References:
          Burda et al. 2016, https://arxiv.org/abs/1509.00519.
        """
        return log_mean_weight(lambda keys: self.elbo(images, keys, condition), keys, num_samples, tf.shape(images)[0])

    def training_loss(
        self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss of each image and the metrics to log.

        Args:
          images: uint8 `[B, H, W, C]`.
          labels: int32 `[B]`; used by models that take labels.
          keys: Keys of the noise and the dropout.

        Returns:
          `(loss, metrics)`: a tensor and a dictionary of tensors by `metric_names`, all `[B]`.
        """
        raise self._lacks("training_loss")

    def initialize(self, images: tf.Tensor, labels: tf.Tensor, keys: RowKeys) -> Any:
        """Data-dependent init from one batch, eagerly and outside `strategy.run`; arguments as for `training_loss`."""
        raise self._lacks("initialize")

    def sample(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tf.Tensor:
        """uint8 images `[num_samples, H, W, C]`; all noise, keyed by `keys`, is multiplied by `temperature`."""
        raise self._lacks("sample")

    def sample_and_check(
        self, num_samples: int | tf.Tensor, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As `sample`, and whether all values of an image were finite before they were rounded: `(images, finite [N])`."""
        images = self.sample(num_samples, keys, temperature, condition)
        return images, tf.ones([num_samples], tf.bool)

    def sample_with_means(
        self, num_samples: int, keys: RowKeys, temperature: float | tf.Tensor = 1.0, condition: Any = None
    ) -> tuple[tf.Tensor, ...]:
        """Samples, preceded by the images they were drawn given, if any: a tuple of uint8 `[num_samples, H, W, C]`."""
        return (self.sample(num_samples, keys, temperature, condition),)

    def encode(self, images: tf.Tensor, keys: RowKeys, condition: Any = None) -> tf.Tensor:
        """Latents `[B, *latent_shape]` of uint8 images, standard normal under the model; `keys` are those of all noise.

        Raises:
          TypeError: If the model has no latents.
        """
        raise self._lacks("latents, so it has no encode")

    def decode(self, latents: tf.Tensor, condition: Any = None, keys: RowKeys | None = None) -> tf.Tensor:
        """uint8 images `[B, H, W, C]` of latents.

        Args:
          latents: `[B, *latent_shape]`.
          condition: As returned by `condition_of`.
          keys: Where latents leave the pixels open, keys of the noise that pixels are drawn with; None for their means.

        Raises:
          TypeError: If the model has no latents.
        """
        return self.decode_and_check(latents, condition, keys)[0]

    def decode_and_check(
        self, latents: tf.Tensor, condition: Any = None, keys: RowKeys | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As `decode`, and whether all values of an image were finite before they were rounded: `(images, finite [B])`."""
        raise self._lacks("latents, so it has no decode")

    def reconstruct(self, images: tf.Tensor, keys: RowKeys) -> tuple[tf.Tensor, ...]:
        """Tuple of uint8 images `[B, H, W, C]`, decoded from latents that are drawn for `images`.

        Raises:
          TypeError: If the model has no encoder.
        """
        raise self._lacks("reconstruct")

    def _lacks(self, method):
        return TypeError(f"{type(self).__name__} has no {method}.")

    def check_images(self, images: tf.Tensor) -> tf.Tensor:
        """Images as a tensor.

        Raises:
          ValueError: If they are not uint8 `[B, H, W, C]` of the model's shape.
        """
        return self._checked(images)

    def _checked(self, images):
        images = tf.convert_to_tensor(images)
        if images.shape.rank is None or not images.shape[1:].is_fully_defined():
            images = tf.ensure_shape(images, [None, *self.image_shape])  # such as after tf.io.decode_png
        if images.dtype != tf.uint8 or not images.shape[1:].is_compatible_with(self.image_shape):
            raise ValueError(
                f"The model takes batches of uint8 images {self.image_shape}, got a batch of {images.dtype.name} of shape "
                f"{images.shape}."
            )
        return images


def log_mean_weight(
    bound: Callable[[RowKeys], tf.Tensor], keys: RowKeys, num_samples: int | tf.Tensor, batch_size: int | tf.Tensor
) -> tf.Tensor:
    """`ln (1/S) sum_s exp(bound(keys_s))`, in the memory of one sample.

    Args:
      bound: Function of keys that returns one sample of the log-weights, nats `[B]`.
      keys: Keys that those of each sample are derived from.
      num_samples: S.
      batch_size: B.

    Returns:
      Nats, float64 `[B]`.

    References:
      Burda et al. 2016, https://arxiv.org/abs/1509.00519.
    """

    def add_sample(sample, running):
        weight = tf.cast(bound(fold_in(keys, sample)), tf.float64)
        return sample + 1, tf.reduce_logsumexp(tf.stack([running, weight]), axis=0)

    start = tf.fill([batch_size], tf.constant(-math.inf, tf.float64))
    _, total = tf.while_loop(lambda sample, _: sample < num_samples, add_sample, (tf.constant(0), start))
    return total - tf.math.log(tf.cast(num_samples, tf.float64))


def refuse_reversible() -> None:
    """Refuses the memory mode `reversible`, for models that are not flows.

    Raises:
      ValueError: In the memory mode `reversible`.
    """
    if memory_mode() == REVERSIBLE:
        raise ValueError(
            "Only flows can be rebuilt from their latents: use the memory mode 'recompute', which keeps blocks' inputs."
        )


def check_distribution(owner: str, flow: Any) -> None:
    """Checks that what `owner` is made of is a distribution.

    Raises:
      TypeError: If it is something else, such as a bijector.
    """
    if not isinstance(flow, tfd.Distribution):
        raise TypeError(
            f"{owner} needs a distribution, got {flow!r}, a {type(flow).__name__}; a bijector makes one as "
            "tfd.TransformedDistribution(base, bijector), with a standard normal as the base."
        )
